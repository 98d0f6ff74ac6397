"""A seeded simulation: processes, provider, storage and clock in one, in an order and at moments that a seed decides.

Simulated are the SDK's socket, the storage's file system, downloads, the clock and the death of processes. Jobs,
purchases, the client, the records and the provider's desk are the real ones. The same seed is the same run.

    make simulate SEEDS=2000            as many seeds as one likes, on all cores
    make simulate SEEDS=1 FIRST=4711    replays one, with its story
"""

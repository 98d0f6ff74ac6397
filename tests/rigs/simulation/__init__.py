"""A seeded simulation of processes, provider, storage and clock. The seed determines the order and time of all events.

The SDK's socket, the storage's file system, downloads, the clock and the death of processes are simulated. Jobs,
purchases, the client, the records and the emulator's task handler are real. The same seed gives the same run.

    make simulate SEEDS=2000              any number of seeds, on all cores
    make simulate SEEDS=1 FIRST=104711    replays one and prints its trace

Seeds from 100,000 on buy voices, music and stills as well. Earlier ones buy clips alone, as they always did.
"""

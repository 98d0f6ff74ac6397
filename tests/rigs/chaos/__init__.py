"""The kill rig: sends SIGKILL to a real Prefect server, workers and the emulator in turn while ads are made.

    python -m tests.rigs.chaos --rounds 10 [--seed S]      or: make chaos ROUNDS=10

A round is one kill at a random moment. New orders are placed all the time. At the end all runs must end by themselves.
Those that do not are resumed by hand and counted. The witness is the provider's ledger, never the records alone.
Processes are found by their environment in /proc, so the rig needs Linux.
"""

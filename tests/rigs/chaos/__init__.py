"""The kill rig: a real Prefect server, workers and the local Runware, and SIGKILL to each in turn while ads are made.

    python -m tests.rigs.chaos --rounds 10 [--seed S]      or: make chaos ROUNDS=10

A round is one kill at a random moment. Orders for ads keep coming in all the while. At the end everything has to come
to rest by itself; what does not is taken up by hand, and counted. The witness is the provider's ledger, never the
records alone. Processes are found by their environment in /proc, so the rig needs Linux.
"""

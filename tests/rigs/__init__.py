"""The rigs that look for a broken promise: the crash-point sweep, the simulation and the kill rig."""

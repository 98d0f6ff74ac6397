"""The test rigs for the promises: the crash-point sweep, the simulation and the kill rig."""

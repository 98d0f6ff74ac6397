"""The Prefect flows, one file each: they map, wait and sum up."""

from adreel.environment.proxies import bypass_loopback

# A flow may also be called by a Python program, or run by Prefect's own worker.
bypass_loopback()

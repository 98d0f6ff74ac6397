"""The Prefect flows, one file each: they map, wait and sum up."""

from adreel.settings.proxies import bypass_loopback

# A Python program or Prefect's own worker may call a flow too.
bypass_loopback()

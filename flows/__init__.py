"""The Prefect flows, one file each: they map, wait and sum up."""

"""The Prefect tasks: retries, slots, names and artifacts around plain calls into adreel."""

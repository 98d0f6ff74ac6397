"""The Prefect tasks: retries, slots, names and artifacts round a plain call into adreel."""

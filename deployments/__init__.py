"""Everything that a Prefect server needs besides its flows."""

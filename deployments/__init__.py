"""What a Prefect server needs besides its flows."""

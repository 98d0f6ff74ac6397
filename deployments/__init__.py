"""What a Prefect server needs besides the deployments of prefect.yaml."""

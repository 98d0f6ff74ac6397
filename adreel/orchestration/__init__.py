"""What knows Prefect and is neither flow nor task: clients, runs, the task runner and liveness."""

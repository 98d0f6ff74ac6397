"""Code that knows Prefect and is neither flow nor task: clients, errors, runs, the task runner and liveness."""

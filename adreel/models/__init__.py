"""Sessions, takes, jobs, and the requests and responses of the HTTP API."""

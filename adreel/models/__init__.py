"""The data of adreel: sessions, takes, jobs, and the requests and responses of the HTTP API. No I/O."""

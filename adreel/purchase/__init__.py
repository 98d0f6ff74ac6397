"""The purchase of clips, each at most once: jobs, requests, attempts, downloads and checks."""

"""The environment of a process: `.env` files, proxies and local paths."""

"""What a process gets from its surroundings: `.env` files, proxies and local paths."""

"""ASGI middleware round all routes."""

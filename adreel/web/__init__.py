"""The HTTP API and the storyboard: they start jobs through Prefect and read the records in storage.

The server keeps no state of its own: several servers can share a storage, and each can be restarted at any time.
"""

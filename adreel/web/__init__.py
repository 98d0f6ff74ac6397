"""The HTTP API: starts jobs through Prefect, and answers from the records in storage.

It keeps no state of its own, so several servers may stand side by side and any of them may be restarted.
`app.build_app` makes it; pages can be added to what that returns, behind the same gate.
"""

"""Typed clients of the HTTP API. `Client` blocks, `AsyncClient` has the same methods to await.

    with Client("http://localhost:8000", key="...") as adreel:
        job = adreel.generate("abc-123")
        print(adreel.wait(job.job_id).overall_status)

Each call that may buy carries an Idempotency-Key. So the clients can repeat it a few times: if the server is busy or
can't be reached, or if its answer is lost.
"""

from adreel.client.clients import AsyncClient, Client
from adreel.client.steps import ApiError

__all__ = ["ApiError", "AsyncClient", "Client"]

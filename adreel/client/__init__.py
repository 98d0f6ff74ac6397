"""A typed client of the HTTP API, to be used plainly or with `await`.

    with Client("http://localhost:8000", key="...") as adreel:
        job = adreel.generate("abc-123")
        print(adreel.wait(job.job_id).overall_status)

Every call that may buy carries an Idempotency-Key, so it can be repeated when its answer is lost: the clients do so
by themselves a few times, while the server can't be reached or asks to come back later.
"""

from adreel.client.asynchronous import AsyncClient
from adreel.client.calls import ApiError
from adreel.client.sync import Client

__all__ = ["ApiError", "AsyncClient", "Client"]

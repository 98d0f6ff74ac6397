"""Counts of the requests that a storage on S3 gets, by kind."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from tests.storage.servers import S3Server


class Requests(Counter[str]):
    """Requests by kind: get, head, list, put, post, delete; `paths` has each kind and path in order."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []


@contextmanager
def counted(server: S3Server) -> Iterator[Requests]:
    """Count the requests of the block, after the block."""
    found, before = Requests(), len(server.requests)
    yield found
    for request in server.requests[before:]:
        method, _, target = request.partition(" ")
        path, _, query = target.partition("?")
        kind = "list" if "list-type=2" in query else method.lower()
        found[kind] += 1
        found.paths.append(f"{kind} {path.partition('/ads/')[2] or query}")

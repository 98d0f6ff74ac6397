"""`adreel doctor`: is everything set up that a job needs? For each finding, what to do about it.

It buys nothing and changes nothing, but for a small file that it writes to the storage and removes again.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import prefect
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from adreel.errors import AdreelError, PrefectUnreachable
from adreel.prefect_client import sync_client
from adreel.prefect_errors import check_server, prefect_errors
from adreel.runware_client import shared_client
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.storage.s3 import PIECE
from deployments.deploying import read_file
from deployments.recovery import Recovery, Terms
from tasks.slots import LIMIT

PATIENCE = 10.0
"""Seconds for one answer of Prefect's server."""
# Twice the time that `adreel recover` takes by default, and then some.
LATE = Terms(silence=240, start=300, pause=180)
# The storages that promise that no update is lost to another process; docs/storage.md.
CONDITIONAL = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
LEASES_ON_DISK = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `advice` is what to do about it, empty if all is well."""

    what: str
    found: str
    advice: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing has to be done."""
        return not self.advice


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, the storage first."""
    yield _storage(settings)
    yield _provider(settings)
    url = PREFECT_API_URL.value()
    if not url:
        yield Finding("Prefect", "no PREFECT_API_URL: each command starts an embedded server of its own")
        return
    try:
        # A server that hangs is a finding as well, and soon.
        soon = temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1})
        with prefect_errors(), soon, sync_client(timeout=PATIENCE) as client:
            yield _server(client, url)
            yield _authentication(url)
            yield from _what_is_deployed(client)
            yield _recovery(client)
            yield from _server_settings(client)
    except PrefectUnreachable as error:
        yield Finding("Prefect", error.reason, error.advice or "look into the server's log")


def _storage(settings: Settings) -> Finding:
    what = "storage"
    try:
        storage = Storage.of(settings)
        broken = "; ".join(_broken_promises(storage))
    except AdreelError as error:
        return Finding(what, str(error), "nothing can be bought before this is mended")
    if broken:
        return Finding(what, f"{storage.url} {broken}", "do not use it: docs/storage.md names what a storage needs")
    if settings.is_storage_of_process:
        return Finding(what, f"{storage.url} takes and gives files, for this process; a worker wants an absolute path")
    return Finding(what, f"{storage.url} takes and gives files")


def _broken_promises(storage: Storage) -> Iterator[str]:
    """Do with small files what a purchase does with clips and records, and yield each promise that is broken."""
    protocol = storage.url.partition("://")[0]
    # S3 takes a clip of more than a piece by other requests.
    sizes = [16, PIECE + 1] if protocol in {"s3", "s3a"} else [16]
    for size in sizes:
        yield from _publish_twice(storage, f".doctor-{uuid4().hex}.mp4", size)
    record, others = f".doctor-{uuid4().hex}.json", iter([b"another process"])

    def change(old: bytes | None) -> bytes:
        if protocol in CONDITIONAL and (other := next(others, None)):
            storage.write(record, other)
        return (old or b"") + b"."

    try:
        storage.write(record, b"first")
        updated = storage.update(record, change)
        if storage.read(record) != updated:
            yield "gives back something else than was written"
        elif protocol in CONDITIONAL and updated != b"another process.":
            yield "loses what another process has written (it ignores If-Match)"
    finally:
        storage.remove(record)


def _publish_twice(storage: Storage, path: str, size: int) -> Iterator[str]:
    with storage.workspace() as folder:
        first, second = folder / "first", folder / "second"
        first.write_bytes(b"1" * size)
        second.write_bytes(b"2" * size)
        try:
            if not storage.publish(first, path):
                yield "takes a new name for one that is taken"
            elif storage.publish(second, path):
                yield "overwrites a file that is there (it ignores If-None-Match)"
            elif storage.read(path) != b"1" * size:
                yield "gives back something else than was written"
        finally:
            storage.remove(path)


def _provider(settings: Settings) -> Finding:
    if settings.is_local and not settings.runware_url:
        return Finding("Runware", "no RUNWARE_API_KEY: the local Runware renders, nothing is spent")

    async def connect() -> str:
        async with shared_client(settings) as client:
            await client.connect()
            return client.url

    try:
        return Finding("Runware", f"{asyncio.run(connect())} takes the key")
    except AdreelError as error:
        return Finding("Runware", str(error), "mend RUNWARE_API_KEY or RUNWARE_URL")


def _server(client: SyncPrefectClient, url: str) -> Finding:
    theirs = check_server(client)
    if theirs != prefect.__version__:
        advice = f"install prefect=={theirs} here, or {prefect.__version__} there"
        return Finding("Prefect", f"{url} is Prefect {theirs}, this is {prefect.__version__}", advice)
    return Finding("Prefect", f"{url} answers, Prefect {theirs} as here")


def _authentication(url: str) -> Finding:
    what = "authentication"
    anybody = temporary_settings(
        restore_defaults={PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_CLIENT_CUSTOM_HEADERS}
    )
    with anybody, sync_client(timeout=PATIENCE) as client:
        try:
            client.request("GET", "/admin/version")
        except httpx.HTTPStatusError as error:
            if error.response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
                return Finding(what, f"{url} wants credentials, and has them")
            raise
    return Finding(
        what,
        f"{url} answers everybody: any web page in a browser here can start runs and read secrets",
        "start the server with PREFECT_SERVER_API_AUTH_STRING=NAME:PASSWORD, and everything that uses it with the same"
        " as PREFECT_API_AUTH_STRING",
    )


def _what_is_deployed(client: SyncPrefectClient) -> Iterator[Finding]:
    described = read_file()
    there = {deployment.name for deployment in client.read_deployments()}
    missing = [deployment["name"] for deployment in described if deployment["name"] not in there]
    found = f"missing: {', '.join(missing)}" if missing else f"{len(described)} are there"
    yield Finding("deployments", found, "adreel deploy" if missing else "")
    try:
        limit = client.read_global_concurrency_limit_by_name(LIMIT)
        yield Finding("limit", f"{LIMIT} has {limit.limit} slots, {limit.active_slots} of them taken")
    except ObjectNotFound:
        yield Finding("limit", f"no limit {LIMIT}", "adreel deploy; else the first run makes it")
    for pool in sorted({deployment["work_pool"]["name"] for deployment in described}):
        yield _workers(client, pool)


def _workers(client: SyncPrefectClient, pool: str) -> Finding:
    advice = f"adreel worker --pool {pool} --limit 8"
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        return Finding("workers", f"no work pool {pool}", "adreel deploy")
    online = [worker for worker in client.read_workers_for_work_pool(pool) if worker.status == "ONLINE"]
    return Finding("workers", f"{len(online)} online in {pool}", "" if online else advice)


def _recovery(client: SyncPrefectClient) -> Finding:
    # `adreel recover` keeps nothing that one could ask for: what it has left undone is its sign.
    overdue = Recovery(client, LATE).overdue()
    if not overdue:
        return Finding("recovery", "no run of a dead worker waits for it")
    found = ", ".join(f"{run.name} is {run.state_name}" for run in overdue)
    return Finding("recovery", f"nobody carries on: {found}", "start adreel recover beside the server")


def _server_settings(client: SyncPrefectClient) -> Iterator[Finding]:
    try:
        server: dict[str, Any] = client.request("GET", "/admin/settings").json()["server"]
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:  # Prefect Cloud has its own.
            return
        raise
    leases = server["concurrency"]["lease_storage"]
    in_memory = leases.endswith(".memory")
    advice = f"start the server with {LEASES_ON_DISK}: else a restart leaves slots taken for ever"
    yield Finding("leases", f"kept by {leases}", advice if in_memory else "")
    origins = server["api"]["cors_allowed_origins"]
    advice = "set PREFECT_SERVER_CORS_ALLOWED_ORIGINS to the addresses of the UI: any page may read the answers"
    yield Finding("CORS", f"pages of {origins} may call Prefect's API", advice if "*" in origins else "")

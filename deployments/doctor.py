"""`adreel doctor`: is everything set up that a job needs? For each finding, what to do about it.

It buys nothing and changes nothing, but for a small file that it writes to the storage and removes again.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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

from adreel.deployments.deploy import read_file
from adreel.deployments.recovery import Recovery, Terms
from adreel.errors import AdreelError, PrefectUnreachable
from adreel.orchestration.client import sync_client
from adreel.orchestration.errors import check_server, prefect_errors
from adreel.purchase.shared_client import shared_client
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.tasks.slots import LIMIT

PATIENCE = 10.0
"""Seconds for one answer of Prefect's server."""
# Twice the time that `adreel recover` takes by default, and then some.
LATE = Terms(silence=240, start=300, pause=180)
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
        # A server that hangs is a finding as well, so the client retries only once.
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
        storage = Storage.from_settings(settings)
        storage.check()
        # The marker is watched only now, because a write of the check would create it.
        storage.watch_marker()
        storage.exists("sessions")
    except AdreelError as error:
        return Finding(what, str(error), "nothing can be bought before this is mended: docs/storage.md says how")
    known = f"its id is {storage.storage_id}" if storage.storage_id else "it is new"
    if settings.is_process_local_storage:
        known += "; it is for this process: a worker wants an absolute path"
    return Finding(what, f"{storage.url} takes and gives files; {known}")


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
    there = {deployment.name: deployment.entrypoint for deployment in client.read_deployments()}
    wrong = [f"{each['name']} is missing" for each in described if each["name"] not in there]
    # Earlier versions had their flows outside the package, where an installed worker does not find them.
    old = {each["entrypoint"].removeprefix("adreel.") for each in described}
    wrong += [f"{name} has the entrypoint of an earlier version" for name in there if there[name] in old]
    yield Finding("deployments", ", ".join(wrong) or f"{len(described)} are there", "adreel deploy" if wrong else "")
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

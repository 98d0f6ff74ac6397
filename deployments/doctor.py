"""`adreel doctor`: checks everything that a job needs, and says how to fix each problem.

It buys nothing and changes nothing, except that it writes a small file to the storage and deletes it.
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

from adreel.deployments.deploy import describe_other_file, read_file
from adreel.deployments.recovery import Recovery, RecoveryOptions
from adreel.errors import AdreelError, InputError, PrefectUnreachable
from adreel.orchestration.client import sync_client
from adreel.orchestration.errors import check_server, prefect_errors
from adreel.purchase.shared_client import shared_client
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.tasks.slots import LIMIT

SERVER_TIMEOUT = 10.0
# More than twice the default timeouts of `adreel recover`.
OVERDUE = RecoveryOptions(silence=240, start=300, pause=180)
LEASES_ON_DISK = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"


@dataclass(frozen=True)
class Finding:
    """The result of one check; `advice` says how to fix a problem, and is empty if there is none."""

    what: str
    found: str
    advice: str = ""

    @property
    def is_well(self) -> bool:
        """Whether there is no problem."""
        return not self.advice


def examine(settings: Settings) -> Iterator[Finding]:
    """Run all checks, the storage first."""
    try:
        storage = Storage.from_settings(settings)
        storage.check()
        # The marker is watched only now, because a write of the check would create it.
        storage.watch_marker()
        storage.exists("sessions")
    except AdreelError as error:
        yield Finding("storage", str(error), "nothing can be bought until this is fixed: see docs/storage.md")
    else:
        known = f"its id is {storage.storage_id}" if storage.storage_id else "it is new"
        if settings.is_process_local_storage:
            known += "; only this process sees it: a worker needs an absolute path"
        yield Finding("storage", f"{storage.url} can be read and written; {known}")

    if settings.is_local and not settings.runware_url:
        yield Finding("Runware", "no RUNWARE_API_KEY: the emulator renders, nothing is spent")
    else:
        yield from asyncio.run(_examine_account(settings))

    url = PREFECT_API_URL.value()
    if not url:
        yield Finding("Prefect", "no PREFECT_API_URL: each command starts an embedded server of its own")
        return
    try:
        # A server that hangs is a finding as well, so the client retries only once.
        one_retry = temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1})
        with prefect_errors(), one_retry, sync_client(timeout=SERVER_TIMEOUT) as client:
            yield from _examine_access(client, url)
            yield from _examine_deployments(client)
            yield from _examine_server_settings(client)
    except PrefectUnreachable as error:
        yield Finding("Prefect", error.reason, error.advice or "look into the server's log")


async def _examine_account(settings: Settings) -> list[Finding]:
    async with shared_client(settings) as client:
        try:
            await client.connect()
        except AdreelError as error:
            return [Finding("Runware", str(error), "check RUNWARE_API_KEY and RUNWARE_URL")]
        accepted = Finding("Runware", f"{client.url} accepts the key")
        try:
            balance = await client.balance()
        except AdreelError as error:
            # A key may be allowed to render and not to read the account.
            return [accepted, Finding("balance", f"it can't be read: {error}")]
    advice = "" if balance > 0 else "add credits to the Runware account: nothing can be bought until then"
    return [accepted, Finding("balance", f"USD {balance:,.2f} on the account", advice)]


def _examine_access(client: SyncPrefectClient, url: str) -> Iterator[Finding]:
    theirs, ours = check_server(client), prefect.__version__
    if theirs == ours:
        yield Finding("Prefect", f"{url} answers, with the same version as here, Prefect {theirs}")
    else:
        advice = f"install prefect=={theirs} here, or {ours} there"
        yield Finding("Prefect", f"{url} is Prefect {theirs}, this is {ours}", advice)

    without_credentials = temporary_settings(
        restore_defaults={PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_CLIENT_CUSTOM_HEADERS}
    )
    is_open = True
    with without_credentials, sync_client(timeout=SERVER_TIMEOUT) as anonymous:
        try:
            anonymous.request("GET", "/admin/version")
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
                raise
            is_open = False
    if is_open:
        yield Finding(
            "authentication",
            f"{url} answers without credentials: any web page in a browser here can start runs and read secrets",
            "start the server with PREFECT_SERVER_API_AUTH_STRING=NAME:PASSWORD, and set PREFECT_API_AUTH_STRING to the"
            " same value wherever the server is used",
        )
    else:
        yield Finding("authentication", f"{url} requires credentials, and accepts those of this process")


def _examine_deployments(client: SyncPrefectClient) -> Iterator[Finding]:
    try:
        described = read_file()
    except InputError as error:
        yield Finding("deployments", str(error), "correct the file, or run this in another folder")
        return
    if other := describe_other_file():
        yield Finding("prefect.yaml", other)
    there = {deployment.name: deployment.entrypoint for deployment in client.read_deployments()}
    wrong = [f"{each['name']} is missing" for each in described if each["name"] not in there]
    # Earlier versions had their flows outside the package, where an installed worker does not find them.
    old = {each["entrypoint"].removeprefix("adreel.") for each in described}
    wrong += [f"{name} has the entrypoint of an earlier version" for name in there if there[name] in old]
    yield Finding("deployments", ", ".join(wrong) or f"all {len(described)} exist", "adreel deploy" if wrong else "")

    try:
        limit = client.read_global_concurrency_limit_by_name(LIMIT)
        yield Finding("limit", f"{LIMIT} has {limit.limit} slots, {limit.active_slots} of them taken")
    except ObjectNotFound:
        yield Finding("limit", f"no limit {LIMIT}", "adreel deploy; otherwise the first run creates it")

    for pool in sorted({deployment["work_pool"]["name"] for deployment in described}):
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            yield Finding("workers", f"no work pool {pool}", "adreel deploy")
            continue
        online = [worker for worker in client.read_workers_for_work_pool(pool) if worker.status == "ONLINE"]
        advice = "" if online else f"adreel worker --pool {pool} --limit 8"
        yield Finding("workers", f"{len(online)} online in {pool}", advice)

    # `adreel recover` is no object of the server. Runs that it has left alone show that it does not run.
    if overdue := Recovery(client, OVERDUE).overdue():
        runs = ", ".join(f"{run.name} is {run.state_name}" for run in overdue)
        yield Finding(
            "recovery", f"runs of dead workers are left alone: {runs}", "start adreel recover beside the server"
        )
    else:
        yield Finding("recovery", "no run of a dead worker waits for it")


def _examine_server_settings(client: SyncPrefectClient) -> Iterator[Finding]:
    try:
        server: dict[str, Any] = client.request("GET", "/admin/settings").json()["server"]
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.NOT_FOUND:  # Prefect Cloud does not show its settings.
            return
        raise
    leases = server["concurrency"]["lease_storage"]
    in_memory = leases.endswith(".memory")
    advice = f"start the server with {LEASES_ON_DISK}: otherwise a restart leaves slots taken for ever"
    yield Finding("leases", f"stored by {leases}", advice if in_memory else "")
    origins = server["api"]["cors_allowed_origins"]
    advice = "set PREFECT_SERVER_CORS_ALLOWED_ORIGINS to the addresses of the UI: any web page may read the responses"
    yield Finding("CORS", f"pages of {origins} may call Prefect's API", advice if "*" in origins else "")

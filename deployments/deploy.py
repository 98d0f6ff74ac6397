"""Puts in place what a Prefect server needs: work pool, queues, the limit, deployments, triggers and notices.

Each step reads what is there, changes what differs, and says so: a second time nothing is changed. What prefect.yaml
does not mention (a pause, somebody's own schedules, the slots of the limit) is left as an operator has set it.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    GlobalConcurrencyLimitCreate,
    WorkPoolCreate,
    WorkQueueUpdate,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.workers.process import ProcessWorker

from adreel.deployments.automations import put_notices, put_triggers
from adreel.deployments.recovery import TAG
from adreel.errors import InputError
from adreel.settings import Settings
from adreel.tasks.slots import LIMIT

FILE = "prefect.yaml"
# The lowest number is served first.
QUEUES = {"urgent": 1, "default": 2}
COMPARED = (
    "description",
    "entrypoint",
    "job_variables",
    "parameters",
    "parameter_openapi_schema",
    "pull_steps",
    "tags",
    "work_pool_name",
    "work_queue_name",
)


def deploy(client: SyncPrefectClient, settings: Settings) -> Iterator[str]:
    """Bring a server in line and yield a line for each thing: what it is, and what was done."""
    described = read_file()
    for pool in sorted({deployment["work_pool"]["name"] for deployment in described}):
        yield _put_pool(client, pool)
        for queue, priority in QUEUES.items():
            yield _put_queue(client, pool, queue, priority)
    yield _put_limit(client, settings.concurrency)
    for deployment in described:
        yield _put_deployment(client, deployment)
        yield from _put_triggers(client, deployment)
    yield from put_notices(client, settings.notify_url, TAG)


def read_file() -> list[dict[str, Any]]:
    """Return the deployments of adreel's prefect.yaml in this folder, else of the installed one.

    A prefect.yaml of another project in this folder is ignored.
    """
    here, module = Path(FILE), Path(__file__)
    # In a wheel the file is beside this module, in a checkout beside its package.
    installed = [file for file in (module.with_name(FILE), module.parent.with_name(FILE)) if _is_ours(file)]
    if not installed:
        raise InputError(f"no {FILE} of adreel was installed: install adreel anew, or run this in its checkout")
    deployments: list[dict[str, Any]] = yaml.safe_load(installed[0].read_text())["deployments"]
    if not _is_ours(here):
        return deployments
    entrypoints = {deployment["entrypoint"] for deployment in deployments}
    try:
        deployments = yaml.safe_load(here.read_text())["deployments"]
        found = [(each["name"], each["entrypoint"], each["work_pool"]["name"]) for each in deployments]
    except (KeyError, TypeError) as error:
        raise InputError(f"{here.absolute()}: a deployment without {error}; compare it with that of adreel") from None
    for name, entrypoint, _ in found:
        if entrypoint not in entrypoints:
            ours = ", ".join(sorted(entrypoints))
            raise InputError(f"{here.absolute()}: {name!r} has the entrypoint {entrypoint!r}; adreel's are {ours}")
    return deployments


def _is_ours(file: Path) -> bool:
    try:
        described = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(described, dict) and described.get("name") == "adreel"


def _load_flow(described: dict[str, Any]) -> Flow[..., Any]:
    # Prefect's own loader searches the current folder first, which may have another project's `flows`.
    module, _, name = described["entrypoint"].rpartition(".")
    flow: Flow[..., Any] = getattr(import_module(module), name)
    return flow


def _put_pool(client: SyncPrefectClient, name: str) -> str:
    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
        return f"work pool {name}: made, for process workers"
    return f"work pool {name}: as it was"


def _put_queue(client: SyncPrefectClient, pool: str, name: str, priority: int) -> str:
    what = f"work queue {pool}/{name}"
    try:
        queue = client.read_work_queue_by_name(name, work_pool_name=pool)
    except ObjectNotFound:
        client.create_work_queue(name, priority=priority, work_pool_name=pool)
        return f"{what}: made, priority {priority}"
    if queue.priority == priority:
        return f"{what}: as it was"
    client.update_work_queue(queue.id, **WorkQueueUpdate(priority=priority).model_dump(exclude_unset=True))
    return f"{what}: priority {queue.priority} -> {priority}"


def _put_limit(client: SyncPrefectClient, slots: int) -> str:
    try:
        limit = client.read_global_concurrency_limit_by_name(LIMIT)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=slots))
        return f"limit {LIMIT}: made, {slots} slots (ADREEL_CONCURRENCY)"
    return f"limit {LIMIT}: as it was, {limit.limit} slots"


def _put_deployment(client: SyncPrefectClient, described: dict[str, Any]) -> str:
    flow = _load_flow(described)
    wanted = _wanted(described, flow)
    what = f"deployment {flow.name}/{described['name']}"
    found = _found(client, f"{flow.name}/{described['name']}")
    changed = [name for name in COMPARED if found is None or getattr(found, name) != wanted[name]]
    missing = _missing_schedules(described, found)
    if found is not None and not changed and not missing:
        return f"{what}: as it was"
    if found is None or changed:
        client.create_deployment(
            client.create_flow_from_name(flow.name),
            described["name"],
            enforce_parameter_schema=True,
            schedules=missing if found is None else None,
            **wanted,
        )
    if found is None:
        return f"{what}: made"
    if missing:
        client.create_deployment_schedules(found.id, missing)
    return f"{what}: changed {', '.join([*changed, *(['schedules'] if missing else [])])}"


def _put_triggers(client: SyncPrefectClient, described: dict[str, Any]) -> Iterator[str]:
    if triggers := described.get("triggers"):
        flow = _load_flow(described)
        found = client.read_deployment_by_name(f"{flow.name}/{described['name']}")
        yield from put_triggers(client, found.id, triggers)


def _wanted(described: dict[str, Any], flow: "Flow[..., Any]") -> dict[str, Any]:
    pool = described["work_pool"]
    return {
        "description": described.get("description"),
        "entrypoint": described["entrypoint"],
        "job_variables": pool.get("job_variables", {}),
        "parameters": described.get("parameters", {}),
        "parameter_openapi_schema": flow.parameters.model_dump_for_openapi(),
        "pull_steps": described.get("pull", []),
        "tags": described.get("tags", []),
        "work_pool_name": pool["name"],
        "work_queue_name": pool.get("work_queue_name", "default"),
    }


def _found(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(name)
    except ObjectNotFound:
        return None


def _missing_schedules(described: dict[str, Any], found: DeploymentResponse | None) -> list[DeploymentScheduleCreate]:
    """Return the schedules that are not there yet, by their slugs: an operator may have changed or started one."""
    there = {schedule.slug for schedule in found.schedules} if found else set()
    return [
        DeploymentScheduleCreate(
            slug=schedule["slug"],
            active=schedule.get("active", True),
            parameters=schedule.get("parameters", {}),
            schedule={name: schedule[name] for name in ("cron", "interval", "timezone") if name in schedule},
        )
        for schedule in described.get("schedules", [])
        if schedule["slug"] not in there
    ]

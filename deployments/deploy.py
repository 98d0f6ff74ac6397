"""Creates or updates the objects that adreel needs on a Prefect server, from its prefect.yaml.

Each step compares before it writes, so a second run changes nothing. Settings that prefect.yaml does not mention
(pauses, an operator's own schedules, the slots of the limit) are kept.

`prefect deploy --all` (RunnerDeployment.apply) is not used here. It loads flows from the current folder first, creates
neither pools nor queues, does not say what it changes, and resets schedules and triggers that an operator has switched
on or off.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from prefect.workers.process import ProcessWorker

from adreel.deployments.automations import UNCHANGED, put_notices, put_triggers
from adreel.deployments.recovery import TAG
from adreel.errors import InputError
from adreel.settings import Settings
from adreel.tasks.slots import CUTS_AT_ONCE, CUTS_LIMIT, LIMIT

FILE = "prefect.yaml"
# Workers serve the queue with the lowest number first.
QUEUES = {"urgent": 1, "default": 2}


def deploy(client: SyncPrefectClient, settings: Settings) -> Iterator[str]:
    """Create or update each object, and yield a line with its name and what was done."""
    described = read_file()
    if other := describe_other_file():
        yield f"deployments: {other}"
    for pool in sorted({deployment["work_pool"]["name"] for deployment in described}):
        yield from _put_pool(client, pool)
    for name, slots, reason in (
        (LIMIT, settings.concurrency, "ADREEL_CONCURRENCY"),
        (CUTS_LIMIT, CUTS_AT_ONCE, "the cores of this machine"),
    ):
        try:
            limit = client.read_global_concurrency_limit_by_name(name)
            yield f"limit {name}: {UNCHANGED}, {limit.limit} slots"
        except ObjectNotFound:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=slots))
            yield f"limit {name}: created, {slots} slots ({reason})"
    for deployment in described:
        yield from _put_deployment(client, deployment)
    yield from put_notices(client, settings.notify_url, TAG)


def read_file() -> list[dict[str, Any]]:
    """Return the deployments of adreel's prefect.yaml in the current folder, or else of the installed one.

    A prefect.yaml of another project in the current folder is ignored: `describe_other_file` says so.
    """
    here, module = Path(FILE), Path(__file__)
    # In a wheel the file is beside this module, in a checkout beside its package.
    installed = [file for file in (module.with_name(FILE), module.parent.with_name(FILE)) if _is_adreels(file)]
    if not installed:
        raise InputError(f"no {FILE} of adreel is installed: reinstall adreel, or run this in its checkout")
    deployments: list[dict[str, Any]] = yaml.safe_load(installed[0].read_text())["deployments"]
    if not _is_adreels(here):
        return deployments
    entrypoints = {deployment["entrypoint"] for deployment in deployments}
    try:
        deployments = yaml.safe_load(here.read_text())["deployments"]
        found = [(each["name"], each["entrypoint"], each["work_pool"]["name"]) for each in deployments]
    except (KeyError, TypeError) as error:
        raise InputError(f"{here.absolute()}: a deployment has no {error}; compare it with adreel's own file") from None
    for name, entrypoint, _ in found:
        if entrypoint not in entrypoints:
            known = ", ".join(sorted(entrypoints))
            raise InputError(
                f"{here.absolute()}: {name!r} has the entrypoint {entrypoint!r}; adreel's are {known}. If it is of"
                " another project, give it another `name`, or run this in another folder"
            )
    return deployments


def describe_other_file() -> str:
    """Return what the prefect.yaml in the current folder is, if it is not adreel's; empty if there is none."""
    here = Path(FILE).absolute()
    if not here.exists() or _is_adreels(here):
        return ""
    try:
        name = yaml.safe_load(here.read_text())["name"]
        found = f"is of the project {str(name)[:60]!r}"
    except (OSError, ValueError, yaml.YAMLError):
        found = "can't be read"
    except (KeyError, TypeError):
        found = "names no project"
    return f"{here} {found}, so adreel's own file is used; `name: adreel` would make it adreel's"


def _is_adreels(file: Path) -> bool:
    try:
        described = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(described, dict) and described.get("name") == "adreel"


def _put_pool(client: SyncPrefectClient, pool: str) -> Iterator[str]:
    try:
        client.read_work_pool(pool)
        yield f"work pool {pool}: {UNCHANGED}"
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
        yield f"work pool {pool}: created, for process workers"
    for name, priority in QUEUES.items():
        try:
            queue = client.read_work_queue_by_name(name, work_pool_name=pool)
        except ObjectNotFound:
            client.create_work_queue(name, priority=priority, work_pool_name=pool)
            yield f"work queue {pool}/{name}: created, priority {priority}"
            continue
        if queue.priority != priority:
            client.update_work_queue(queue.id, priority=priority)
        done = UNCHANGED if queue.priority == priority else f"priority {queue.priority} -> {priority}"
        yield f"work queue {pool}/{name}: {done}"


def _put_deployment(client: SyncPrefectClient, described: dict[str, Any]) -> Iterator[str]:
    # Prefect's own loader searches the current folder first, which may have another project's `flows`.
    module, _, function = described["entrypoint"].rpartition(".")
    flow: Flow[..., Any] = getattr(import_module(module), function)
    name, pool = f"{flow.name}/{described['name']}", described["work_pool"]
    wanted = {
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
    try:
        found = client.read_deployment_by_name(name)
    except ObjectNotFound:
        found = None
    # A schedule that exists is kept: an operator may have changed it or switched it on.
    slugs = {schedule.slug for schedule in found.schedules} if found else set()
    missing = [
        DeploymentScheduleCreate(
            slug=schedule["slug"],
            active=schedule.get("active", True),
            parameters=schedule.get("parameters", {}),
            schedule={key: schedule[key] for key in ("cron", "interval", "timezone") if key in schedule},
        )
        for schedule in described.get("schedules", [])
        if schedule["slug"] not in slugs
    ]
    changed = [field for field, value in wanted.items() if found and getattr(found, field) != value]
    deployment_id = found.id if found else None
    if deployment_id is None or changed:
        deployment_id = client.create_deployment(
            client.create_flow_from_name(flow.name),
            described["name"],
            enforce_parameter_schema=True,
            schedules=None if found else missing,
            **wanted,
        )
    if found and missing:
        client.create_deployment_schedules(found.id, missing)
        changed.append("schedules")
    done = f"changed {', '.join(changed)}" if changed else UNCHANGED
    yield f"deployment {name}: {done if found else 'created'}"
    yield from put_triggers(client, deployment_id, described.get("triggers", []))

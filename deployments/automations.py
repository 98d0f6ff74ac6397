"""The automations that bring a run back whose worker has died; `python -m deployments.automations` makes them.

    a run that has gone silent        -> Crashed         no heartbeat and no other word of it for three heartbeats
    a run that never began            -> Crashed         claimed by a worker that died before the first heartbeat
    a crashed run                     -> AwaitingRetry   the same run, for the next worker; a bounded number of times
    one that crashes before it begins -> NeverBegan      the third time: nothing counts its starts, and it must end

All look at runs of deployments with the tag `adreel` alone. How often a run sends heartbeats is in its deployment's
environment, in prefect.yaml. docs/decisions/0008-dying-workers.md says what was measured.
"""

from datetime import timedelta
from typing import Annotated, Any

import typer
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.settings import get_current_settings

TAG = "adreel"
HEARTBEAT_SECONDS = 30
SILENT_HEARTBEATS = 3
START_SECONDS = 300
# A worker reports a run's crash twice, the second time after the run's hooks: by then it must not be under way again.
PAUSE_SECONDS = 20
RETRIES = 3
VAIN_STARTS = 3
# Longer than anybody waits for a run.
VAIN_WITHIN = timedelta(days=30)

# Any word of a run counts, its own states included: Prefect's documented list of names would take Partial for silence.
ANY_WORD = {"prefect.flow-run.*"}
OUR_RUNS: dict[str, Any] = {
    "match": {"prefect.resource.id": "prefect.flow-run.*"},
    "match_related": [
        {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"},
        # Without a deployment no worker can take the run up again.
        {"prefect.resource.role": "deployment"},
    ],
    "for_each": {"prefect.resource.id"},
}


def automations(*, window: int, start_window: int, pause: int, retries: int) -> list[AutomationCore]:
    """Describe the automations; windows and pause are in seconds."""
    return [_gone_silent(window), _not_begun(start_window), _carried_on(pause, retries), _given_up()]


def _gone_silent(window: int) -> AutomationCore:
    return AutomationCore(
        name="adreel: a silent run has crashed",
        description=f"Marks a run Crashed that sent heartbeats and then nothing for {window} s.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.heartbeat"},
            expect=ANY_WORD,
            within=timedelta(seconds=window),
            **OUR_RUNS,
        ),
        actions=[_crash(f"No heartbeat for {window} s: its process or its machine is gone.")],
    )


def _not_begun(window: int) -> AutomationCore:
    return AutomationCore(
        name="adreel: a run that never began has crashed",
        description=f"Marks a run Crashed that a worker claimed and that gave no sign of life for {window} s.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={f"prefect.flow-run.{state}" for state in ("Pending", "Submitting", "Running")},
            expect=ANY_WORD,
            within=timedelta(seconds=window),
            **OUR_RUNS,
        ),
        actions=[_crash(f"Claimed by a worker, but no sign of life for {window} s.")],
    )


def _carried_on(pause: int, retries: int) -> AutomationCore:
    # The run count grows with each start; 0 is a run that crashed before its first.
    starts = {"prefect.run-count": [str(count) for count in range(retries + 1)]}
    return AutomationCore(
        name="adreel: a crashed run is carried on",
        description=f"Gives a crashed run to the next worker, {retries} times; then it stays Crashed, its takes open.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={"prefect.flow-run.Crashed"},
            expect=ANY_WORD,
            within=timedelta(seconds=pause),
            **{**OUR_RUNS, "match": {**OUR_RUNS["match"], **starts}},
        ),
        actions=[_change(StateType.SCHEDULED, "AwaitingRetry", "Its worker died: waiting for the next one.")],
    )


def _given_up() -> AutomationCore:
    return AutomationCore(
        name="adreel: a run that never begins is given up",
        description=f"Ends a run that has crashed {VAIN_STARTS} times without beginning: a worker can't start it.",
        trigger=EventTrigger(
            posture=Posture.Reactive,
            expect={"prefect.flow-run.Crashed"},
            threshold=VAIN_STARTS,
            within=VAIN_WITHIN,
            **{**OUR_RUNS, "for_each": {"prefect.resource.id", "prefect.run-count"}},
        ),
        actions=[_change(StateType.FAILED, "NeverBegan", f"Crashed {VAIN_STARTS} times before it began: see above.")],
    )


def _crash(message: str) -> ChangeFlowRunState:
    return _change(StateType.CRASHED, "Crashed", message)


def _change(state: StateType, name: str, message: str) -> ChangeFlowRunState:
    # Never by force: what has ended meanwhile or is being cancelled stays so.
    return ChangeFlowRunState(state=state, name=name, message=message)


def make(client: SyncPrefectClient, wanted: list[AutomationCore]) -> list[str]:
    """Bring the server's automations in line with those wanted and say for each what was done."""
    return [f"{_put(client, automation)}: {automation.name}" for automation in wanted]


def _put(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    found = client.read_automations_by_name(wanted.name)
    for surplus in found[1:]:
        client.delete_automation(surplus.id)
    if not found:
        client.create_automation(wanted)
        return "made"
    if _content(found[0]) == _content(wanted):
        return "found"
    # Switched off by an operator, it stays off.
    client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))
    return "updated"


def _content(automation: AutomationCore) -> dict[str, Any]:
    return automation.model_dump(include=set(AutomationCore.model_fields) - {"enabled"})


app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    heartbeat: Annotated[int, typer.Option(min=30, help="Seconds between heartbeats, as in prefect.yaml")] = (
        HEARTBEAT_SECONDS
    ),
    window: Annotated[
        int | None, typer.Option(help="Seconds of silence after which a run counts as crashed; three heartbeats")
    ] = None,
    start_window: Annotated[int, typer.Option(min=10, help="Seconds that a claimed run may take to begin")] = (
        START_SECONDS
    ),
    pause: Annotated[int, typer.Option(min=10, help="Seconds between a crash and the next try")] = PAUSE_SECONDS,
    retries: Annotated[int, typer.Option(min=0, help="How often a crashed run is carried on")] = RETRIES,
) -> None:
    """Make the automations on the server at PREFECT_API_URL, or bring those that it has up to date."""
    window = SILENT_HEARTBEATS * heartbeat if window is None else window
    if window <= heartbeat:
        raise typer.BadParameter(f"--window {window} is no longer than a heartbeat: every run would count as crashed")
    if get_current_settings().api.url is None:
        raise typer.BadParameter("PREFECT_API_URL is not set: the embedded server ends with each command")
    with get_client(sync_client=True) as client:
        wanted = automations(window=window, start_window=start_window, pause=pause, retries=retries)
        for line in make(client, wanted):
            typer.echo(line)


if __name__ == "__main__":
    app()

"""The flow that generates many ads in one run, with a window of scenes in flight; each ad is a job of its own."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from threading import BoundedSemaphore
from typing import Annotated, Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.states import Failed
from pydantic import Field

from adreel.campaigns import Tally, campaign_name, check_sessions, left_out, read_sessions
from adreel.errors import LONGEST_MESSAGE
from adreel.flows.cancelling import end_cancelled, end_crashed
from adreel.flows.jobs import open_records
from adreel.models.api import State as AdState
from adreel.models.runners import Runner, at_work
from adreel.models.scenarios import Scenario
from adreel.orchestration.task_runner import OneLoopTaskRunner
from adreel.tasks.campaign_ads import Batch, Campaign, campaign_ads
from adreel.tasks.crash_reporter import last_will
from adreel.tasks.credentials import load_settings
from adreel.tasks.slots import ensure_limit
from adreel.text import clean_text

WINDOW = 200
ADS_IN_A_TASK = 8
"""Prefect's part of an ad, here and in its server, is shared by so many."""
WAITING = 1 / 16
"""Of a window: no more may wait for the rest of their task to find a place."""
TELL_SECONDS = 10.0

tallies: dict[str, Tally] = {}
"""What has become of the campaigns that run in this process, by flow run."""


def _run_name() -> str:
    given = flow_run.parameters
    part = f"-{given['part']}-of-{given['parts']}" if given.get("parts", 1) > 1 else ""
    return f"campaign-{campaign_name(given['source'], given.get('campaign') or '')}{part}"


@flow(
    name="generate-campaign",
    flow_run_name=_run_name,
    task_runner=OneLoopTaskRunner(),
    persist_result=False,
    on_cancellation=[end_cancelled],
    on_crashed=[end_crashed],
)
def generate_campaign(  # noqa: PLR0917 - its parameters are a form
    source: str,
    campaign: str = "",
    window: Annotated[int, Field(ge=len(Scenario))] = WINDOW,
    again: bool = False,
    part: Annotated[int, Field(ge=1)] = 1,
    parts: Annotated[int, Field(ge=1)] = 1,
) -> dict[str, Any] | State[Any]:
    """Generate the ads of many sessions. The same campaign again goes on where it stopped.

    Args:
        source: A JSON Lines file of sessions (.jsonl), a folder of session files, or one file of products and
            variants: a path or URL for the worker.
        campaign: What tells this campaign from another of the same sessions; the name of the source if empty.
        window: How many scenes may be in flight at once; the slots of the limit "runware" bound it as well.
        again: Buy anew what other jobs have bought of these sessions already.
        part: Which slice of the sessions this run makes, from 1.
        parts: Into how many slices they are cut.
    """
    _, records = open_records()
    settings = asyncio.run(load_settings())
    tally = Tally(check_sessions(settings, source, part, parts))
    if others := left_out(settings, source):
        get_run_logger().warning("not read, for these are no session files: %s", others)
    run_id = str(flow_run.id)
    made = Campaign(campaign_name(source, campaign), settings, records, tally, again, Runner.here(run_id))
    ensure_limit(settings.concurrency)
    with at_work(run_id), last_will(run_id, flow_run.run_count), _told(made) as tell:
        gate = BoundedSemaphore(window)
        sessions = read_sessions(settings, source, part, parts)
        while together := list(islice(sessions, _ads_in_a_task(window))):
            for session in together:
                _enter(gate, len(session.scenarios), tell)
            batch = Batch(made, together, gate.release)
            campaign_ads.submit(batch.name, batch.make).add_done_callback(partial(_end, batch))
        _enter(gate, window, tell)
    return _outcome(made)


def _enter(gate: BoundedSemaphore, width: int, tell: "_Teller") -> None:
    for _ in range(width):
        while not gate.acquire(timeout=TELL_SECONDS):
            tell()
        tell()


def _end(batch: Batch, _future: PrefectFuture[Any]) -> None:
    batch.end()


def _ads_in_a_task(window: int) -> int:
    return max(1, min(ADS_IN_A_TASK, int(window * WAITING / len(Scenario))))


class _Teller:
    """Logs how far a campaign is and shows it as a progress artifact, every few seconds."""

    def __init__(self, made: Campaign) -> None:
        self._made = made
        self._artifact: UUID | None = None
        self._told_at = time.monotonic()

    def __call__(self, *, now: bool = False) -> None:
        """Tell, if it is time or has to be now."""
        if not now and time.monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told_at = time.monotonic()
        tally = self._made.tally
        get_run_logger().info("%s", tally)
        try:
            self._show(100 * tally.done / max(tally.ads, 1))
        except Exception as error:
            get_run_logger().warning("progress can't be shown: %s", error)

    def _show(self, percent: float) -> None:
        if self._artifact is None:
            description = f"Campaign {self._made.name}"
            created = create_progress_artifact(percent, key="campaign-progress", description=description)
            self._artifact = created if isinstance(created, UUID) else None
        else:
            update_progress_artifact(self._artifact, progress=percent)


@contextmanager
def _told(made: Campaign) -> Iterator[_Teller]:
    tell = _Teller(made)
    tallies[str(flow_run.id)] = made.tally
    tell(now=True)
    yield tell
    tell(now=True)


def _show_summary(made: Campaign, totals: dict[str, Any]) -> None:
    rows = [{"what": name, "value": value} for name, value in totals.items()]
    rows += [{"what": "failed", "value": failure} for failure in made.tally.failures]
    try:
        create_table_artifact(rows, key="campaign-summary", description=f"Campaign {made.name}: {made.tally}")
    except Exception as error:
        get_run_logger().warning("the summary can't be shown: %s", error)


def _outcome(made: Campaign) -> dict[str, Any] | State[Any]:
    tally = made.tally
    totals = {
        "ads": tally.ads,
        **{f"ads {state}": tally.states[state] for state in AdState if tally.states[state]},
        **{f"scenes {state}": tally.scenes[state] for state in AdState if tally.scenes[state]},
        "cost": tally.money,
    }
    _show_summary(made, totals)
    if tally.states[AdState.COMPLETED] == tally.ads:
        return totals
    name = "Partial" if tally.scenes[AdState.COMPLETED] else "Failed"
    message = "\n".join([f"Campaign {made.name}: {tally}", *tally.failures])
    return Failed(name=name, message=clean_text(message, LONGEST_MESSAGE))

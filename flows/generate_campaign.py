"""The flow that generates many ads in one run, with a window of scenes in flight. Each ad is a job of its own."""

import asyncio
import time
from collections import Counter
from functools import partial
from itertools import islice
from threading import BoundedSemaphore
from typing import Annotated, Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import Field

from adreel.campaigns import Tally, campaign_name, check_sessions, ignored_files, read_sessions
from adreel.campaigns.prices import check_campaign_cost, count_affordable, unstarted_costs
from adreel.errors import AdreelError, OverBudget
from adreel.flows.forms import ClipPrice, MaxCost
from adreel.flows.jobs import is_of_deployment, open_records, refused
from adreel.flows.options import FLOW_OPTIONS
from adreel.models.api import State as AdState
from adreel.models.runners import Runner, registered_run
from adreel.models.scenarios import Scenario
from adreel.models.spend import OVER_BUDGET, to_micros
from adreel.purchase.balance import warn_of_balance
from adreel.tasks.artifacts import show_table
from adreel.tasks.campaign_ads import Batch, Campaign, campaign_ads
from adreel.tasks.crash_reporter import crash_reporter
from adreel.tasks.credentials import load_settings
from adreel.tasks.slots import CUTS_AT_ONCE, CUTS_LIMIT, ensure_limit

WINDOW = 200
ADS_PER_TASK = 8
"""Prefect's overhead for a task is shared by so many ads."""
TASK_SHARE = 1 / 16
"""Largest part of the window that one task may take."""
REPORT_SECONDS = 10.0

tallies: dict[str, Tally] = {}
"""Totals of the campaigns that run in this process, by flow run."""


def _run_name() -> str:
    given = flow_run.parameters
    part = f"-{given['part']}-of-{given['parts']}" if given.get("parts", 1) > 1 else ""
    return f"campaign-{campaign_name(given['source'], given.get('campaign') or '')}{part}"


@flow(name="generate-campaign", flow_run_name=_run_name, **FLOW_OPTIONS)
def generate_campaign(  # noqa: PLR0917 - its parameters are a form
    source: str,
    campaign: str = "",
    window: Annotated[int, Field(ge=len(Scenario))] = WINDOW,
    again: bool = False,
    part: Annotated[int, Field(ge=1)] = 1,
    parts: Annotated[int, Field(ge=1)] = 1,
    cut: bool = True,
    clip_price: ClipPrice = 0,
    max_cost: MaxCost = 0,
) -> dict[str, Any] | State[Any]:
    """Generate the ads of many sessions. The same campaign continues where it stopped when it is started again.

    Args:
        source: A JSON Lines file of sessions (.jsonl), a folder of session files, or one file of products and
            variants: a path or URL for the worker.
        campaign: The name that separates this campaign from others of the same sessions. Empty for the source's name.
        window: Maximum number of scenes, voices and music in flight. The slots of the limit "runware" bound it as well.
        again: Also buy clips that other jobs have already bought for these sessions.
        part: Which slice of the sessions this run makes, from 1.
        parts: Into how many slices they are cut.
        cut: Make the finished ad of each ad whose four scenes have clips.
        clip_price: USD of each clip whose price is unknown. Such a clip is refused under a budget without it.
        max_cost: Most USD of all clips by their prices. A dearer campaign is not started. Retries come on top:
            a budget limits them. 0 is no limit.
    """
    _, records = open_records()
    settings = asyncio.run(load_settings())
    warnings = Counter[str]()
    usd_of_clip = clip_price or None
    if max_cost:
        try:
            check_campaign_cost(settings, source, max_cost, usd_of_clip)
        except OverBudget as error:
            return refused(error)
    tally = Tally(check_sessions(settings, source, part, parts, warnings=warnings))
    for message, scenes in warnings.items():
        get_run_logger().warning("%d scenes: %s", scenes, message)
    if others := ignored_files(settings, source):
        get_run_logger().warning("skipped, because they are not session files: %s", others)
    run_id, name = str(flow_run.id), campaign_name(source, campaign)
    if affordable := count_affordable(settings, records, source, name, part=part, parts=parts, clip_price=usd_of_clip):
        get_run_logger().info("%s", affordable)
    if is_of_deployment():
        costs = partial(
            unstarted_costs, settings, records, source, name, part=part, parts=parts, clip_price=usd_of_clip
        )
        warn_of_balance(settings, lambda: sum(to_micros(cost or 0) for cost in costs()), get_run_logger().warning)
    shared = Campaign(
        name,
        settings,
        records,
        tally,
        again,
        Runner.here(run_id),
        cut,
        clip_price=usd_of_clip,
    )
    ensure_limit(settings.concurrency)
    ensure_limit(CUTS_AT_ONCE, CUTS_LIMIT)
    with registered_run(run_id), crash_reporter(run_id, flow_run.run_count):
        tallies[run_id] = tally
        progress = CampaignProgress(shared)
        gate = BoundedSemaphore(window)
        running: set[PrefectFuture[Any]] = set()
        sessions = read_sessions(settings, source, part, parts)
        ads_per_task = max(1, min(ADS_PER_TASK, int(window * TASK_SHARE / len(Scenario))))
        while together := list(islice(filter(shared.continues, sessions), ads_per_task)):
            for session in together:
                _enter(gate, min(len(session.parts), window), progress)
            batch = Batch(shared, together, lambda parts: gate.release(min(parts, window)))
            future = campaign_ads.submit(batch.name, batch.make)
            running.add(future)
            future.add_done_callback(batch.end)
            future.add_done_callback(running.discard)
        # The whole window is free once all clips are there. Finished ads may still be rendered.
        _enter(gate, window, progress)
        while running:
            wait(list(running), timeout=REPORT_SECONDS)
            progress.report_if_due()
        progress.report()
    return _sum_up(shared)


def _enter(gate: BoundedSemaphore, scenes: int, progress: "CampaignProgress") -> None:
    for _ in range(scenes):
        while not gate.acquire(timeout=REPORT_SECONDS):
            progress.report_if_due()
        progress.report_if_due()


class CampaignProgress:
    """Logs the totals of a campaign and shows them as a progress artifact, every few seconds."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._artifact: UUID | None = None
        self.report()

    def report_if_due(self) -> None:
        """Report, unless that was done a moment ago."""
        if time.monotonic() - self._reported_at >= REPORT_SECONDS:
            self.report()

    def report(self) -> None:
        """Log the totals and update the artifact."""
        self._reported_at = time.monotonic()
        tally = self._campaign.tally
        get_run_logger().info("%s", tally)
        percent = 100 * tally.done / max(tally.ads, 1)
        try:
            if self._artifact is None:
                description = f"Campaign {self._campaign.name}"
                created = create_progress_artifact(percent, key="campaign-progress", description=description)
                self._artifact = created if isinstance(created, UUID) else None
            else:
                update_progress_artifact(self._artifact, progress=percent)
        except Exception as error:
            get_run_logger().warning("can't show the progress: %s", error)


def _sum_up(campaign: Campaign) -> dict[str, Any] | State[Any]:
    tally = campaign.tally
    totals = {
        "ads": tally.ads,
        **{f"ads {state}": tally.states[state] for state in AdState if tally.states[state]},
        **({"ads not sent": tally.unsent} if tally.unsent else {}),
        **{f"scenes {state}": tally.scenes[state] for state in AdState if tally.scenes[state]},
        "cost": tally.money,
    }
    rows = [{"what": name, "value": value} for name, value in totals.items()]
    rows += [{"what": "failed", "value": failure} for failure in tally.failures]
    description = f"Campaign {campaign.name}: {tally}"
    show_table("campaign-summary", description, rows)
    if tally.states[AdState.COMPLETED] == tally.ads:
        return totals
    if tally.is_over_budget and tally.states[AdState.COMPLETED] == tally.done:
        message = f"{description}. The same campaign continues with the {tally.unsent} ads that were not sent"
        return Completed(name=OVER_BUDGET, message=str(AdreelError(message)), data=totals)
    name = "Partial" if tally.scenes[AdState.COMPLETED] else "Failed"
    return Failed(name=name, message=str(AdreelError("\n".join([description, *tally.failures]))))

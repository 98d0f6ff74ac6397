"""Prometheus metrics: jobs, scenes, seconds, cost and lag from the records; requests from this process."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from adreel.errors import BadRecord, StorageError
from adreel.index import SessionIndex
from adreel.index.campaigns import states_of_newest
from adreel.index.totals import Totals, read_totals, sessions_with
from adreel.models.api import State
from adreel.models.parts import PARTS
from adreel.models.scenarios import Scenario
from adreel.models.spend import to_usd
from adreel.spend.budgets import Budgets, BudgetView

FRESH_SECONDS = 10.0
CAMPAIGNS = 50
"""Campaigns that metrics name. The number of time series stays bounded."""
log = logging.getLogger("adreel.api")
SCENE_SECONDS = (15, 30, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1800, 3600)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, index: SessionIndex) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "adreel_http_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "adreel_http_request_seconds", "Time until a request was answered", ["route"], registry=self._registry
        )
        self._registry.register(RecordsCollector(index))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format; never waits for the storage."""
        return generate_latest(self._registry)


class RecordsCollector(Collector):
    """Metrics of the records at their last reading. A scrape starts the next reading in the background.

    One reading runs at a time, in its own thread, and sums up the index: a storage that hangs blocks no scrape.
    """

    def __init__(self, index: SessionIndex, clock: Callable[[], float] = time.monotonic) -> None:
        self._index, self._clock = index, clock
        self._reading = threading.Lock()
        self._families: list[Metric] = []
        self._read_at: float | None = None
        self._pruned_count: int | None = None

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not read the storage."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all jobs and their age; nothing before the first reading."""
        age = None if self._read_at is None else self._clock() - self._read_at
        if (age is None or age > FRESH_SECONDS) and self._reading.acquire(blocking=False):
            threading.Thread(target=self._read, name="adreel-metrics", daemon=True).start()
        if age is not None:
            yield from self._families
            yield GaugeMetricFamily("adreel_records_age_seconds", "Since the records were last read", value=age)

    def _read(self) -> None:
        try:
            self.read()
        except StorageError as error:
            log.warning("the metrics of the records are not up to date: %s", error)
        finally:
            self._reading.release()

    def read(self) -> bool:
        """Sum up the index; returns False, and changes nothing, while it is built or many takes are pruned."""
        records = self._index.records
        if not self._index.is_followed:
            self._index.update()
        if not self._index.is_complete or self._index.problem:
            return False
        pruned = records.pruned_spend()
        earlier, self._pruned_count = self._pruned_count, pruned.count
        # A pruned take must not count twice. Only the last ones are known one by one; the index has dropped the others.
        if earlier is not None and pruned.count - earlier > len(pruned.recent):
            return False
        keys = {*pruned.removing, *pruned.recent}
        self._index.refresh(sessions_with(self._index.database, keys))
        totals = read_totals(self._index.database, SCENE_SECONDS, keys)
        if records.pruned_spend() != pruned:
            return False
        for spend in pruned.every:
            totals.billed[spend.model, spend.campaign or "", spend.is_local] += spend.billed
        budgets: list[BudgetView] = []
        try:
            budgets = Budgets(records).views()
        except BadRecord as error:
            log.warning("no metrics of budgets: %s", error)
        campaigns = states_of_newest(self._index.database, CAMPAIGNS)
        self._families = list(metric_families(totals, budgets, campaigns))
        self._read_at = self._clock()
        return True


def metric_families(
    totals: Totals, budgets: Iterable[BudgetView] = (), campaigns: Mapping[str, Mapping[State, int]] | None = None
) -> Iterator[Metric]:
    """Return the metrics of all jobs."""
    jobs = GaugeMetricFamily("adreel_jobs", "Jobs in the storage", labels=["state"])
    for state in State:
        jobs.add_metric([state], totals.jobs.get(state, 0))
    yield jobs
    scenes = GaugeMetricFamily(
        "adreel_scenes", "Scenes, voices, music and stills of jobs, by outcome", labels=["scenario", "state"]
    )
    for part in PARTS:
        # Most ads have no voice, music or still.
        if isinstance(part, Scenario) or any((part, state) in totals.scenes for state in State):
            for state in (State.GENERATING, State.COMPLETED, State.FAILED, State.CANCELLED):
                scenes.add_metric([part, state], totals.scenes.get((part, state), 0))
    yield scenes
    ads = GaugeMetricFamily(
        "adreel_campaign_ads", "Ads of the campaigns that were started last", labels=["campaign", "state"]
    )
    for campaign, states in (campaigns or {}).items():
        for state in State:
            ads.add_metric([campaign, state], states.get(state, 0))
    yield ads
    limits = [*map(str, SCENE_SECONDS), "+Inf"]
    yield HistogramMetricFamily(
        "adreel_scene_seconds",
        "From planned to stored",
        buckets=list(zip(limits, totals.seconds, strict=True)),
        sum_value=totals.seconds_sum,
    )
    billed = totals.billed
    yield CounterMetricFamily(
        "adreel_cost_usd", "Cost as reported by the provider or the emulator", value=to_usd(billed.total())
    )
    spend = CounterMetricFamily("adreel_spend_usd", "Money spent, as billed", labels=["model", "campaign"])
    for (model, campaign, is_local), amount in sorted(billed.items()):
        if not is_local:
            spend.add_metric([model, campaign], to_usd(amount))
    yield spend
    left = GaugeMetricFamily("adreel_budget_left_usd", "Left of a budget in its present period", labels=["budget"])
    for budget in budgets:
        left.add_metric([budget.name], to_usd(budget.left))
    yield left
    yield GaugeMetricFamily("adreel_unknown_costs", "Takes whose cost is not known", value=totals.unknown_costs)
    silent = time.time() - totals.silent_since if totals.silent_since else 0
    yield GaugeMetricFamily(
        "adreel_lag_seconds", "Since the last news of the open scene that has been silent longest", value=silent
    )
    yield GaugeMetricFamily(
        "adreel_unreadable_jobs", "Jobs with a record that can't be read", value=totals.unreadable_jobs
    )

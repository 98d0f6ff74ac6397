"""Prometheus metrics: jobs, scenes, seconds, cost and lag from the records; requests from this process."""

import logging
import sys
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from adreel.errors import BadRecord, StorageError, StorageUnavailable
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.spend import MICROS
from adreel.models.spend_totals import PrunedSpend, Spend
from adreel.models.takes import utc_now
from adreel.records import Records
from adreel.records.spend import spend_of, take_key
from adreel.records.views import combine, scene_status
from adreel.spend.budgets import Budgets, BudgetView

FRESH_SECONDS = 10.0
READ_SECONDS = 30.0
"""Time limit of one reading of the records; the read in flight may exceed it."""
log = logging.getLogger("adreel.api")
SCENE_SECONDS = (15, 30, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1800, 3600)


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, records: Records) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "adreel_http_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "adreel_http_request_seconds", "Time until a request was answered", ["route"], registry=self._registry
        )
        self._registry.register(RecordsCollector(records))

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format; never waits for the storage."""
        return generate_latest(self._registry)


Labels = tuple[str, str, bool]
"""Model and campaign of a take, and whether the emulator rendered it."""


@dataclass(frozen=True, slots=True)
class JobSample:
    """Contribution of one job to the metrics."""

    state: State
    scenes: list[tuple[Scenario, State]]
    seconds: list[float]
    billed: dict[str, tuple[Labels, int]]
    """What the spend of each take counts for, and its micro-dollars."""
    unknown_costs: int
    silent_since: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether nothing can change it any more: every clip is stored."""
        return self.state == State.COMPLETED


class RecordsCollector(Collector):
    """Metrics of the records at their last reading. A scrape starts the next reading in the background.

    One reading runs at a time, in its own thread: a storage that hangs blocks no scrape and no thread of the routes.
    A reading that takes longer than READ_SECONDS continues with the next scrape. Jobs with all clips stored are read
    only once.
    """

    def __init__(self, records: Records, clock: Callable[[], float] = time.monotonic) -> None:
        self._records, self._clock = records, clock
        self._samples: dict[str, JobSample | None] = {}
        """By job; None for a job that can't be read."""
        self._pruned = PrunedSpend()
        self._unread: list[str] = []
        self._reading = threading.Lock()
        self._complete: tuple[list[JobSample | None], Tally[Labels], list[BudgetView]] | None = None
        self._read_at: float | None = None

    def describe(self) -> list[Metric]:
        """Return nothing: registering must not read the storage."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all jobs and their age; nothing before the first reading."""
        age = None if self._read_at is None else self._clock() - self._read_at
        if (age is None or age > FRESH_SECONDS) and self._reading.acquire(blocking=False):
            threading.Thread(target=self._read, name="adreel-metrics", daemon=True).start()
        if self._complete is not None and age is not None:
            yield from metric_families(*self._complete)
            yield GaugeMetricFamily("adreel_records_age_seconds", "Since the records were last read", value=age)

    def _read(self) -> None:
        try:
            if self.read_some():
                self._complete = list(self._samples.values()), self._billed(), self._budgets()
                self._read_at = self._clock()
        except StorageError as error:
            log.warning("the metrics of the records are not up to date: %s", error)
        finally:
            self._reading.release()

    def read_some(self) -> bool:
        """Read jobs for READ_SECONDS; returns whether all are read."""
        end = self._clock() + READ_SECONDS
        if not self._unread:
            self._read_pruned()
            self._unread = self._records.job_ids()
            self._samples = {job_id: self._samples[job_id] for job_id in self._unread if job_id in self._samples}
        while self._unread and self._clock() < end:
            job_id = self._unread.pop()
            known = self._samples.get(job_id)
            if known is None or not known.is_final:
                try:
                    self._samples[job_id] = self._sample(job_id)
                except StorageUnavailable:
                    raise
                except StorageError:
                    self._samples[job_id] = None
        if self._unread:
            return False
        return self._read_pruned()

    def _read_pruned(self) -> bool:
        """Read what pruned takes had cost; returns False if the samples are dropped, because too much was pruned.

        A take that is pruned after its job was read would count twice. Only the last ones are known one by one.
        """
        earlier, self._pruned = self._pruned, self._records.pruned_spend()
        is_known = self._pruned.count - earlier.count <= len(self._pruned.recent)
        if not is_known:
            self._samples = {}
        return is_known

    def _billed(self) -> Tally[Labels]:
        """Sum up the bills of all takes, each once, so that no sum falls when takes are pruned."""
        billed, pruned = Tally[Labels](), {*self._pruned.removing, *self._pruned.recent}
        for sample in self._samples.values():
            for key, (labels, amount) in sample.billed.items() if sample else ():
                if key not in pruned:
                    billed[labels] += amount
        for spend in self._pruned.every:
            billed[_labels(spend)] += spend.billed
        return billed

    def _budgets(self) -> list[BudgetView]:
        try:
            return Budgets(self._records).views()
        except BadRecord as error:
            log.warning("no metrics of budgets: %s", error)
            return []

    def _sample(self, job_id: str) -> JobSample:
        job = self._records.job(job_id)
        if job is None:
            raise StorageError(f"job {job_id} is gone")
        takes = {scenario: self._records.take(job.session_id, scenario, job_id) for scenario in job.scenarios}
        states = {scenario: scene_status(job, take, scenario).status for scenario, take in takes.items()}
        bought = [take for take in takes.values() if take and any(each.state != "planned" for each in take.attempts)]
        open_takes = [take for scenario, take in takes.items() if take and states[scenario] == State.GENERATING]
        return JobSample(
            state=combine(states.values()),
            scenes=list(states.items()),
            seconds=[(take.updated_at - take.created_at).total_seconds() for take in bought if take.is_stored],
            billed={take_key(take): (_labels(spend), spend.billed) for take in bought if (spend := spend_of(take))},
            unknown_costs=sum(take.cost is None for take in bought),
            silent_since=min((take.updated_at for take in open_takes), default=None),
        )


def _labels(spend: Spend) -> Labels:
    # Few models and campaigns are in many takes.
    return sys.intern(spend.model), sys.intern(spend.campaign or ""), spend.is_local


def metric_families(
    samples: list[JobSample | None], billed: Tally[Labels], budgets: Iterable[BudgetView] = ()
) -> Iterator[Metric]:
    """Sum up all jobs; None stands for a job that can't be read. `billed` is in micro-dollars."""
    readable = [sample for sample in samples if sample]
    states = Tally(sample.state for sample in readable)
    jobs = GaugeMetricFamily("adreel_jobs", "Jobs in the storage", labels=["state"])
    for state in State:
        jobs.add_metric([state], states[state])
    yield jobs
    outcomes = Tally(scene for sample in readable for scene in sample.scenes)
    scenes = GaugeMetricFamily("adreel_scenes", "Scenes of jobs, by outcome", labels=["scenario", "state"])
    for scenario in Scenario:
        for state in (State.GENERATING, State.COMPLETED, State.FAILED):
            scenes.add_metric([scenario, state], outcomes[scenario, state])
    yield scenes
    seconds = [each for sample in readable for each in sample.seconds]
    buckets: list[tuple[str, float]] = [(str(limit), sum(each <= limit for each in seconds)) for limit in SCENE_SECONDS]
    yield HistogramMetricFamily(
        "adreel_scene_seconds",
        "From planned to stored",
        buckets=[*buckets, ("+Inf", len(seconds))],
        sum_value=sum(seconds),
    )
    yield CounterMetricFamily(
        "adreel_cost_usd", "Cost as reported by the provider or the emulator", value=billed.total() / MICROS
    )
    spend = CounterMetricFamily("adreel_spend_usd", "Money spent, as billed", labels=["model", "campaign"])
    for (model, campaign, is_local), amount in sorted(billed.items()):
        if not is_local:
            spend.add_metric([model, campaign], amount / MICROS)
    yield spend
    left = GaugeMetricFamily("adreel_budget_left_usd", "Left of a budget in its present period", labels=["budget"])
    for budget in budgets:
        left.add_metric([budget.name], budget.left / MICROS)
    yield left
    unknown_costs = sum(sample.unknown_costs for sample in readable)
    yield GaugeMetricFamily("adreel_unknown_costs", "Takes whose cost is not known", value=unknown_costs)
    silent_since = min((sample.silent_since for sample in readable if sample.silent_since), default=None)
    silent = (utc_now() - silent_since).total_seconds() if silent_since else 0
    yield GaugeMetricFamily(
        "adreel_lag_seconds", "Since the last news of the open scene that has been silent longest", value=silent
    )
    unreadable = samples.count(None)
    yield GaugeMetricFamily("adreel_unreadable_jobs", "Jobs with a record that can't be read", value=unreadable)

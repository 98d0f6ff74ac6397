"""Prometheus metrics: jobs, scenes, seconds, cost and lag from the records; requests from this process."""

import logging
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from adreel.errors import StorageError, StorageUnavailable
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.takes import Take, utc_now
from adreel.records import Records
from adreel.records.views import combine, scene_status

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


@dataclass(frozen=True)
class JobFacts:
    """Contribution of one job to the metrics."""

    state: State
    scenes: list[tuple[Scenario, State]]
    seconds: list[float]
    cost: float
    unknown_costs: int
    silent_since: datetime | None

    @property
    def is_settled(self) -> bool:
        """Whether nothing can change it any more: every clip is stored."""
        return self.state == State.COMPLETED


@dataclass
class Totals:
    """The sum over all jobs."""

    jobs: "Tally[State]" = field(default_factory=Tally)
    scenes: "Tally[tuple[Scenario, State]]" = field(default_factory=Tally)
    seconds: list[float] = field(default_factory=list)
    cost: float = 0
    unknown_costs: int = 0
    silent_since: datetime | None = None
    unreadable: int = 0

    def add(self, facts: JobFacts) -> None:
        """Add a job."""
        self.jobs[facts.state] += 1
        self.scenes.update(facts.scenes)
        self.seconds += facts.seconds
        self.cost += facts.cost
        self.unknown_costs += facts.unknown_costs
        self.silent_since = min(filter(None, (self.silent_since, facts.silent_since)), default=None)


class RecordsCollector(Collector):
    """Metrics of the records at their last reading. A scrape starts the next reading in the background.

    One reading runs at a time, in its own thread: a storage that hangs blocks no scrape and no thread of the routes.
    A reading that takes longer than READ_SECONDS continues with the next scrape. Jobs with all clips stored are read
    only once.
    """

    def __init__(self, records: Records, clock: Callable[[], float] = time.monotonic) -> None:
        self._records, self._clock = records, clock
        self._facts_of: dict[str, JobFacts | None] = {}
        self._left: list[str] = []
        self._reading = threading.Lock()
        self._totals: Totals | None = None
        self._read_at: float | None = None

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: registering must not read the storage."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all jobs and their age; nothing before the first reading."""
        age = None if self._read_at is None else self._clock() - self._read_at
        if (age is None or age > FRESH_SECONDS) and self._reading.acquire(blocking=False):
            threading.Thread(target=self._read, name="adreel-metrics", daemon=True).start()
        if self._totals is not None and age is not None:
            yield from _families(self._totals)
            yield GaugeMetricFamily("adreel_records_age_seconds", "Since the records were last read", value=age)

    def _read(self) -> None:
        try:
            if self._read_some():
                self._totals, self._read_at = self._sum(), self._clock()
        except StorageError as error:
            log.warning("the metrics of the records are not up to date: %s", error)
        finally:
            self._reading.release()

    def _read_some(self) -> bool:
        """Read jobs until all are read or the time is up."""
        end = self._clock() + READ_SECONDS
        if not self._left:
            self._left = self._records.job_ids()
            self._facts_of = {job_id: self._facts_of[job_id] for job_id in self._left if job_id in self._facts_of}
        while self._left and self._clock() < end:
            job_id = self._left.pop()
            known = self._facts_of.get(job_id)
            if known is None or not known.is_settled:
                try:
                    self._facts_of[job_id] = self._facts(job_id)
                except StorageUnavailable:
                    raise
                except StorageError:
                    self._facts_of[job_id] = None
        return not self._left

    def _sum(self) -> Totals:
        totals = Totals()
        for facts in self._facts_of.values():
            if facts is None:
                totals.unreadable += 1
            else:
                totals.add(facts)
        return totals

    def _facts(self, job_id: str) -> JobFacts:
        job = self._records.job(job_id)
        if job is None:
            raise StorageError(f"job {job_id} is gone")
        takes = {scenario: self._records.take(job.session_id, scenario, job_id) for scenario in job.scenarios}
        states = {scenario: scene_status(job, take, scenario).status for scenario, take in takes.items()}
        bought = [take for take in takes.values() if take and any(each.state != "planned" for each in take.attempts)]
        open_takes = [take for scenario, take in takes.items() if take and states[scenario] == State.GENERATING]
        return JobFacts(
            state=combine(states.values()),
            scenes=list(states.items()),
            seconds=[_seconds(take) for take in bought if take.is_stored],
            cost=sum(take.cost or 0 for take in bought),
            unknown_costs=sum(take.cost is None for take in bought),
            silent_since=min((take.updated_at for take in open_takes), default=None),
        )


def _seconds(take: Take) -> float:
    return (take.updated_at - take.created_at).total_seconds()


def _families(totals: Totals) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("adreel_jobs", "Jobs in the storage", labels=["state"])
    for state in State:
        jobs.add_metric([state], totals.jobs[state])
    yield jobs
    scenes = GaugeMetricFamily("adreel_scenes", "Scenes of jobs, by outcome", labels=["scenario", "state"])
    for scenario in Scenario:
        for state in (State.GENERATING, State.COMPLETED, State.FAILED):
            scenes.add_metric([scenario, state], totals.scenes[scenario, state])
    yield scenes
    yield HistogramMetricFamily(
        "adreel_scene_seconds",
        "From planned to stored",
        buckets=_buckets(totals.seconds),
        sum_value=sum(totals.seconds),
    )
    yield CounterMetricFamily("adreel_cost_usd", "Cost as reported by the provider", value=totals.cost)
    yield GaugeMetricFamily("adreel_unknown_costs", "Takes whose cost is not known", value=totals.unknown_costs)
    silent = (utc_now() - totals.silent_since).total_seconds() if totals.silent_since else 0
    yield GaugeMetricFamily(
        "adreel_lag_seconds", "Since the last news of the open scene that has been silent longest", value=silent
    )
    yield GaugeMetricFamily("adreel_unreadable_jobs", "Jobs with a record that can't be read", value=totals.unreadable)


def _buckets(seconds: list[float]) -> list[tuple[str, float]]:
    within: list[tuple[str, float]] = [(str(limit), sum(each <= limit for each in seconds)) for limit in SCENE_SECONDS]
    return [*within, ("+Inf", len(seconds))]

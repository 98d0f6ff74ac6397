"""What Prometheus may know: jobs, scenes, seconds, cost and lag from the records; requests from this process."""

import threading
import time
from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from adreel.errors import StorageError
from adreel.messages import State
from adreel.records import Records
from adreel.scenarios import Scenario
from adreel.takes import Take, utc_now
from adreel.views import combine, scene_status

FRESH_SECONDS = 10.0
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
        """Return all metrics in Prometheus' text format; reads the records."""
        return generate_latest(self._registry)


@dataclass(frozen=True)
class JobFacts:
    """What one job adds to the metrics."""

    state: State
    scenes: list[tuple[Scenario, State]]
    seconds: list[float]
    cost: float
    unknown_costs: int
    silent: float

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
    silent: float = 0
    unreadable: int = 0

    def add(self, facts: JobFacts) -> None:
        """Add a job."""
        self.jobs[facts.state] += 1
        self.scenes.update(facts.scenes)
        self.seconds += facts.seconds
        self.cost += facts.cost
        self.unknown_costs += facts.unknown_costs
        self.silent = max(self.silent, facts.silent)


class RecordsCollector(Collector):
    """Sums up the records, at most once in FRESH_SECONDS; jobs with every clip stored are read once only."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._settled: dict[str, JobFacts] = {}
        self._lock = threading.Lock()
        self._totals = Totals()
        self._read_at: float | None = None

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: registering must not read the storage."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all jobs."""
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at > FRESH_SECONDS:
                self._totals, self._read_at = self._sum(), time.monotonic()
            totals = self._totals
        yield from _families(totals)

    def _sum(self) -> Totals:
        totals = Totals()
        for job_id in self._records.job_ids():
            try:
                facts = self._settled.get(job_id) or self._facts(job_id)
            except StorageError:
                totals.unreadable += 1
                continue
            if facts is None:
                continue
            totals.add(facts)
            if facts.is_settled:
                self._settled[job_id] = facts
        return totals

    def _facts(self, job_id: str) -> JobFacts | None:
        job = self._records.job(job_id)
        if job is None:
            return None
        takes = {scenario: self._records.take(job.session_id, scenario, job_id) for scenario in job.scenarios}
        states = {scenario: scene_status(job, take, scenario).status for scenario, take in takes.items()}
        bought = [take for take in takes.values() if take and any(each.state != "planned" for each in take.attempts)]
        now = utc_now()
        return JobFacts(
            state=combine(states.values()),
            scenes=list(states.items()),
            seconds=[_seconds(take) for take in bought if take.is_stored],
            cost=sum(take.cost or 0 for take in bought),
            unknown_costs=sum(take.cost is None for take in bought),
            silent=max(
                (
                    (now - take.updated_at).total_seconds()
                    for scenario, take in takes.items()
                    if take and states[scenario] == State.GENERATING
                ),
                default=0,
            ),
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
    yield GaugeMetricFamily(
        "adreel_lag_seconds", "Since the last news of the open scene that has been silent longest", value=totals.silent
    )
    yield GaugeMetricFamily("adreel_unreadable_jobs", "Jobs with a record that can't be read", value=totals.unreadable)


def _buckets(seconds: list[float]) -> list[tuple[str, float]]:
    within: list[tuple[str, float]] = [(str(limit), sum(each <= limit for each in seconds)) for limit in SCENE_SECONDS]
    return [*within, ("+Inf", len(seconds))]

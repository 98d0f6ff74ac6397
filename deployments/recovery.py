"""Reschedules the runs of dead workers. It polls Prefect for runs that make no progress.

    Running, and no heartbeat for a while         -> Crashed         its process or its machine is gone
    Pending for a while                           -> Crashed         the worker that claimed it is gone
    Crashed a moment ago                          -> AwaitingRetry   the same run, for the next worker

It also reconciles the budgets, which the runs of dead workers could not do.

Only runs of deployments with the tag `adreel` are considered. The recovery stores nothing: it may be killed,
restarted or run twice. docs/decisions/0008-dying-workers.md says why it polls instead of subscribing to events.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import AwaitingRetry, Crashed

from adreel.errors import AdreelError
from adreel.orchestration.errors import explain
from adreel.spend.budgets import Budgets

TAG = "adreel"
HEARTBEAT_SECONDS = 30
RETRY_MESSAGE = "Its worker died: waiting for the next one."
# Older crashed runs are not retried, so that the first start of the recovery does not buy clips by surprise.
CRASHED_WITHIN = 24 * 3600.0
PAGE_SIZE = 200

Log = Callable[[str], None]


@dataclass(frozen=True)
class RecoveryOptions:
    """Timeouts in seconds, and the number of retries."""

    silence: float = 3 * HEARTBEAT_SECONDS
    """Time without a heartbeat until a running run counts as dead."""
    start: float = 120.0
    """Time from a worker's claim of a run to its start."""
    pause: float = 25.0
    """Time from a crash to the retry. A worker reports a crash twice, and the second report must not hit the retry."""
    retries: int = 5
    every: float = 10.0
    """Interval between two sweeps."""
    reconcile: float = 300.0
    """Interval between two accounts of budgets."""


class Recovery:
    """Recovers the runs of one Prefect server."""

    def __init__(
        self, client: SyncPrefectClient, options: RecoveryOptions, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._options = options
        self._clock = clock
        self._last_error = ""
        self._given_up: set[UUID] = set()
        self._failed_moves: set[UUID] = set()
        self._watching_since = self._last_sweep = float("-inf")

    def watch(self, log: Log, open_budgets: Callable[[], Budgets] | None = None) -> None:
        """Sweep for ever, and reconcile the budgets now and then."""

        def log_if_possible(text: str) -> None:
            # A closed terminal must not end the recovery.
            with suppress(OSError):
                log(text)

        reconciled_at = float("-inf")
        while True:
            self.try_sweep(log_if_possible)
            if open_budgets is not None and self._clock() - reconciled_at > self._options.reconcile:
                reconciled_at = self._clock()
                self.reconcile(open_budgets, log_if_possible)
            time.sleep(self._options.every)

    def reconcile(self, open_budgets: Callable[[], Budgets], log: Log) -> None:
        """Account for the clips of dead runs, and release what is held for tasks that will not be sent."""
        broken: list[AdreelError] = []
        try:
            found = open_budgets().reconcile(self._is_over, broken)
        except (AdreelError, httpx.HTTPError) as error:
            log(f"the budgets can't be reconciled: {error}; retrying")
            return
        for each in broken:
            log(f"the money of a clip stays held: {each}")
        if found.settled or found.released:
            log(f"budgets: {found.settled} settled, {found.released} released, {found.open} still open")

    def _is_over(self, key: str) -> bool:
        """Whether the run of a request has ended, or was never started."""
        of_key = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
        runs = self._client.read_flow_runs(flow_run_filter=of_key, limit=1)
        return all(run.state is not None and run.state.is_final() for run in runs)

    def try_sweep(self, log: Log) -> None:
        """Sweep once. An error is logged when it first occurs, and the next sweep tries again."""
        try:
            self.sweep(log)
            message = ""
        except Exception as error:
            explained = explain(error)
            message = str(explained) if explained else f"{type(error).__name__}: {error}"
        if message != self._last_error:
            log(f"{message}; retrying" if message else "Prefect answers again")
        self._last_error = message

    def sweep(self, log: Log) -> None:
        """Move stuck runs once, and log each move. Raises the errors of Prefect's client."""
        for run in self._crashed(log):
            self._move(run, AwaitingRetry(message=RETRY_MESSAGE), log)
        active = list(self._runs([StateType.PENDING, StateType.RUNNING]))
        # After a gap (the server was down, or this machine slept), every run gets its full time again.
        now = self._clock()
        if now - self._last_sweep > max(2 * self._options.every, HEARTBEAT_SECONDS):
            self._watching_since = now
        self._last_sweep = now
        for run, why in self._dead(active):
            self._move(run, Crashed(message=why), log)

    def overdue(self) -> list[FlowRun]:
        """Return the runs that a recovery should have moved by now. Moves none."""
        dead = self._dead(list(self._runs([StateType.PENDING, StateType.RUNNING])))
        return [*self._crashed(lambda _: None), *(run for run, _ in dead)]

    def _crashed(self, log: Log) -> Iterator[FlowRun]:
        """List the crashed runs that may be retried now."""
        for run in self._runs([StateType.CRASHED], end_time={"after_": self._before(CRASHED_WITHIN)}):
            crash = _state(run).id
            if self._age(run) <= self._options.pause or crash in self._given_up:
                continue
            tries = sum(state.message == RETRY_MESSAGE for state in self._client.read_flow_run_states(run.id))
            if tries < self._options.retries:
                yield run
            else:
                self._given_up.add(crash)
                log(f"{run.name}: crashed after {tries} retries; `adreel resume` continues its job")

    def _dead(self, runs: list[FlowRun]) -> Iterator[tuple[FlowRun, str]]:
        """Yield the pending and running runs whose worker is dead, and why it counts as dead."""
        options, watched = self._options, self._clock() - self._watching_since
        timeouts = {StateType.RUNNING: options.silence, StateType.PENDING: options.start}
        late = [run for run in runs if min(self._age(run), watched) > timeouts[_state(run).type]]
        if not late:
            return
        # The clock of a worker may be ahead of the server's.
        since, until = self._before(options.silence), self._before(-HEARTBEAT_SECONDS * 10)
        heartbeats = {
            "occurred": {"since": since.isoformat(), "until": until.isoformat()},
            "event": {"name": ["prefect.flow-run.heartbeat"]},
        }
        answer = self._client.request(
            "POST", "/events/count-by/{countable}", path_params={"countable": "resource"}, json={"filter": heartbeats}
        )
        alive = {count["value"] for count in answer.json()}
        reasons = {
            StateType.RUNNING: f"No heartbeat for {options.silence:g} s: its process or its machine is gone.",
            StateType.PENDING: f"Claimed by a worker, and not started within {options.start:g} s.",
        }
        for run in late:
            if f"prefect.flow-run.{run.id}" not in alive:
                yield run, reasons[_state(run).type]

    def _move(self, run: FlowRun, state: State[Any], log: Log) -> None:
        try:
            # Not forced: runs that have ended or are being cancelled keep their state.
            accepted = self._client.set_flow_run_state(run.id, state).status == SetStateStatus.ACCEPT
        except ObjectNotFound:
            return
        except httpx.HTTPStatusError as error:
            # A run that can't be moved must not block the others.
            if run.id not in self._failed_moves:
                log(f"{run.name}: can't be moved to {state.name}: {explain(error)}")
            self._failed_moves.add(run.id)
            return
        if accepted:
            log(f"{run.name}: {_state(run).name} -> {state.name}. {state.message}")

    def _runs(self, types: list[StateType], **filters: Any) -> Iterator[FlowRun]:
        """List the runs in the given states that a worker could resume."""
        wanted = {"tags": {"all_": [TAG]}, "deployment_id": {"is_null_": False}, "state": {"type": {"any_": types}}}
        flow_run_filter = FlowRunFilter.model_validate({**wanted, **filters})
        runs: dict[UUID, FlowRun] = {}
        while page := self._client.read_flow_runs(flow_run_filter=flow_run_filter, limit=PAGE_SIZE, offset=len(runs)):
            before = len(runs)
            runs |= {run.id: run for run in page}
            if len(runs) == before:
                break
        yield from runs.values()

    def _age(self, run: FlowRun) -> float:
        return self._clock() - _state(run).timestamp.timestamp()

    def _before(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(self._clock() - seconds, UTC)


def _state(run: FlowRun) -> State[Any]:
    assert run.state is not None  # noqa: S101 - the filter asks for its type
    return run.state

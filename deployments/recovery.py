"""Brings runs back whose worker has died: asks Prefect, again and again, which of them stand still.

    running, and no heartbeat for a while           -> Crashed         its process or its machine is gone
    claimed by a worker, and not begun for a while  -> Crashed         so is the worker that claimed it
    crashed, a moment ago                           -> AwaitingRetry   the same run, for the next worker

It looks at runs of deployments with the tag `adreel` alone and keeps nothing of its own: it may be killed, started
again, or run twice. docs/decisions/0008-dying-workers.md says why it asks, instead of waiting for events.
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
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import AwaitingRetry, Crashed

from adreel.orchestration.errors import explain

TAG = "adreel"
HEARTBEAT_SECONDS = 30
CARRIED_ON = "Its worker died: waiting for the next one."
# Older crashed runs are not resumed, so the first start of the recovery buys nothing by surprise.
CRASHED_WITHIN = 24 * 3600.0
PAGE = 200

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Terms:
    """How long a run may stand still, in seconds, and how often it is carried on."""

    silence: float = 3 * HEARTBEAT_SECONDS
    """Between two signs of life of a run that has begun."""
    start: float = 120.0
    """Between the moment that a worker claims a run and its beginning."""
    pause: float = 25.0
    """Between a crash and the next try: a worker reports a crash twice, and must not strike the retry."""
    retries: int = 5
    every: float = 10.0
    """Between two looks."""


class Recovery:
    """Looks at the runs of one Prefect server."""

    def __init__(self, client: SyncPrefectClient, terms: Terms, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._terms = terms
        self._clock = clock
        self._given_up: set[UUID] = set()
        self._trouble = ""
        self._can_not_move: set[UUID] = set()
        self._watching_since = self._last_look = float("-inf")

    def watch(self, tell: Tell) -> None:
        """Look for ever."""

        def say(text: str) -> None:
            # A closed terminal must not end the recovery.
            with suppress(OSError):
                tell(text)

        while True:
            self.look(say)
            time.sleep(self._terms.every)

    def look(self, tell: Tell) -> None:
        """Look once. Report a new error once, and retry at the next look."""
        try:
            self.sweep(tell)
            trouble = ""
        except Exception as error:
            explained = explain(error)
            trouble = str(explained) if explained else f"{type(error).__name__}: {error}"
        if trouble != self._trouble:
            tell(f"{trouble}; asking on" if trouble else "Prefect answers again")
        self._trouble = trouble

    def sweep(self, tell: Tell) -> None:
        """Look once and report the moved runs; raises the errors of Prefect's client."""
        for run in self._crashed(tell):
            self._move(run, AwaitingRetry(message=CARRIED_ON), tell)
        under_way = list(self._runs([StateType.PENDING, StateType.RUNNING]))
        self._note_look()
        for run, why in self._dead(under_way):
            self._move(run, Crashed(message=why), tell)

    def overdue(self) -> list[FlowRun]:
        """List the runs that should have been moved by now, and move none."""
        dead = self._dead(list(self._runs([StateType.PENDING, StateType.RUNNING])))
        return [*self._crashed(lambda _: None), *(run for run, _ in dead)]

    def _crashed(self, tell: Tell) -> Iterator[FlowRun]:
        lately = FlowRunFilterEndTime(after_=self._before(CRASHED_WITHIN))
        for run in self._runs([StateType.CRASHED], end_time=lately):
            if self._age(run) > self._terms.pause and self._may_try(run, tell):
                yield run

    def _note_look(self) -> None:
        # While nobody could be heard nobody was silent: the server was away, or this machine slept.
        now = self._clock()
        if now - self._last_look > max(2 * self._terms.every, HEARTBEAT_SECONDS):
            self._watching_since = now
        self._last_look = now

    def _dead(self, runs: list[FlowRun]) -> Iterator[tuple[FlowRun, str]]:
        terms, watched = self._terms, self._clock() - self._watching_since
        still = [run for run in runs if min(self._age(run), watched) > (terms.silence if _began(run) else terms.start)]
        heard = self._heard() if still else set()
        for run in still:
            if f"prefect.flow-run.{run.id}" not in heard:
                why = (
                    f"No heartbeat for {terms.silence:g} s: its process or its machine is gone."
                    if _began(run)
                    else f"Claimed by a worker, and not begun for {terms.start:g} s."
                )
                yield run, why

    def _heard(self) -> set[str]:
        """Return the resource ids of the runs that have sent a heartbeat lately."""
        # The clock of a worker may be ahead of the server's.
        since, until = self._before(self._terms.silence), self._before(-HEARTBEAT_SECONDS * 10)
        wanted = {
            "occurred": {"since": since.isoformat(), "until": until.isoformat()},
            "event": {"name": ["prefect.flow-run.heartbeat"]},
        }
        answer = self._client.request(
            "POST", "/events/count-by/{countable}", path_params={"countable": "resource"}, json={"filter": wanted}
        )
        return {count["value"] for count in answer.json()}

    def _may_try(self, run: FlowRun, tell: Tell) -> bool:
        state = _state(run)
        if state.id in self._given_up:
            return False
        tries = sum(state.message == CARRIED_ON for state in self._client.read_flow_run_states(run.id))
        if tries < self._terms.retries:
            return True
        self._given_up.add(state.id)
        tell(f"{run.name}: crashed, and was carried on {tries} times already; `adreel resume` takes it up")
        return False

    def _move(self, run: FlowRun, state: State[Any], tell: Tell) -> None:
        try:
            # Never forced: runs that have ended or are being cancelled keep their state.
            accepted = self._client.set_flow_run_state(run.id, state).status == SetStateStatus.ACCEPT
        except ObjectNotFound:
            return
        except httpx.HTTPStatusError as error:
            # One failing run must not block the others.
            if run.id not in self._can_not_move:
                tell(f"{run.name}: can't be moved to {state.name}: {explain(error)}")
            self._can_not_move.add(run.id)
            return
        if accepted:
            tell(f"{run.name}: {_state(run).name} -> {state.name}. {state.message}")

    def _runs(self, types: list[StateType], **further: Any) -> Iterator[FlowRun]:
        """List the runs in the given states that a worker could resume."""
        wanted = FlowRunFilter(
            tags=FlowRunFilterTags(all_=[TAG]),
            deployment_id=FlowRunFilterDeploymentId(is_null_=False),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)),
            **further,
        )
        runs: dict[UUID, FlowRun] = {}
        while page := self._client.read_flow_runs(flow_run_filter=wanted, limit=PAGE, offset=len(runs)):
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


def _began(run: FlowRun) -> bool:
    return _state(run).type == StateType.RUNNING

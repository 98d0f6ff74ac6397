"""What brings runs of dead workers back, with its clock in the hand of the test; test_dying_workers has the kills."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import AwaitingRetry, Cancelling, Crashed, Pending, Running

from adreel.deployments.recovery import CRASHED_WITHIN, HEARTBEAT_SECONDS, RETRY_MESSAGE, TAG, Recovery, RecoveryOptions
from adreel.orchestration.client import sync_client
from tests.impostors import ANSWERS, answering, impostor
from tests.test_lost_server import server_away
from tests.workers import PREFECT_YAML, has_sent, until

OPTIONS = RecoveryOptions(silence=90, start=120, pause=25, retries=2, every=10)


class Watcher:
    """Watches with a clock that can be put forward."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self.told: list[str] = []
        self.now = time.time()
        self._client = client
        self._recovery = Recovery(client, OPTIONS, clock=lambda: self.now)
        self._flow_id = client.create_flow_from_name("watched")
        self._made: dict[UUID, str] = {}

    def run(self, *states: State, tags: tuple[str, ...] = (TAG,), deployed: bool = True) -> UUID:
        """Create a run and take it through some states."""
        made = self._client.create_deployment(self._flow_id, f"watched-{uuid4()}", tags=list(tags))
        run = self._client.create_flow_run_from_deployment(made)
        self._made[run.id] = run.name
        self.move(run.id, *states)
        return run.id

    def move(self, run_id: UUID, *states: State) -> None:
        for state in states:
            self._client.set_flow_run_state(run_id, state)

    def look_for(self, seconds: float) -> None:
        """Look every few seconds for some time."""
        end = self.now + seconds
        self._recovery.sweep(self._tell)
        while self.now < end:
            self.now = min(self.now + OPTIONS.every, end)
            self._recovery.sweep(self._tell)

    def _tell(self, text: str) -> None:
        # Other tests leave crashed runs on this server.
        if text.partition(": ")[0] in self._made.values():
            self.told.append(text)

    def refuse(self, run_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the server fail each change of this run's state."""
        move = self._client.set_flow_run_state

        def fail(moved: UUID, *arguments: Any, **named: Any) -> Any:
            if moved != run_id:
                return move(moved, *arguments, **named)
            with answering(500, "text/plain", b"no") as url:
                return httpx.post(url).raise_for_status()

        monkeypatch.setattr(self._client, "set_flow_run_state", fail)

    def overdue(self) -> set[UUID]:
        """Ask as somebody who has not watched before; other tests leave runs behind."""
        recovery = Recovery(self._client, OPTIONS, clock=lambda: self.now)
        return {run.id for run in recovery.overdue()} & self._made.keys()

    def state(self, run_id: UUID) -> str:
        return self._client.read_flow_run(run_id).state_name or ""

    def hear(self, run_id: UUID) -> None:
        """Have the server know of a heartbeat of a run, sent now."""
        event = {
            "id": str(uuid4()),
            "event": "prefect.flow-run.heartbeat",
            "resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"},
            "occurred": datetime.fromtimestamp(self.now, UTC).isoformat(),
        }
        self._client.request("POST", "/events", json=[event])
        until(lambda: has_sent(run_id, "prefect.flow-run.heartbeat"), "a heartbeat")


@pytest.fixture
def watcher(prefect: str) -> Iterator[Watcher]:
    with get_client(sync_client=True) as client:
        yield Watcher(client)


def test_a_run_that_has_gone_silent_is_given_to_the_next_worker(watcher: Watcher) -> None:
    run_id = watcher.run(Pending(), Running())
    watcher.look_for(OPTIONS.silence)
    assert watcher.state(run_id) == "Running"
    watcher.look_for(10)
    assert watcher.state(run_id) == "Crashed"
    # The server's own clock says when it crashed.
    watcher.now = time.time()
    watcher.look_for(OPTIONS.pause - 1)
    assert watcher.state(run_id) == "Crashed"
    watcher.look_for(10)
    assert watcher.state(run_id) == "AwaitingRetry"
    assert [line.partition(": ")[2] for line in watcher.told] == [
        "Running -> Crashed. No heartbeat for 90 s: its process or its machine is gone.",
        f"Crashed -> AwaitingRetry. {RETRY_MESSAGE}",
    ]


def test_a_run_that_is_heard_of_is_left_alone(watcher: Watcher) -> None:
    run_id = watcher.run(Pending(), Running())
    watcher.look_for(60)
    watcher.hear(run_id)
    watcher.look_for(80)
    assert watcher.state(run_id) == "Running"
    watcher.look_for(20)
    assert watcher.state(run_id) == "Crashed"


def test_a_run_that_a_worker_has_claimed_and_not_begun_has_crashed(watcher: Watcher) -> None:
    claimed, waiting = watcher.run(Pending()), watcher.run()
    watcher.look_for(OPTIONS.start)
    assert watcher.state(claimed) == "Pending"
    watcher.look_for(10)
    assert (watcher.state(claimed), watcher.state(waiting)) == ("Crashed", "Scheduled")


def test_nobody_was_silent_while_nobody_could_be_heard(watcher: Watcher) -> None:
    run_id = watcher.run(Pending(), Running())
    watcher.look_for(10)
    watcher.now += 3600
    watcher.look_for(OPTIONS.silence)
    assert watcher.state(run_id) == "Running"
    watcher.look_for(10)
    assert watcher.state(run_id) == "Crashed"


def test_a_run_that_crashes_again_and_again_is_not_started_for_ever(watcher: Watcher) -> None:
    run_id = watcher.run(Pending(), Crashed())
    for _ in range(OPTIONS.retries):
        watcher.look_for(40)
        assert watcher.state(run_id) == "AwaitingRetry"
        watcher.move(run_id, Pending(), Crashed())
        watcher.now = time.time()
    watcher.look_for(100)
    assert watcher.state(run_id) == "Crashed"
    assert [line.partition(": ")[2] for line in watcher.told if "resume" in line] == [
        "crashed after 2 retries; `adreel resume` continues its job"
    ]


def test_what_a_person_retries_after_that_is_not_counted_again(watcher: Watcher) -> None:
    run_id = watcher.run(Pending(), Crashed(), AwaitingRetry(), Pending(), Crashed())
    watcher.look_for(40)
    assert watcher.state(run_id) == "AwaitingRetry"


def test_runs_of_others_and_those_that_are_being_cancelled_are_left_alone(watcher: Watcher) -> None:
    theirs = watcher.run(Pending(), Running(), tags=("somebody-elses",))
    crashed = watcher.run(Pending(), Crashed(), tags=())
    cancelling = watcher.run(Pending(), Running(), Cancelling(), Crashed())
    watcher.look_for(300)
    assert [watcher.state(run_id) for run_id in (theirs, crashed, cancelling)] == ["Running", "Crashed", "Cancelling"]


def test_what_crashed_long_before_anybody_watched_is_not_bought_by_surprise(watcher: Watcher) -> None:
    run_id = watcher.run(Pending(), Crashed())
    watcher.now += CRASHED_WITHIN + 60
    watcher.look_for(100)
    assert watcher.state(run_id) == "Crashed"


def test_what_nobody_has_carried_on_is_listed_and_left_alone(watcher: Watcher) -> None:
    crashed, silent = watcher.run(Pending(), Crashed()), watcher.run(Pending(), Running())
    claimed = watcher.run(Pending())
    assert watcher.overdue() == set()
    watcher.now += OPTIONS.silence + 10
    assert watcher.overdue() == {crashed, silent}
    watcher.now += OPTIONS.start
    assert watcher.overdue() == {crashed, silent, claimed}
    assert [watcher.state(run_id) for run_id in (crashed, silent, claimed)] == ["Crashed", "Running", "Pending"]


def test_a_server_that_is_away_is_asked_again() -> None:
    told: list[str] = []
    with server_away() as url, sync_client() as client:
        recovery = Recovery(client, OPTIONS)
        recovery.try_sweep(told.append)
        recovery.try_sweep(told.append)
    [line] = told
    assert re.fullmatch(rf"Prefect at {url} does not answer \(.*refused\): start it .*; retrying", line)


@pytest.mark.parametrize("kind", ANSWERS)
def test_nothing_that_answers_ends_the_watch(kind: str) -> None:
    told: list[str] = []
    with impostor(kind), temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), sync_client() as client:
        recovery = Recovery(client, OPTIONS)
        recovery.try_sweep(told.append)
        recovery.try_sweep(told.append)
    [line] = told
    assert line.endswith("; retrying")
    assert len(line) < 600


def test_a_closed_terminal_does_not_end_the_watch() -> None:
    looks: list[float] = []

    def clock() -> float:
        looks.append(time.time())
        if len(looks) == 3:
            raise KeyboardInterrupt
        return looks[-1]

    def tell(_text: str) -> None:
        raise BrokenPipeError

    with impostor("a web page"), sync_client() as client, pytest.raises(KeyboardInterrupt):
        Recovery(client, RecoveryOptions(every=0), clock).watch(tell)


def test_a_run_that_can_not_be_moved_does_not_keep_others(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, other = watcher.run(Pending(), Running()), watcher.run(Pending(), Running())
    watcher.refuse(stuck, monkeypatch)
    watcher.look_for(OPTIONS.silence + 20)
    assert watcher.state(stuck) == "Running"
    assert watcher.state(other) != "Running"
    [line] = [line for line in watcher.told if "can't be moved" in line]
    assert "HTTP 500" in line


def test_the_deployments_send_the_heartbeats_that_are_waited_for() -> None:
    described = yaml.safe_load(PREFECT_YAML.read_text())
    assert RecoveryOptions().silence == 3 * HEARTBEAT_SECONDS
    for deployment in described["deployments"]:
        environment = deployment["work_pool"]["job_variables"]["env"]
        assert int(environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) == HEARTBEAT_SECONDS
        assert TAG in deployment["tags"]


def test_without_a_server_the_command_says_what_is_missing() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environment["PREFECT_HOME"] = str(Path.cwd())
    done = subprocess.run(
        [Path(sys.executable).with_name("adreel"), "recover"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "PREFECT_API_URL is not set" in done.stderr

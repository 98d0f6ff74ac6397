"""How other systems start runs and hear of them: with curl, as docs/operations.md says, on a server of their own."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.events.schemas.automations import AutomationCore
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed, Failed, Pending, Running

from adreel.deployments.automations import NOTICES
from adreel.deployments.deploy import deploy
from adreel.models.scenarios import Scenario
from adreel.settings import Settings
from adreel.spend.notices import Reached
from tests import workers
from tests.workers import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is what these tests drive"),
]
TRIGGER = "generate-ad on adreel.ad.requested"


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with workers.prefect_server(tmp_path_factory.mktemp("prefect")) as url:
        yield url


@pytest.fixture
def client(prefect_server: str) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as client:
        put(client)
        yield client
        for run in client.read_flow_runs():
            client.delete_flow_run(run.id)


def put(client: SyncPrefectClient, **settings: Any) -> dict[str, str]:
    lines = deploy(client, Settings(**settings))
    return {what: done for what, _, done in (line.rpartition(": ") for line in lines)}


def curl(url: str, body: Any) -> Any:
    # A server on SQLite answers 503 if two requests write at once.
    command = ["curl", "-sS", "--fail", "--retry", "5", url, "-H", "Content-Type: application/json"]
    command += ["-d", json.dumps(body)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    return json.loads(answer) if answer else None


def request(server: str, order: str | None, session: str = "glowcap", **payload: Any) -> dict[str, Any]:
    """Send the event that asks for an ad, and return it to be sent again."""
    resource = {"prefect.resource.id": f"adreel.session.{session}", **({"adreel.order": order} if order else {})}
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "adreel.ad.requested",
        "resource": resource,
        "payload": {"session_id": session, **payload},
    }
    curl(f"{server}/events", [event])
    return event


def ordered(client: SyncPrefectClient) -> list[dict[str, Any]]:
    """Return what the runs there are were started with, the first one first."""
    return [run.parameters for run in sorted(client.read_flow_runs(), key=lambda run: str(run.created))]


def test_the_same_idempotency_key_gets_the_same_run(prefect_server: str, client: SyncPrefectClient) -> None:
    deployment = client.read_deployment_by_name("generate-ad/generate-ad")
    body = {"parameters": {"session_id": "glowcap"}, "idempotency_key": "order-17", "state": {"type": "SCHEDULED"}}
    first, second = (curl(f"{prefect_server}/deployments/{deployment.id}/create_flow_run", body) for _ in range(2))
    assert first["id"] == second["id"]
    assert len(client.read_flow_runs()) == 1


def test_an_event_starts_one_run_for_each_order(prefect_server: str, client: SyncPrefectClient) -> None:
    first = request(prefect_server, "order-1", scenarios=["hook"])
    until(lambda: len(ordered(client)) == 1, "a run of the first order")
    # The same event delivered again, and its sender trying again.
    curl(f"{prefect_server}/events", [first])
    request(prefect_server, "order-1")
    request(prefect_server, "order-2")
    until(lambda: len(ordered(client)) > 1, "a run of the second order")
    request(prefect_server, None, "fernway")
    until(lambda: len(ordered(client)) > 2, "a run of another ad, without an order")
    assert ordered(client) == [
        {"session_id": "glowcap", "scenarios": ["hook"]},
        {"session_id": "glowcap", "scenarios": list(Scenario)},
        {"session_id": "fernway", "scenarios": list(Scenario)},
    ]


def test_a_second_deploy_changes_neither_trigger_nor_notices(client: SyncPrefectClient) -> None:
    assert put(client)[f"trigger {TRIGGER}"] == "unchanged"
    assert client.read_automations_by_name(NOTICES) == []
    where = {"ADREEL_NOTIFY_URL": "http://127.0.0.1:1/"}
    created = put(client, **where)
    assert (created["notices"], created["budget notices"]) == ("created", "created")
    [trigger] = client.read_automations_by_name(TRIGGER)
    client.pause_automation(trigger.id)
    unchanged = put(client, **where)
    assert (unchanged["notices"], unchanged["budget notices"]) == ("unchanged", "unchanged")
    assert put(client, ADREEL_NOTIFY_URL="http://127.0.0.1:2/")["notices"] == "changed ADREEL_NOTIFY_URL"
    # What an operator has switched off stays so.
    assert not client.read_automations_by_name(TRIGGER)[0].enabled
    client.resume_automation(trigger.id)


def test_a_trigger_that_is_there_twice_is_put_right(client: SyncPrefectClient) -> None:
    [trigger] = client.read_automations_by_name(TRIGGER)
    client.create_automation(AutomationCore.model_validate(trigger.model_dump()))
    assert put(client)[f"trigger {TRIGGER}"] == "changed duplicates"
    assert len(client.read_automations_by_name(TRIGGER)) == 1


def test_a_trigger_of_a_deployment_that_was_made_anew_leads_to_the_new_one(client: SyncPrefectClient) -> None:
    client.delete_deployment(client.read_deployment_by_name("generate-ad/generate-ad").id)
    assert put(client)[f"trigger {TRIGGER}"] == "changed actions"
    assert put(client)[f"trigger {TRIGGER}"] == "unchanged"


def test_prefects_own_deploy_makes_the_same_trigger(
    prefect_server: str, client: SyncPrefectClient, tmp_path: Path
) -> None:
    workers.deploy_by_prefect(prefect_server, tmp_path)
    # Two of them would buy twice for each event.
    assert len(client.read_automations_by_name(TRIGGER)) == 1
    assert put(client)[f"trigger {TRIGGER}"] == "unchanged"


class Receiver(ThreadingHTTPServer):
    """Takes notices."""

    def __init__(self) -> None:
        self.notices: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.notices.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


def run_that_ends(client: SyncPrefectClient, deployment_id: UUID, state: State[Any], name: str) -> UUID:
    run = client.create_flow_run_from_deployment(deployment_id, parameters={"session_id": "glowcap"}, name=name)
    for each in (Pending(), Running(), state):
        client.set_flow_run_state(run.id, each)
    return run.id


def test_a_receiver_is_told_of_every_bad_end_and_of_no_other(prefect_server: str, client: SyncPrefectClient) -> None:
    ours = client.read_deployment_by_name("generate-ad/generate-ad").id
    theirs = client.create_deployment(client.create_flow_from_name("theirs"), "theirs", tags=["other"])
    message = '1 of 4 scenes have no clip:\nscene cta: "no" <credits>'
    with receiver() as told:
        put(client, ADREEL_NOTIFY_URL=f"http://127.0.0.1:{told.server_port}/notices")
        run_that_ends(client, theirs, Failed(message="not ours"), "theirs")
        run_that_ends(client, ours, Completed(), "well")
        bad: list[State[Any]] = [Failed(name="Partial", message=message), Failed(), Crashed(message="killed")]
        ended = {state.name: str(run_that_ends(client, ours, state, f"ad-{state.name}")) for state in bad}
        until(lambda: len(told.notices) >= 3, "three notices")
    assert {notice["state"]: notice["run_id"] for notice in told.notices} == ended
    [partial] = [notice for notice in told.notices if notice["state"] == "Partial"]
    assert (partial["run"], partial["message"]) == ("ad-Partial", message)
    assert partial["url"] == f"{prefect_server.removesuffix('/api')}/runs/flow-run/{ended['Partial']}"
    assert partial["text"] == f"ad-Partial is Partial: {message}\n{partial['url']}"


def test_a_receiver_is_told_once_of_each_threshold_of_a_budget(prefect_server: str, client: SyncPrefectClient) -> None:
    reached = Reached("campaign:spring", "all", 90, 20_000_000, 12_500_000, 6_000_000)
    with receiver() as told:
        put(client, ADREEL_NOTIFY_URL=f"http://127.0.0.1:{told.server_port}/notices")
        # In a process of its own: Prefect's sender of events keeps the server that this process has used first.
        code = (
            "from adreel.models.spend import *\nfrom adreel.spend.notices import *\n"
            f"from adreel.tasks.events import budget_reached\nbudget_reached({reached!r})"
        )
        environment = {**os.environ, "PREFECT_API_URL": prefect_server}
        for _ in range(3):
            # An event that comes before the server has loaded the automation is not seen.
            subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=True)
            with suppress(TimeoutError):
                until(lambda: told.notices, "a notice", patience=20)
                break
    assert told.notices
    assert told.notices[0] == {
        "text": "budget campaign:spring has reached 90 % (all): USD 18.50 of 20.00 are spent or held",
        "budget": "campaign:spring",
        "period": "all",
        "percent": 90,
        "cap": 20.0,
        "spent": 12.5,
        "held": 6.0,
        "left": 1.5,
    }

"""Prefect hangs under many open requests and recovers: the server reaches it again without a restart."""

import gc
from collections.abc import Iterator
from unittest.mock import patch
from uuid import uuid4

import pytest

from adreel.orchestration.runs import Runs
from adreel.records import Records
from tests.api.raw import ask_at_once, until
from tests.api.serving import served
from tests.rigs.relay import Relay, relayed

# This is the leak: the garbage collector closes a connection that a cancelled request left in httpcore.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

OPEN_REQUESTS = 80


@pytest.fixture
def relay(prefect: str) -> Iterator[tuple[Relay, str]]:
    with relayed(prefect) as relay:
        yield relay
    gc.collect()


def test_after_a_hang_under_many_requests_prefect_is_reached_again(records: Records, relay: tuple[Relay, str]) -> None:
    switch, url = relay
    with patch("adreel.web.app.Runs", lambda: Runs(timeout=3)), served(prefect=url) as api:
        address = str(api.base_url).rstrip("/")
        assert api.get("/readyz").status_code == 200
        for _ in range(2):
            switch.hang()
            unknown = [f"/api/videos/status/{uuid4()}" for _ in range(OPEN_REQUESTS)]
            assert set(ask_at_once(address, unknown)) == {503}
            switch.go_on()
            until(lambda: api.get(f"/api/videos/status/{uuid4()}").status_code == 404, "Prefect is not reached again")
            # More requests than connections of Prefect's client prove that none is lost.
            assert set(ask_at_once(address, [f"/api/videos/status/{uuid4()}" for _ in range(20)])) == {404}


def test_readiness_costs_prefect_one_question_however_many_ask(records: Records, relay: tuple[Relay, str]) -> None:
    switch, url = relay
    with served(prefect=url) as api:
        address = str(api.base_url).rstrip("/")
        assert set(ask_at_once(address, ["/readyz"] * OPEN_REQUESTS)) == {200}
        assert switch.connections <= 2, "each caller costs a connection to Prefect"
        switch.hang()
        until(lambda: api.get("/readyz").status_code == 503, "a hang of Prefect is not seen")
        switch.go_on()
        until(lambda: api.get("/readyz").status_code == 200, "the end of a hang is not seen")

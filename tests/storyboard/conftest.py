"""The pages: a real server over the test's storage, with a stand-in where Prefect is asked."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch
from uuid import UUID

import httpx
import pytest

from adreel.errors import PrefectUnreachable
from adreel.orchestration.runs import Run
from adreel.records import Records
from adreel.spend.notices import Reached
from tests.api.serving import served
from tests.factories import make_session
from tests.storyboard.reading import Form, PageReader

AWAY = "no answer from Prefect at http://prefect.internal/api"


@dataclass
class Orders:
    """Stands where Prefect is asked: keeps what was ordered, and no worker carries it out."""

    runs: dict[str, Run] = field(default_factory=dict)
    is_away: bool = False
    seconds: float = 0
    progress: tuple[int, str] = (0, "")

    async def __aenter__(self) -> "Orders":
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    async def start(self, deployment: str, parameters: dict[str, Any], *, key: str, labels: dict[str, Any]) -> Run:
        self._answer()
        await asyncio.sleep(self.seconds)
        run_id = str(UUID(int=len(self.runs) + 1))
        return self.runs.setdefault(key, Run(run_id, parameters, labels, "Scheduled", "", is_final=False))

    async def find(self, key: str) -> Run | None:
        self._answer()
        return self.runs.get(key)

    async def read(self, run_id: str) -> Run | None:
        self._answer()
        return next((run for run in self.runs.values() if run.run_id == run_id), None)

    async def progress_of_cut(self, run_id: str) -> tuple[int, str]:
        return self.progress

    async def cancel(self, run_id: str) -> None:
        self.end(run_id, "Cancelled")

    def end(self, run_id: str, state: str, message: str = "") -> None:
        for key, run in self.runs.items():
            if run.run_id == run_id:
                self.runs[key] = replace(run, state=state, message=message, is_final=True)

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """What the runs were started with."""
        return [run.parameters for run in self.runs.values()]

    def _answer(self) -> None:
        if self.is_away:
            raise PrefectUnreachable(AWAY)


@dataclass
class Visitor:
    """A browser without script."""

    client: httpx.Client

    def read(self, path: str, status: int = 200) -> PageReader:
        """Open a page."""
        answer = self.client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == status, answer.text
        return PageReader(answer.text)

    def press(self, form: Form, button: str, status: int = 200, /, **typed: str) -> PageReader:
        """Send a form by one of its buttons, and read where that leads."""
        answer = self.client.post(form.action, data=form.fields | typed | form.buttons[button])
        assert answer.status_code == status, answer.text
        assert status != 200 or answer.history, "a form that was carried out leads to a page of its own"
        return PageReader(answer.text)


@pytest.fixture
def orders() -> Orders:
    return Orders()


@pytest.fixture
def visitor(records: Records, orders: Orders) -> Iterator[Visitor]:
    """Visit a server without keys, whose storage has the session `ad`."""
    records.save_session(make_session())
    with visiting(orders) as client:
        yield Visitor(client)


def emit_nothing(notice: Reached) -> None:
    """Stand where an event is emitted: Prefect's client would start a server of its own."""


@contextmanager
def visiting(orders: Orders, **settings: Any) -> Iterator[httpx.Client]:
    """Serve the test's storage or that of some settings, and lend a client that goes where it is led."""
    prefect = patch.multiple("adreel.web.app", Runs=lambda: orders, budget_reached=emit_nothing)
    with prefect, served(**settings) as client:
        client.follow_redirects = True
        yield client

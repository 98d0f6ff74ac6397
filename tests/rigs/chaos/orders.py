"""Places orders all the time: mostly new sessions, some regenerated scenes, and always some that are not finished."""

import random
import time
from dataclasses import dataclass
from typing import Any

from adreel.models.scenarios import Scenario
from adreel.models.sessions import parse_session
from adreel.records import Records
from tests.rigs.chaos.api import Api, ServerAway
from tests.rigs.chaos.processes import runs

REGENERATE_SHARE = 0.25
TAKEN_UP_SECONDS = 25.0
# Dead runs wait to be resumed. More of them than the workers can execute would be another test.
MOST_OPEN = 20


@dataclass
class Order:
    """An ordered run. Its `token` is in the prompts of its clips and of no others."""

    number: int
    deployment: str
    parameters: dict[str, Any]
    scenarios: list[Scenario]
    run_id: str | None = None
    placed_at: float = 0.0

    @property
    def token(self) -> str:
        """The order's token for prompts."""
        return token(self.number)


class Orders:
    """Places orders, so that `at_once` runs are active or scheduled."""

    def __init__(self, api: Api, records: Records, mark: str, *, at_once: int, seed: str) -> None:
        self.placed: list[Order] = []
        self._api, self._records, self._mark, self._at_once = api, records, mark, at_once
        self._chance = random.Random(seed)
        self._next: Order | None = None
        self._open: list[Order] = []
        self._seen: set[str] = set()

    def tick(self) -> None:
        """Place the next order if there is room. An unavailable server is called again at the next tick."""
        self._open = [order for order in self._open if not self._is_done(order)]
        alive = {process.flow_run for process in runs(self._mark) if process.flow_run}
        self._seen |= alive
        recent = time.monotonic() - TAKEN_UP_SECONDS
        waiting = [order for order in self._open if order.placed_at > recent and order.run_id not in self._seen]
        if len(alive) + len(waiting) < self._at_once and len(self._open) < MOST_OPEN:
            self._place()

    def _is_done(self, order: Order) -> bool:
        job = self._records.job(order.run_id or "")
        return job is not None and job.ended_at is not None

    @property
    def sessions(self) -> int:
        """The number of created sessions."""
        return sum(order.deployment == "generate-ad" for order in self.placed)

    def _place(self) -> None:
        order = self._next = self._next or self._make()
        try:
            order.run_id = self._api.start(order.deployment, order.token, order.parameters)
        except ServerAway:
            return
        order.placed_at = time.monotonic()
        self.placed.append(order)
        self._open.append(order)
        self._next = None

    def _make(self) -> Order:
        number = len(self.placed) + 1
        earlier = [order for order in self.placed if order.deployment == "generate-ad"]
        if earlier and self._chance.random() < REGENERATE_SHARE:
            return self._regenerate(number, self._chance.choice(earlier[-8:]))
        session_id = f"ad-{number:04}"
        scenes = [_scene(scenario, number) for scenario in Scenario]
        session = {"session_id": session_id, "product_name": "Lamp", "scene_descriptions": scenes}
        self._records.save_session(parse_session(session))
        return Order(number, "generate-ad", {"session_id": session_id}, list(Scenario))

    def _regenerate(self, number: int, earlier: Order) -> Order:
        scenario = self._chance.choice(list(Scenario))
        parameters = {
            "session_id": earlier.parameters["session_id"],
            "scenario": scenario.value,
            "changes": {"visual_description": _words(scenario, number)},
        }
        return Order(number, "regenerate-scene", parameters, [scenario])


def token(number: int) -> str:
    """Return the token of an order for prompts."""
    return f"order-{number:04}"


def _scene(scenario: Scenario, number: int) -> dict[str, Any]:
    return {"scenario": scenario.value, "duration": 1, "visual_description": _words(scenario, number)}


def _words(scenario: Scenario, number: int) -> str:
    return f"a lamp in the {scenario.value}, {token(number)}"

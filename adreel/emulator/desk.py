"""The desk: takes task objects and answers them, whichever transport brought them.

It has no loop, socket or timer of its own: renders end when the clock says so, which is looked at with every message
and whenever `settle` is called. A simulation with a clock of its own can therefore drive it directly.
"""

import random
import uuid as uuids
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adreel.emulator.clip import DEFAULT_SECONDS, scenario_of, seed_of
from adreel.emulator.effects import changed
from adreel.emulator.faults import Faults, Point
from adreel.emulator.ledger import Entry, Ledger
from adreel.emulator.outcomes import FAILURES, NEVER_ENDS, SUCCESS
from adreel.emulator.refusals import refusal
from adreel.emulator.replies import Item, Reply, error, join

CONFLICT = "A task with this taskUUID exists already."


@dataclass(frozen=True)
class Terms:
    """Duration of a render in seconds, and its price in USD per second of video."""

    render_seconds: float = 6.0
    render_jitter: float = 0.0
    price: float = 0.05
    progress: bool = True


class Desk:
    """Answers messages from the ledger, under the faults in force."""

    def __init__(
        self,
        ledger: Ledger,
        faults: Faults,
        terms: Terms,
        *,
        clock: Callable[[], float],
        clip_url: Callable[[str], str],
        on_accept: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        self._ledger, self._faults, self._terms = ledger, faults, terms
        self._clock, self._clip_url, self._on_accept = clock, clip_url, on_accept

    def answer(self, message: Any, *, dry_run: bool = False) -> Reply:
        """Answer a message: an array of task objects."""
        if not isinstance(message, list) or not all(isinstance(task, dict) for task in message):
            return error("invalidRequest", "A request is an array of task objects.")
        self.settle()
        reply = join([self._answer_task(task, dry_run=dry_run) for task in message])
        polled = [task for task in message if task.get("taskType") == "getResponse"]
        return self._answered_poll(reply, polled) if polled else reply

    def settle(self) -> None:
        """End the renders that are due."""
        for entry in self._ledger.overdue(self._clock()):
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        fault = self._faults.strike(Point.OUTCOME, (entry.scenario,))
        if fault == NEVER_ENDS:
            self._ledger.never_end(entry.uuid)
        else:
            billed = entry.price if fault is None else None
            self._ledger.end(entry.uuid, at=entry.due_at or 0, outcome=fault or SUCCESS, billed=billed)

    def _answer_task(self, task: Item, *, dry_run: bool) -> Reply:
        match task.get("taskType"):
            case "videoInference" if dry_run:
                return self._priced(task)
            case "videoInference":
                return self._submitted(task)
            case "getResponse":
                return self._polled(task)
            case "getTaskDetails":
                return self._detailed(task)
            case "ping":
                return Reply(data=({"taskType": "ping", "pong": True},))
            case other:
                uuid = task.get("taskUUID")
                return error("unsupportedTaskType", f"Task type {other!r} is not offered here.", uuid=uuid)

    def _submitted(self, task: Item) -> Reply:
        uuid, scenario = str(task.get("taskUUID", "")), scenario_of(task.get("positivePrompt"))
        self._ledger.saw_submit(uuid, self._clock())
        if fault := self._faults.strike(Point.SUBMIT, (scenario,)):
            return changed(Reply(), fault, uuid)
        if self._ledger.find(uuid):
            return error("conflictTaskUUID", CONFLICT, uuid=uuid, parameter="taskUUID", taskType="videoInference")
        if refused := refusal(task):
            return refused
        self._accept(task)
        reply = Reply(data=({"taskType": "videoInference", "taskUUID": uuid},))
        return changed(reply, self._faults.strike(Point.ACCEPTANCE, (scenario,)), uuid)

    def _accept(self, task: Item) -> None:
        now, uuid = self._clock(), task["taskUUID"].lower()
        # The length of a render follows from its UUID, so that a seeded run can be repeated.
        jitter = random.Random(uuid).uniform(0, self._terms.render_jitter)  # noqa: S311
        entry = Entry(
            uuid=uuid,
            scenario=scenario_of(task["positivePrompt"]),
            model=task["model"],
            request=task,
            price=self._price(task),
            accepted_at=now,
            due_at=now + self._terms.render_seconds + jitter,
        )
        self._ledger.accept(entry)
        self._on_accept(entry)

    def _price(self, task: Item) -> float:
        seconds: float = task.get("duration", DEFAULT_SECONDS)
        return round(self._terms.price * seconds, 6)

    def _priced(self, task: Item) -> Reply:
        if refused := refusal(task):
            return refused
        item = {"taskType": "videoInference", "taskUUID": task["taskUUID"], "dryRun": True, "cost": self._price(task)}
        return Reply(data=(item,))

    def _polled(self, task: Item) -> Reply:
        entry = self._ledger.find(task.get("taskUUID"))
        if entry is None:
            return Reply()
        reply = self._state(entry)
        reply = changed(reply, self._faults.strike(Point.POLL, (entry.scenario,)), entry.uuid)
        if not any(item.get("status") == SUCCESS for item in reply.data):
            return reply
        return changed(reply, self._faults.strike(Point.RESULT, (entry.scenario,)), entry.uuid)

    def _answered_poll(self, reply: Reply, polled: list[Item]) -> Reply:
        self._ledger.counters.polls += 1
        entries = [self._ledger.find(task.get("taskUUID")) for task in polled]
        scenarios = {entry.scenario for entry in entries if entry}
        return changed(reply, self._faults.strike(Point.MESSAGE, scenarios))

    def _state(self, entry: Entry) -> Reply:
        uuid = entry.request["taskUUID"]
        if entry.outcome is None:
            return Reply(data=(self._processing(entry),))
        if entry.outcome == SUCCESS:
            return Reply(data=(self._success(entry),))
        return FAILURES[entry.outcome].told(uuid)

    def _processing(self, entry: Entry) -> Item:
        item = {"taskType": "videoInference", "taskUUID": entry.request["taskUUID"], "status": "processing"}
        if not self._terms.progress:
            return item
        whole = (entry.due_at - entry.accepted_at) if entry.due_at is not None else 0
        done = (self._clock() - entry.accepted_at) / whole if whole else 0.5
        return {**item, "progress": min(99, max(0, int(100 * done)))}

    def _success(self, entry: Entry) -> Item:
        item = {
            "taskType": "videoInference",
            "taskUUID": entry.request["taskUUID"],
            "status": SUCCESS,
            "videoUUID": str(uuids.uuid5(uuids.NAMESPACE_URL, entry.uuid)),
            "videoURL": self._clip_url(entry.uuid),
            "seed": seed_of(entry.request),
        }
        return {**item, "cost": entry.price} if entry.request.get("includeCost") is True else item

    def _detailed(self, task: Item) -> Reply:
        entry = self._ledger.find(task.get("taskUUID"))
        if entry is None:
            return Reply()
        state = self._state(entry)
        response = {"errors": list(state.errors)} if state.errors else {"data": list(state.data)}
        item = {"taskType": "getTaskDetails", "taskUUID": entry.request["taskUUID"]}
        return Reply(data=({**item, "request": [entry.request], "response": response},))

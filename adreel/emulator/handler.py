"""The task handler: answers submits, polls, detail requests and pings, whichever transport brought them.

It has no event loop, socket or timer. Renders end by the clock, which is read for each message and whenever `settle`
is called. A simulation with its own clock can therefore drive it directly.
"""

import random
import uuid as uuids
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from adreel.emulator.facts import Facts
from adreel.emulator.faults import Faults, Point
from adreel.emulator.images import InputImages, shorten
from adreel.emulator.ledger import SUCCESS, Entry, Ledger, Upload
from adreel.emulator.outputs import RESULTS, Output, kind_of, ordered, part_of
from adreel.emulator.prices import price_of
from adreel.emulator.replies import FAILURES, Item, Reply, apply_fault, error, join
from adreel.emulator.requests import Validator

CONFLICT = "A task with this taskUUID exists already."
NEVER_ENDS = "neverEnds"
ENDLESS_CREDITS = 1_000_000.0


@dataclass(frozen=True)
class RenderSettings:
    """Duration of a render in seconds, its price in USD per second of video, and whether polls report progress.

    Without a price, that of the catalogue counts, as it always does for voices, music and stills. `credits` are the USD
    on the account. A submit that costs more than is left is refused. None is an account without end.
    """

    render_seconds: float = 6.0
    render_jitter: float = 0.0
    price: float | None = None
    progress: bool = True
    credits: float | None = None


class TaskHandler:
    """Answers messages from the ledger, under the injected faults.

    `clip_url` returns the address of a file by its name: the UUID of its task and the suffix of its format.
    """

    def __init__(
        self,
        ledger: Ledger,
        faults: Faults,
        settings: RenderSettings,
        *,
        clock: Callable[[], float],
        clip_url: Callable[[str], str],
        upload_url: Callable[[str], str] = "https://im.runware.ai/{}".format,
        on_accept: Callable[[Entry], None] = lambda _: None,
        facts: Facts | None = None,
        images: InputImages | None = None,
    ) -> None:
        self._ledger, self._faults, self._settings = ledger, faults, settings
        self._clock, self._clip_url, self._upload_url, self._on_accept = clock, clip_url, upload_url, on_accept
        self._facts, self._images = facts or Facts(), images or InputImages()
        self._credits = ENDLESS_CREDITS if settings.credits is None else settings.credits
        self._validator = Validator(self._facts, self._images, ledger.find_upload)

    def answer(self, message: Any, *, dry_run: bool = False) -> Reply:
        """Answer a message: an array of task objects."""
        if not isinstance(message, list) or not all(isinstance(task, dict) for task in message):
            return error("invalidRequest", "A request is an array of task objects.")
        self.settle()
        reply = join([self._answer_task(task, dry_run=dry_run) for task in message])
        polls = [task for task in message if task.get("taskType") == "getResponse"]
        if not polls:
            return reply
        self._ledger.counters.polls += 1
        entries = [self._ledger.find(task.get("taskUUID")) for task in polls]
        targets = {target for entry in entries if entry for target in entry.targets}
        return apply_fault(reply, self._faults.strike(Point.MESSAGE, targets), polls[0])

    def settle(self) -> None:
        """End the renders that are due."""
        for entry in self._ledger.overdue(self._clock()):
            fault = self._faults.strike(Point.OUTCOME, entry.targets)
            if fault == NEVER_ENDS:
                self._ledger.never_end(entry.uuid)
            else:
                billed = entry.price if fault is None else None
                self._ledger.end(entry.uuid, at=entry.due_at or 0, outcome=fault or SUCCESS, billed=billed)

    def add_credits(self, amount: float) -> None:
        """Add USD to the account."""
        self._credits += amount

    def _answer_task(self, task: Item, *, dry_run: bool) -> Reply:
        match task.get("taskType"):
            case str(kind) if kind in RESULTS:
                answer = self._estimate if dry_run else self._submit
            case "mediaStorage":
                answer = self._upload
            case "getResponse":
                answer = self._poll
            case "getTaskDetails":
                answer = self._task_details
            case "accountManagement":
                answer = self._account
            case "ping":
                return Reply(data=({"taskType": "ping", "pong": True},))
            case other:
                uuid = task.get("taskUUID")
                return error("unsupportedTaskType", f"Task type {other!r} is not offered here.", uuid=uuid)
        return answer(task)

    def _submit(self, task: Item) -> Reply:
        uuid, part = str(task.get("taskUUID", "")), part_of(task)
        targets = (part, kind_of(task))
        self._ledger.saw_submit(uuid, self._clock())
        if fault := self._faults.strike(Point.SUBMIT, targets):
            return apply_fault(Reply(), fault, task)
        if self._ledger.find(uuid):
            return error("conflictTaskUUID", CONFLICT, uuid=uuid, parameter="taskUUID", taskType=task["taskType"])
        now = self._clock()
        if invalid := self._validator.error(task, now):
            return invalid
        # The length of a render is derived from its UUID, so that a seeded run can be repeated.
        jitter = random.Random(uuid.lower()).uniform(0, self._settings.render_jitter)  # noqa: S311
        request, output = self._order(task)
        price = self._price(request, output)
        if price > self._balance():
            return apply_fault(Reply(), "insufficientCredits", task)
        entry = Entry(
            uuid=uuid.lower(),
            scenario=part,
            model=task["model"],
            request=request,
            output=output,
            price=price,
            accepted_at=now,
            due_at=now + self._settings.render_seconds + jitter,
        )
        self._ledger.accept(entry)
        self._on_accept(entry)
        reply = Reply(data=({"taskType": task["taskType"], "taskUUID": uuid},))
        return apply_fault(reply, self._faults.strike(Point.ACCEPTANCE, targets), task)

    def _estimate(self, task: Item) -> Reply:
        if invalid := self._validator.error(task, self._clock()):
            return invalid
        cost = self._price(*self._order(task))
        item = {"taskType": task["taskType"], "taskUUID": task["taskUUID"]}
        return Reply(data=({**item, "dryRun": True, "cost": cost},))

    def _order(self, task: Item) -> tuple[Item, Output]:
        """Return a valid request as it is recorded, and its output."""
        request = shorten(task)
        return request, ordered(request, self._facts, self._images, self._ledger.find_upload)

    def _price(self, request: Item, output: Output) -> float:
        return price_of(output, request, self._facts.find(output.model), per_second=self._settings.price)

    def _upload(self, task: Item) -> Reply:
        if invalid := self._validator.upload_error(task):
            return invalid
        image, now = shorten(task["media"]), self._clock()
        # The same upload gets the same UUID, so that a seeded run can be repeated.
        number = random.Random(f"{task.get('taskUUID')}:{image}").getrandbits(128)  # noqa: S311
        upload = Upload(str(uuids.UUID(int=number, version=4)), image, now)
        self._ledger.upload(upload)
        item: Item = {name: task[name] for name in ("taskType", "taskUUID", "operation") if name in task}
        return Reply(data=({**item, "mediaUUID": upload.uuid, "mediaURL": self._upload_url(upload.uuid)},))

    def _poll(self, task: Item) -> Reply:
        entry = self._ledger.find(task.get("taskUUID"))
        if entry is None:
            return Reply()
        reply = apply_fault(self._state(entry), self._faults.strike(Point.POLL, entry.targets), entry.request)
        if not any(item.get("status") == SUCCESS for item in reply.data):
            return reply
        return apply_fault(reply, self._faults.strike(Point.RESULT, entry.targets), entry.request)

    def _task_details(self, task: Item) -> Reply:
        entry = self._ledger.find(task.get("taskUUID"))
        if entry is None:
            return Reply()
        state = self._state(entry)
        response = {"errors": list(state.errors)} if state.errors else {"data": list(state.data)}
        item = {"taskType": "getTaskDetails", "taskUUID": entry.request["taskUUID"]}
        return Reply(data=({**item, "request": [entry.request], "response": response},))

    def _account(self, task: Item) -> Reply:
        if task.get("operation") != "getDetails":
            return error("unsupportedOperation", "Only getDetails is offered here.", uuid=task.get("taskUUID"))
        # Runware's answer also has what nobody else may read.
        team = [{"name": "Ada", "email": "ada@example.com"}]
        item: Item = {name: task[name] for name in ("taskType", "taskUUID", "operation") if name in task}
        return Reply(data=({**item, "balance": self._balance(), "team": team, "apiKeys": [{"name": "production"}]},))

    def _balance(self) -> float:
        return round(self._credits - self._ledger.charged, 6)

    def _state(self, entry: Entry) -> Reply:
        """Return the reply that reports a task's state."""
        request = entry.request
        if entry.outcome is not None and entry.outcome != SUCCESS:
            return FAILURES[entry.outcome].reply(request)
        item: Item = {"taskType": request["taskType"], "taskUUID": request["taskUUID"]}
        item["status"] = entry.outcome or "processing"
        if entry.outcome == SUCCESS:
            word = RESULTS[request["taskType"]]
            item[f"{word}UUID"] = str(uuids.uuid5(uuids.NAMESPACE_URL, entry.uuid))
            item[f"{word}URL"] = self._clip_url(entry.file)
            if entry.output.kind != "voice":
                item["seed"] = entry.output.seed
            if entry.request.get("includeCost") is True:
                item["cost"] = entry.price
        elif self._settings.progress:
            whole = (entry.due_at - entry.accepted_at) if entry.due_at is not None else 0
            done = (self._clock() - entry.accepted_at) / whole if whole else 0.5
            item["progress"] = min(99, max(0, int(100 * done)))
        return Reply(data=(item,))

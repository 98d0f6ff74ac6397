"""Asks Runware once what it knows of a task: what is asked at one time goes out in one message.

"No such task" is an answer that names nothing: it shows in the pong of the message that asked. A pong does not say
whose it is, so it counts only when no ping on the connection is left without one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import UUID

from adreel.errors import AdreelError, ProviderUnreachable
from adreel.runware.connection import Connection
from adreel.runware.replies import InProgress, Rendered

LOOKS = 3
AT_ONCE = 500
"""Maximum questions in one message; the others wait for its answers."""
Answer = InProgress | Rendered | None


@dataclass(eq=False)
class _Question:
    """Somebody asks what is known of a task."""

    uuid: UUID
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    looks: int = 0


class Lookups:
    """The open questions of a client."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], *, limit: float) -> None:
        self._connect = connect
        self._limit = limit
        # Dictionaries, oldest entry first, because every reply is looked up in them.
        self._open: dict[_Question, None] = {}
        self._about: dict[UUID, list[_Question]] = {}
        self._asked: dict[UUID, float] = {}
        self._at_once = AT_ONCE
        self._asker: asyncio.Task[None] | None = None

    async def ask(self, uuid: UUID) -> Answer:
        """Return what a poll or the archive says of a task; None if Runware knows no such task.

        Raises BadKey, or ProviderUnreachable if there is no answer within the limit.
        """
        question = _Question(uuid)
        self._open[question] = None
        self._about.setdefault(uuid, []).append(question)
        if self._asker is None or self._asker.done():
            self._asker = asyncio.create_task(self._ask(), name="runware-look-up")
        try:
            return await question.answer
        finally:
            self._close(question)

    def hear(self, reply: InProgress | Rendered) -> None:
        """Take the first reply about a task as the answer."""
        for question in list(self._about.get(reply.uuid, [])):
            self._settle(question, reply)

    def asked_lately(self, uuid: UUID | None) -> bool:
        """Whether a message about a task may be the answer to a question."""
        asked_at = self._asked.get(uuid) if uuid else None
        return asked_at is not None and asyncio.get_running_loop().time() < asked_at + 2 * self._limit

    async def close(self) -> None:
        """Stop asking."""
        if self._asker is not None:
            self._asker.cancel()
            await asyncio.gather(self._asker, return_exceptions=True)

    def _settle(self, question: _Question, answer: Answer | AdreelError) -> None:
        self._close(question)
        if question.answer.done():
            return
        if isinstance(answer, AdreelError):
            question.answer.set_exception(answer)
        else:
            question.answer.set_result(answer)

    def _close(self, question: _Question) -> None:
        if question not in self._open:
            return
        del self._open[question]
        about = self._about[question.uuid]
        about.remove(question)
        if not about:
            del self._about[question.uuid]

    async def _ask(self) -> None:
        try:
            while asking := list(islice(self._open, self._at_once)):
                try:
                    await self._ask_once(await self._connect(), asking)
                except AdreelError as error:
                    self._fail(error)
        finally:
            self._at_once = AT_ONCE
            self._fail(ProviderUnreachable("the client was closed during a look-up"))

    def _fail(self, error: AdreelError) -> None:
        for question in list(self._open):
            self._settle(question, error)

    async def _ask_once(self, connection: Connection, asking: list[_Question]) -> None:
        self._note_asked(asking)
        kinds = ("getResponse", "getTaskDetails")
        await connection.ping([task_object(kind, question.uuid) for question in asking for kind in kinds])
        # An archive may be slower than a ping is answered: an answer has its whole time.
        await asyncio.wait({question.answer for question in asking}, timeout=self._limit / LOOKS)
        unanswered = [question for question in asking if question in self._open]
        if unanswered and connection.has_overflowed and len(asking) > 1:
            self._at_once = len(asking) // 2
            return
        for question in unanswered:
            self._conclude(question, connection)
        if unanswered and connection.has_overflowed:
            self._at_once = AT_ONCE

    def _note_asked(self, asking: list[_Question]) -> None:
        now = asyncio.get_running_loop().time()
        for question in asking:
            self._asked.pop(question.uuid, None)
            self._asked[question.uuid] = now
        while now > self._asked[oldest := next(iter(self._asked))] + 2 * self._limit:
            del self._asked[oldest]

    def _conclude(self, question: _Question, connection: Connection) -> None:
        """Settle a question after its deadline: the task is unknown, or Runware is silent and a last check follows."""
        question.looks += 1
        silence = ProviderUnreachable(f"Runware does not say what it knows of {question.uuid}")
        if connection.has_overflowed:
            self._settle(question, ProviderUnreachable(f"what Runware knows of {question.uuid} is too large to read"))
        elif connection.has_all_pongs:
            self._settle(question, None)
        elif question.looks >= LOOKS - 1:
            # A lost ping leaves the question open until its connection ends.
            connection.interrupt(silence)
            if question.looks == LOOKS:
                self._settle(question, silence)


def task_object(task_type: str, uuid: UUID) -> dict[str, Any]:
    """Return the task object of a question about a task."""
    return {"taskType": task_type, "taskUUID": str(uuid)}

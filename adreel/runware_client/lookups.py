"""Asks Runware once what it knows of a task: what is asked at one time goes out in one message.

"No such task" is an answer that names nothing: it shows in the pong of the message that asked. A pong does not say
whose it is, so it counts only when no ping on the connection is left without one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from adreel.errors import AdreelError, ProviderUnreachable
from adreel.runware_client.connection import Connection
from adreel.runware_client.replies import Rendered, Underway

LOOKS = 3
AT_ONCE = 500
"""As many questions go into one message; the rest wait for their answers."""
Answer = Underway | Rendered | None


@dataclass(eq=False)
class _Question:
    """Somebody asks what is known of a task."""

    uuid: UUID
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    looks: int = 0

    def conclude(self, connection: Connection) -> None:
        """After the time for an answer: nothing is known of the task, or nothing is heard, and a last look follows."""
        self.looks += 1
        if connection.has_all_pongs:
            self.answer.set_result(None)
        elif self.looks >= LOOKS - 1:
            # A ping that was lost leaves a doubt for as long as its connection lives.
            silence = ProviderUnreachable(f"Runware does not say what it knows of {self.uuid}")
            connection.interrupt(silence)
            if self.looks == LOOKS:
                self.answer.set_exception(silence)


class Lookups:
    """The open questions of a client."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], *, limit: float) -> None:
        self._connect = connect
        self._limit = limit
        self._questions: list[_Question] = []
        self._asked: dict[UUID, float] = {}
        self._asker: asyncio.Task[None] | None = None

    async def ask(self, uuid: UUID) -> Answer:
        """Return what a poll or the archive says of a task; None if Runware knows no such task.

        Raises BadKey, or ProviderUnreachable if there is no answer within the limit.
        """
        question = _Question(uuid)
        self._questions.append(question)
        if self._asker is None or self._asker.done():
            self._asker = asyncio.create_task(self._ask(), name="runware-look-up")
        try:
            return await question.answer
        finally:
            self._questions.remove(question)

    def hear(self, reply: Underway | Rendered) -> None:
        """Take the first reply about a task as the answer."""
        for question in self._open():
            if question.uuid == reply.uuid:
                question.answer.set_result(reply)

    def asked_lately(self, uuid: UUID | None) -> bool:
        """Whether a message about a task may be the answer to a question."""
        asked_at = self._asked.get(uuid) if uuid else None
        return asked_at is not None and asyncio.get_running_loop().time() < asked_at + 2 * self._limit

    async def close(self) -> None:
        """Stop asking."""
        if self._asker is not None:
            self._asker.cancel()
            await asyncio.gather(self._asker, return_exceptions=True)

    def _open(self) -> list[_Question]:
        return [question for question in self._questions if not question.answer.done()]

    async def _ask(self) -> None:
        try:
            while asking := self._open()[:AT_ONCE]:
                try:
                    await self._ask_once(await self._connect(), asking)
                except AdreelError as error:
                    self._fail(error)
        finally:
            self._fail(ProviderUnreachable("the client was closed during a look-up"))

    def _fail(self, error: AdreelError) -> None:
        for question in self._open():
            question.answer.set_exception(error)

    async def _ask_once(self, connection: Connection, asking: list[_Question]) -> None:
        now = asyncio.get_running_loop().time()
        self._asked.update({question.uuid: now for question in asking})
        kinds = ("getResponse", "getTaskDetails")
        await connection.ping([task_object(kind, question.uuid) for question in asking for kind in kinds])
        # An archive may be slower than a ping is answered: an answer has its whole time.
        await asyncio.wait({question.answer for question in asking}, timeout=self._limit / LOOKS)
        for question in self._open():
            if question in asking:
                question.conclude(connection)


def task_object(task_type: str, uuid: UUID) -> dict[str, Any]:
    """Return the task object of a question about a task."""
    return {"taskType": task_type, "taskUUID": str(uuid)}

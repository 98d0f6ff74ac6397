"""Look-ups of single tasks; all open look-ups share one message.

Runware answers nothing about an unknown task. So each message has a ping, and its pong means that the answers are
complete. A pong does not name its ping, so it counts only when no ping of the connection is unanswered.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any
from uuid import UUID

from adreel.errors import AdreelError, ProviderUnreachable
from adreel.runware.connection import Connection
from adreel.runware.replies import InProgress, Rendered

MAX_TRIES = 3
MAX_PER_MESSAGE = 500
"""Maximum look-ups in one message; the others wait for its answers."""
Answer = InProgress | Rendered | None


@dataclass(eq=False)
class _Lookup:
    uuid: UUID
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    tries: int = 0

    def settle(self, answer: Answer | AdreelError) -> None:
        """Return or raise the answer to the caller."""
        if self.answer.done():
            return
        if isinstance(answer, AdreelError):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


class Lookups:
    """The open look-ups of a client."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], *, limit: float) -> None:
        self._connect = connect
        self._limit = limit
        # Dictionaries, oldest entry first, because every reply is looked up in them.
        self._open: dict[UUID, list[_Lookup]] = {}
        self._asked: dict[UUID, float] = {}
        self._per_message = MAX_PER_MESSAGE
        self._sender: asyncio.Task[None] | None = None

    async def ask(self, uuid: UUID) -> Answer:
        """Return the state of a task from a poll or the archive; None if Runware does not know the task.

        Raises BadKey, or ProviderUnreachable without an answer within the limit.
        """
        lookup = _Lookup(uuid)
        self._open.setdefault(uuid, []).append(lookup)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all(), name="runware-look-up")
        try:
            return await lookup.answer
        finally:
            self._open[uuid].remove(lookup)
            if not self._open[uuid]:
                del self._open[uuid]

    def hear(self, reply: InProgress | Rendered) -> None:
        """Take the first reply about a task as the answer."""
        for lookup in self._open.get(reply.uuid, ()):
            lookup.settle(reply)

    def asked_lately(self, uuid: UUID | None) -> bool:
        """Whether a message about a task may be the answer to a look-up."""
        asked_at = self._asked.get(uuid) if uuid else None
        return asked_at is not None and asyncio.get_running_loop().time() < asked_at + 2 * self._limit

    async def close(self) -> None:
        """Stop asking."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    async def _send_all(self) -> None:
        try:
            while lookups := self._unanswered(self._per_message):
                try:
                    await self._send(lookups, await self._connect())
                except AdreelError as error:
                    self._fail(error)
        finally:
            self._per_message = MAX_PER_MESSAGE
            self._fail(ProviderUnreachable("the client was closed during a look-up"))

    def _unanswered(self, most: int | None = None) -> list[_Lookup]:
        every = chain.from_iterable(self._open.values())
        return list(islice((lookup for lookup in every if not lookup.answer.done()), most))

    def _fail(self, error: AdreelError) -> None:
        for lookup in self._unanswered():
            lookup.settle(error)

    async def _send(self, lookups: list[_Lookup], connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        for lookup in lookups:
            self._asked.pop(lookup.uuid, None)
            self._asked[lookup.uuid] = now
        while now > self._asked[oldest := next(iter(self._asked))] + 2 * self._limit:
            del self._asked[oldest]
        kinds = ("getResponse", "getTaskDetails")
        await connection.ping([task_object(kind, lookup.uuid) for lookup in lookups for kind in kinds])
        # The archive may answer after the pong, so the answers have the whole time.
        await asyncio.wait({lookup.answer for lookup in lookups}, timeout=self._limit / MAX_TRIES)
        unanswered = [lookup for lookup in lookups if not lookup.answer.done()]
        if unanswered and connection.has_overflowed:
            self._per_message = len(lookups) // 2 or MAX_PER_MESSAGE
            if len(lookups) > 1:
                return
        for lookup in unanswered:
            lookup.tries += 1
            silence = ProviderUnreachable(f"Runware does not answer the look-up of task {lookup.uuid}")
            if connection.has_overflowed:
                lookup.settle(ProviderUnreachable(f"Runware's answer about task {lookup.uuid} is too large to read"))
            elif connection.has_all_pongs:
                lookup.settle(None)
            elif lookup.tries >= MAX_TRIES - 1:
                # A lost ping prevents all further answers on its connection, so the last try uses another one.
                connection.interrupt(silence)
                if lookup.tries == MAX_TRIES:
                    lookup.settle(silence)


def task_object(task_type: str, uuid: UUID) -> dict[str, Any]:
    """Return the task object of a request about a task."""
    return {"taskType": task_type, "taskUUID": str(uuid)}

"""Client that submits and follows video tasks over one socket; one poll message per tick covers all open tasks."""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID, uuid4

from adreel.errors import AccountError, AdreelError, BadKey, BuyingStopped, ProviderBusy, ProviderUnreachable
from adreel.models.takes import PartRequest
from adreel.runware.connection import Connection
from adreel.runware.failures import CONFLICT, error_from
from adreel.runware.lookups import Lookups, task_object
from adreel.runware.polls import Polls
from adreel.runware.replies import Balance, Failure, InProgress, Rendered, Reply, Uploaded

UPLOADS = 4
"""Maximum number of uploads at once. Each may have megabytes, and all share the socket."""
SUBMITS = 32
"""Maximum number of submits awaiting acknowledgement. Without it, late ones would time out in the queue."""


@dataclass(frozen=True)
class Timing:
    """Time limits and pauses of a client, in seconds."""

    connect: float = 15
    submit: float = 60
    """For a submit with all its repeats under the same UUID."""
    acknowledge: float = 15
    """For one submit. After it, the same UUID is sent again."""
    upload: float = 60
    doubt: float = 3
    """Pause before a poll asks whether a task without acknowledgement is known."""
    look: float = 3
    """For the answer of a look-up."""
    silence: float = 20
    """Without any reply to the polls, after which the socket counts as dead."""
    poll_least: float = 0.3
    poll_each: float = 0.0005
    """Pause that each open task adds between two polls, because one message covers all tasks."""
    poll_most: float = 1.0
    back_off_most: float = 15


@dataclass
class _Watch:
    """A caller that waits for a task; two runners of one job may wait for the same task."""

    uuid: UUID
    on_progress: Callable[[int], None]
    result: "asyncio.Future[Rendered]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def fail(self, error: AdreelError) -> None:
        """Raise an error to the caller."""
        if not self.result.done():
            self.result.set_exception(error)


class RunwareClient:
    """Client for one event loop, which reconnects when needed."""

    def __init__(self, url: str, key: str, timing: Timing | None = None) -> None:
        self.url = url
        self._key = key
        self._timing = timing or Timing()
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._connect_task: asyncio.Task[Connection] | None = None
        self._submitting = asyncio.Semaphore(SUBMITS)
        self._uploading = asyncio.Semaphore(UPLOADS)
        self._watches: dict[UUID, list[_Watch]] = {}
        self._lookups = Lookups(self.connect, limit=self._timing.look)
        self._polls = Polls()
        self._poller: asyncio.Task[None] | None = None
        self._failures = 0
        self.account_error: AccountError | None = None
        """Why the account can't buy. This client sends nothing more: each further task would be refused as well."""
        self.last_error: AdreelError | None = None
        """Error of the last poll; None after a successful one."""

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open."""
        return self._connection is not None and self._connection.is_alive

    def connect_ahead(self) -> None:
        """Start to connect in the background; the next `connect` uses the result."""
        if self._connection is None and self._connect_task is None and self.account_error is None:
            self._connect_task = asyncio.create_task(self._connect(), name="runware-connect")

    async def connect(self) -> Connection:
        """Return the open connection, or open one; raises BadKey or ProviderUnreachable."""
        task, self._connect_task = self._connect_task, None
        if task is not None:
            await task
        return await self._connect()

    async def _connect(self) -> Connection:
        known = self.account_error
        async with self._connecting:
            if self.account_error and self.account_error is not known:
                # The key was refused while this call waited, so it would be refused again.
                raise type(self.account_error)(str(self.account_error))
            if self._connection is None or not self._connection.is_alive:
                if self._connection is not None and self._connection.has_overflowed:
                    # The next polls are smaller. A task fails only if its answer alone is too large.
                    for watch in self._watching(self._polls.note_overflow()):
                        watch.fail(
                            ProviderUnreachable(
                                f"Runware's answer about task {watch.uuid} is too large to read; the task stays open:"
                                " `adreel resume` asks again"
                            )
                        )
                await self._drop()
                try:
                    self._connection = await Connection.open(
                        self.url, self._key, self._on_replies, limit=self._timing.connect
                    )
                except AccountError as error:
                    self.account_error = error
                    raise
            return self._connection

    def check_account(self) -> None:
        """Raise BuyingStopped if Runware has refused a task of this client, or its key, because of the account."""
        # The error of a connection that was opened ahead is still to be told, by the next `connect`.
        if self.account_error is not None and self._connect_task is None:
            raise BuyingStopped

    async def submit(self, uuid: UUID, request: PartRequest, images: Mapping[str, str] | None = None) -> None:
        """Send a task until Runware acknowledges it, always under the same UUID.

        Raises the error of a refusal, or BuyingStopped if the account refused another task before. ProviderBusy or
        ProviderUnreachable after the time limit: then the task may have been accepted, and only the same UUID may be
        sent again.
        """
        last_error: AdreelError = ProviderUnreachable(f"Runware did not acknowledge {uuid}")
        with suppress(TimeoutError):
            async with self._submitting, asyncio.timeout(self._timing.submit):
                for attempt in count():
                    try:
                        self.check_account()
                        return await self._submit_once(uuid, request, images or {})
                    except (ProviderUnreachable, ProviderBusy) as error:
                        last_error = error
                        await asyncio.sleep(self._back_off(attempt))
                    except BadKey as error:
                        self.account_error = error
                        raise
                    except AdreelError as error:
                        if isinstance(error, AccountError) and not isinstance(error, BuyingStopped):
                            self.account_error = error
                        # An earlier submit, or another runner's, may have been accepted before this one was refused.
                        if await self.look_up(uuid):
                            return None
                        raise
        raise last_error

    async def upload(self, data_uri: str) -> str:
        """Upload an image and return the UUID under which requests name it.

        Raises the error of a refusal, or ProviderUnreachable without an answer.
        """
        try:
            async with self._uploading, asyncio.timeout(self._timing.upload):
                return await (await self.connect()).upload(uuid4(), data_uri)
        except TimeoutError:
            raise ProviderUnreachable(f"Runware did not answer an upload in {self._timing.upload:g} s") from None

    async def balance(self) -> float:
        """Return the credits of the account in USD.

        Raises the error of a refusal, or ProviderUnreachable without an answer.
        """
        limit = self._timing.acknowledge
        try:
            async with asyncio.timeout(limit):
                return await (await self.connect()).balance(uuid4())
        except TimeoutError:
            raise ProviderUnreachable(f"Runware did not tell the account's balance within {limit:g} s") from None

    async def look_up(self, uuid: UUID) -> InProgress | Rendered | None:
        """Return the state of a task from a poll or the archive; None if Runware does not know the task.

        Raises BadKey, or ProviderUnreachable without an answer.
        """
        return await self._lookups.ask(uuid)

    async def wait(self, uuid: UUID, on_progress: Callable[[int], None] = lambda _percent: None) -> Rendered:
        """Return the clip of an accepted task, or raise its error; has no time limit."""
        watch = _Watch(uuid, on_progress)
        self._watches.setdefault(uuid, []).append(watch)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll(), name="runware-poll")
        try:
            return await watch.result
        finally:
            self._watches[uuid].remove(watch)
            if not self._watches[uuid]:
                del self._watches[uuid]

    async def close(self) -> None:
        """Stop polling and close the socket."""
        for task in (self._connect_task, self._poller):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._lookups.close()
        await self._drop()

    async def _submit_once(self, uuid: UUID, request: PartRequest, images: Mapping[str, str]) -> None:
        connection = await self.connect()
        asking = asyncio.create_task(self._ask_in_doubt(connection, uuid))
        try:
            async with asyncio.timeout(self._timing.acknowledge):
                await connection.submit(uuid, request, images)
        except TimeoutError:
            connection.interrupt(ProviderUnreachable("Runware does not acknowledge submits on this connection"))
            raise ProviderUnreachable(
                f"Runware did not acknowledge {uuid} within {self._timing.acknowledge:g} s"
            ) from None
        finally:
            asking.cancel()

    async def _ask_in_doubt(self, connection: Connection, uuid: UUID) -> None:
        # The SDK takes any reply about a task that it is submitting as the acknowledgement. So the answer to a poll
        # replaces an acknowledgement that was lost or empty.
        with suppress(ProviderUnreachable):
            while connection.is_alive:
                await asyncio.sleep(self._timing.doubt)
                await connection.send([task_object("getResponse", uuid)])

    async def _poll(self) -> None:
        timing = self._timing
        while self._watches:
            try:
                await self._poll_once()
            except AccountError as error:
                for watches in self._watches.values():
                    for watch in watches:
                        watch.fail(error)
            except ProviderUnreachable as error:
                self.last_error = error
                self._failures += 1
            pause = min(max(len(self._watches) * timing.poll_each, timing.poll_least), timing.poll_most)
            await asyncio.sleep(self._back_off(self._failures) if self._failures else pause)

    async def _poll_once(self) -> None:
        connection = await self.connect()
        now = asyncio.get_running_loop().time()
        if now - connection.heard_at > self._timing.silence:
            connection.interrupt(ProviderUnreachable("the connection to Runware fell silent"))
            return
        if self._polls.is_searching and connection.polled_at is not None:
            if connection.heard_at <= connection.polled_at:
                return
            self._polls.note_answer()
        connection.polled_at = now
        await connection.send([task_object("getResponse", uuid) for uuid in self._polls.next(self._watches)])

    def _back_off(self, attempt: int) -> float:
        # The exponent is bounded: after hours without Runware, the power would be too large for a float.
        longest: float = min(self._timing.poll_least * 2 ** min(attempt, 32), self._timing.back_off_most)
        return longest * random.uniform(0.7, 1)  # noqa: S311 - jitter is no secret

    def _on_replies(self, replies: list[Reply]) -> None:
        for reply in replies:
            if isinstance(reply, Failure):
                self._on_failure(reply)
                continue
            if isinstance(reply, Uploaded | Balance):
                continue
            self._lookups.hear(reply)
            for watch in self._watching(reply.uuid):
                self._failures, self.last_error = 0, None
                if isinstance(reply, InProgress):
                    if reply.progress is not None:
                        watch.on_progress(reply.progress)
                elif not watch.result.done():
                    watch.result.set_result(reply)

    def _on_failure(self, failure: Failure) -> None:
        error = error_from(failure)
        if isinstance(error, ProviderBusy):
            self.last_error = error
            self._failures += 1
            if failure.uuid is None and self._connection and self._connection.is_submitting:
                # The error names no task, so all submits awaiting acknowledgement are retried later.
                self._connection.interrupt(error)
        elif isinstance(error, AccountError):
            # The authentication of the next connection tells whether the key is still valid.
            if self._connection:
                self._connection.interrupt(ProviderUnreachable(str(error)))
        # An archive without the task may answer with an error. A failed task is reported by every poll.
        elif failure.code != CONFLICT and not self._lookups.asked_lately(failure.uuid):
            for watch in self._watching(failure.uuid):
                watch.fail(error)

    def _watching(self, uuid: UUID | None) -> list[_Watch]:
        return list(self._watches.get(uuid, [])) if uuid else []

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

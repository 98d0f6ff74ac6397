"""The limit `runware`: how many scenes are in flight at the provider at once, over all runs of a Prefect server.

A slot belongs to the task at Runware, not to the process that has sent it: a killed run frees none. The record of the
take has its lease, and the run that comes back takes it over. docs/decisions/0010-slots-outlive-their-run.md
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakKeyDictionary

import httpx
from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.exceptions import ObjectAlreadyExists
from prefect.logging import get_logger

from adreel.errors import AccountError, NoFreeSlot
from adreel.orchestration.errors import explain

LIMIT = "runware"
# A render takes one to five minutes: a lease that nobody renews any more lasts for as long.
LEASE_SECONDS = 360
RENEW_SECONDS = 270.0
AGAIN_SECONDS = 10.0
GIVE_BACK_SECONDS = 5.0
RENEWAL_SECONDS = 30.0
WAIT_SECONDS = 6 * 3600
LONGEST_PAUSE = 5.0
# A server that is busy needs a moment for a slot that is free.
TELL_SECONDS = 2.0
# No answer, or the answer of another server: a web page, or JSON of another shape.
NO_USABLE_ANSWER = (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError, RecursionError)
NOT_THAT_MANY = {httpx.codes.LOCKED, httpx.codes.UNPROCESSABLE_ENTITY}

logger = get_logger("adreel.slots")


def ensure_limit(slots: int) -> None:
    """Create the limit if the server has none; an operator's own number is left alone.

    The embedded server is this process's own and frees no slot that a killed run held: there it is made anew.
    """
    with get_client(sync_client=True) as client:
        if client.server_type == ServerType.EPHEMERAL:
            client.upsert_global_concurrency_limit_by_name(LIMIT, slots)
            client.update_global_concurrency_limit(LIMIT, GlobalConcurrencyLimitUpdate(active_slots=0))
            return
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=slots))
        except ObjectAlreadyExists:
            return
        except httpx.TransportError as error:
            # A server that restarts had the limit before; if not, the first scene that asks for a slot says so.
            logger.warning("can't make sure of the limit %r: %s", LIMIT, error)


@asynccontextmanager
async def runware_slot(
    earlier: UUID | None = None, *, waits: Callable[[str], None] = lambda _what: None, block: int = 1
) -> AsyncIterator[UUID | None]:
    """Hold one slot of the limit, and tell its lease: that of an earlier run of the same task, if it still lasts.

    `waits` is told if there is none at once. A missing limit is an error, since Prefect takes it for "no limit". Up to
    `block` slots are leased together, and given back together.
    """
    of_loop = _slots.setdefault(asyncio.get_running_loop(), {})
    slots = of_loop.setdefault(block, Slots(block))
    try:
        with _telling(waits):
            async with asyncio.timeout(WAIT_SECONDS):
                lease = await slots.take(earlier)
    except TimeoutError:
        raise NoFreeSlot(f"no slot of the limit {LIMIT!r} was free for {WAIT_SECONDS / 3600:g} h") from None
    except NO_USABLE_ANSWER as error:
        why = str(explain(error) or error) or type(error).__name__
        raise NoFreeSlot(f"Prefect's server can't be asked for a slot of the limit {LIMIT!r}: {why}") from error
    try:
        yield lease.lease_id
    finally:
        await slots.give_back(lease)


@dataclass
class _Lease:
    """Slots that were leased together: how many scenes hold one, and how many are left."""

    lease_id: UUID
    held: int = 0
    left: int = 0


class Slots:
    """The slots that the scenes of an event loop hold.

    Prefect's own `concurrency` has a thread for each lease and asks for one slot at a time: too dear for thousands.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._leases: dict[UUID, _Lease] = {}
        self._wanted = 0
        self._asking = asyncio.Lock()
        self._came_free = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None
        self._owed: list[UUID] = []
        self._returning: asyncio.Task[None] | None = None
        self._is_away = False

    async def take(self, earlier: UUID | None) -> _Lease:
        """Take a slot: the one of an earlier run, one that is left here, or a new one."""
        lease = await self._inherited(earlier) if earlier else None
        if lease is None:
            self._wanted += 1
            try:
                # With blocks one asks the server for all that wait.
                async with self._asking if self._block > 1 else nullcontext():
                    lease = self._left() or await self._leased()
                    lease.left -= 1
            finally:
                self._wanted -= 1
        lease.held += 1
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(), name="runware-slots")
        return lease

    async def give_back(self, lease: _Lease) -> None:
        """Give a slot back, for the next scene here or, with the last one of its lease, for anybody."""
        lease.held -= 1
        if self._block > 1:
            lease.left += 1
            self._came_free.set()
        await self._release_idle()

    def _left(self) -> _Lease | None:
        return next((lease for lease in self._leases.values() if lease.left), None)

    async def _inherited(self, lease_id: UUID) -> _Lease | None:
        """Take over a lease that has neither ended nor been given back; it is renewed by that."""
        if lease_id not in self._leases:
            try:
                async with get_client() as client:
                    await client.renew_concurrency_lease(lease_id, LEASE_SECONDS)
            except httpx.HTTPStatusError as error:
                if _is_gone(error):
                    return None
                raise
        return self._leases.setdefault(lease_id, _Lease(lease_id))

    async def _leased(self) -> _Lease:
        size = self._block
        while True:
            size = min(size, self._wanted)
            if lease := self._left() or await self._asked_for(size):
                return lease
            if size > 1:
                size //= 2
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._came_free.wait(), random.uniform(0.2, 1) * LONGEST_PAUSE)  # noqa: S311
            self._came_free.clear()
            size = self._block

    async def _asked_for(self, size: int) -> _Lease | None:
        asking = asyncio.ensure_future(_ask(size))
        try:
            lease_id = await asyncio.shield(asking)
        except asyncio.CancelledError:
            # The server may grant it all the same, and nobody else would give it back.
            with suppress(*NO_USABLE_ANSWER, AccountError):
                async with asyncio.timeout(GIVE_BACK_SECONDS):
                    if granted := await asking:
                        await self._release(granted)
            raise
        if lease_id is None:
            return None
        lease = self._leases[lease_id] = _Lease(lease_id, left=size)
        return lease

    async def _renew(self) -> None:
        pause = RENEW_SECONDS
        while True:
            await asyncio.sleep(pause)
            renewed = await asyncio.gather(*map(self._is_renewed, list(self._leases.values())))
            pause = RENEW_SECONDS if all(renewed) else AGAIN_SECONDS

    async def _is_renewed(self, lease: _Lease) -> bool:
        try:
            # Prefect's client would retry for more than a minute.
            async with asyncio.timeout(RENEWAL_SECONDS), get_client() as client:
                await client.renew_concurrency_lease(lease.lease_id, LEASE_SECONDS)
        except NO_USABLE_ANSWER as error:
            if _is_gone(error):
                await self._replace(lease)
                return True
            # A failed renewal must not end a scene whose clip is paid.
            if not self._is_away:
                logger.warning("slots of the limit %r can't be renewed now: %s", LIMIT, str(error) or "no answer")
            self._is_away = True
            return False
        self._is_away = False
        return True

    async def _replace(self, lease: _Lease) -> None:
        """Lease new slots in place of slots that the server has forgotten; go on without if none are free."""
        if self._leases.get(lease.lease_id) is not lease:
            return
        del self._leases[lease.lease_id]
        lease.left = 0
        granted = None
        with suppress(*NO_USABLE_ANSWER, AccountError):
            async with asyncio.timeout(RENEWAL_SECONDS):
                granted = await _ask(lease.held)
        if granted is None:
            logger.warning(
                "Prefect's server does not know the lease of %d slots of the limit %r any more, and has no others:"
                " their scenes go on without", lease.held, LIMIT
            )  # fmt: skip
            return
        lease.lease_id = granted
        self._leases[granted] = lease
        await self._release_idle()

    async def _release_idle(self) -> None:
        # With one slot to a lease the next scene here has to queue up with those of other runs.
        idle = [lease for lease in self._leases.values() if not lease.held and (self._block == 1 or not self._wanted)]
        for lease in idle:
            del self._leases[lease.lease_id]
        for lease in idle:
            await self._release(lease.lease_id)
        if not self._leases and self._renewing:
            self._renewing.cancel()
            self._renewing = None

    async def _release(self, lease_id: UUID) -> None:
        # Nor must a server that is away when its clip is rendered: the scene goes on, and the slot follows.
        if await _given_back(lease_id):
            return
        self._owed.append(lease_id)
        if self._returning is None or self._returning.done():
            self._returning = asyncio.create_task(self._return_owed(), name="runware-slots-owed")

    async def _return_owed(self) -> None:
        """Give back what a server that was away did not take: until the lease ends, nobody else could use it."""
        while self._owed:
            await asyncio.sleep(AGAIN_SECONDS)
            while self._owed and await _given_back(self._owed[0]):
                del self._owed[0]


async def _ask(size: int) -> UUID | None:
    try:
        async with get_client() as client:
            answer = await client.increment_concurrency_slots_with_lease([LIMIT], size, "concurrency", LEASE_SECONDS)
    except httpx.HTTPStatusError as error:
        if error.response.status_code in NOT_THAT_MANY:
            return None
        raise
    found = answer.json()
    if not found["limits"]:
        raise AccountError(f"there is no limit {LIMIT!r}. Create it: prefect gcl create {LIMIT} --limit 4")
    return UUID(found["lease_id"])


def _is_gone(error: Exception) -> bool:
    """Whether the server does not know a lease: it has expired, or the server kept it in memory and restarted."""
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in {
        httpx.codes.GONE,
        httpx.codes.NOT_FOUND,
    }


async def _given_back(lease_id: UUID) -> bool:
    try:
        # Prefect's client would retry for more than a minute. To the server a lease that has ended is no error.
        async with asyncio.timeout(GIVE_BACK_SECONDS):
            async with get_client() as client:
                await client.release_concurrency_slots_with_lease(lease_id)
    except NO_USABLE_ANSWER as error:
        why = str(error) or f"no answer within {GIVE_BACK_SECONDS:g} s"
        logger.warning("a slot of the limit %r can't be given back now: %s", LIMIT, why)
        return False
    return True


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Slots]] = WeakKeyDictionary()


@contextmanager
def _telling(waits: Callable[[str], None]) -> Iterator[None]:
    telling = asyncio.get_running_loop().call_later(TELL_SECONDS, waits, f"a slot of {LIMIT!r}")
    try:
        yield
    finally:
        telling.cancel()

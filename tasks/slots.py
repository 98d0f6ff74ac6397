"""Slots of the global concurrency limits, over all runs of a Prefect server: `runware` bounds the scenes in flight, and
`cuts` the cuts that are rendered.

A slot belongs to the task at Runware, not to the process that sent it, so a killed run frees none. The take's record
holds the lease of the slot, and the run that comes back takes it over. docs/decisions/0010-slots-outlive-their-run.md
A cut is rendered by the run's own machine, so its slot ends with the run.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakKeyDictionary

import httpx
from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.concurrency.asyncio import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.logging import get_logger

from adreel.errors import AccountError, NoFreeSlot
from adreel.orchestration.embedded_server import is_embedded
from adreel.orchestration.errors import explain

LIMIT = "runware"
CUTS_LIMIT = "cuts"
CUTS_AT_ONCE = os.cpu_count() or 1
"""Slots of the limit `cuts`: a render keeps one core busy, and sometimes more."""
CUT_LEASE_SECONDS = 60
"""The slot of a killed run is free after so long; Prefect allows no less."""
# A render takes one to five minutes. A lease that is no longer renewed covers it.
LEASE_SECONDS = 360
RENEW_SECONDS = 270.0
RETRY_SECONDS = 10.0
RENEWAL_TIMEOUT = 30.0
RELEASE_TIMEOUT = 5.0
ACQUIRE_TIMEOUT = 6 * 3600
MAX_POLL_SECONDS = 5.0
# A busy server needs a moment to grant a free slot.
NOTICE_SECONDS = 2.0
# No answer, or another server's answer: a web page, or JSON of another shape.
NO_USABLE_ANSWER = (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError, RecursionError)
NOT_ENOUGH_SLOTS = {httpx.codes.LOCKED, httpx.codes.UNPROCESSABLE_ENTITY}
UNKNOWN_LEASE = {httpx.codes.GONE, httpx.codes.NOT_FOUND}

logger = get_logger("adreel.slots")


def ensure_limit(slots: int, name: str = LIMIT) -> None:
    """Create a limit if the server has none. An operator's own number stays.

    The embedded server belongs to this process and never frees the slots of a killed run, so its slots are reset.
    """
    with get_client(sync_client=True) as client:
        if is_embedded() or client.server_type == ServerType.EPHEMERAL:
            client.upsert_global_concurrency_limit_by_name(name, slots)
            client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(active_slots=0))
            return
        try:
            try:
                # Each refused creation leaves a traceback in the server's log.
                client.read_global_concurrency_limit_by_name(name)
            except ObjectNotFound:
                with suppress(ObjectAlreadyExists):
                    client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=slots))
        except httpx.TransportError as error:
            # A restarting server had the limit before. If it had not, the first request for a slot reports that.
            logger.warning("can't check that the limit %r exists: %s", name, error)


@asynccontextmanager
async def runware_slot(
    earlier: UUID | None = None, *, on_wait: Callable[[str], None] = lambda _what: None, block: int = 1
) -> AsyncIterator[UUID | None]:
    """Hold one slot of the limit and yield the id of its lease.

    The `earlier` lease of the same task is taken over if it still lasts. `on_wait` is called if none is free at once.
    Up to `block` slots are leased together and released together. AccountError if the limit is missing: Prefect would
    treat it as unlimited.
    """
    loop = asyncio.get_running_loop()
    pool = _pools.setdefault(loop, {}).setdefault(block, SlotPool(block))
    notice = loop.call_later(NOTICE_SECONDS, on_wait, f"a slot of {LIMIT!r}")
    try:
        async with asyncio.timeout(ACQUIRE_TIMEOUT):
            lease = await pool.acquire(earlier)
    except TimeoutError:
        raise NoFreeSlot(f"no slot of the limit {LIMIT!r} was free for {ACQUIRE_TIMEOUT / 3600:g} h") from None
    except NO_USABLE_ANSWER as error:
        why = str(explain(error) or error) or type(error).__name__
        raise NoFreeSlot(f"Prefect's server did not grant or refuse a slot of the limit {LIMIT!r}: {why}") from error
    finally:
        notice.cancel()
    try:
        yield lease.lease_id
    finally:
        await pool.release(lease)


@asynccontextmanager
async def cut_slot(*, on_wait: Callable[[str], None] = lambda _what: None) -> AsyncIterator[None]:
    """Hold one slot of the limit `cuts`. `on_wait` is called if none is free at once."""
    loop = asyncio.get_running_loop()
    notice = loop.call_later(NOTICE_SECONDS, on_wait, f"a slot of {CUTS_LIMIT!r}")
    try:
        # The cuts of a process queue here, so that a campaign does not poll the server for each.
        turn = _renders.setdefault(loop, asyncio.Semaphore(CUTS_AT_ONCE))
        async with turn, concurrency(CUTS_LIMIT, lease_duration=CUT_LEASE_SECONDS):
            notice.cancel()
            yield
    finally:
        notice.cancel()


_renders: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


@dataclass
class _Lease:
    """Slots that were leased together: `held` by scenes, and `free` for others of this process."""

    lease_id: UUID
    held: int = 0
    free: int = 0


class SlotPool:
    """The leases that the scenes of one event loop hold.

    Prefect's own `concurrency` uses a thread per lease and requests one slot at a time, too expensive for thousands.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._leases: dict[UUID, _Lease] = {}
        self._waiting = 0
        self._requesting = asyncio.Lock()
        self._freed = asyncio.Event()
        self._renewals: asyncio.Task[None] | None = None
        self._unreleased: list[UUID] = []
        self._releasing: asyncio.Task[None] | None = None
        self._is_server_away = False

    async def acquire(self, earlier: UUID | None) -> _Lease:
        """Take a slot: that of an earlier run, a free one of this pool, or a new one."""
        lease = None
        if earlier in self._leases:
            lease = self._leases[earlier]
        elif earlier:
            try:
                async with get_client() as client:
                    await client.renew_concurrency_lease(earlier, LEASE_SECONDS)
                lease = self._leases.setdefault(earlier, _Lease(earlier))
            except httpx.HTTPStatusError as error:
                if not _is_gone(error):
                    raise
        if lease is None:
            self._waiting += 1
            try:
                # One request asks for the slots of all waiting scenes.
                async with self._requesting if self._block > 1 else nullcontext():
                    lease = await self._lease_with_free_slot()
                    lease.free -= 1
            finally:
                self._waiting -= 1
        lease.held += 1
        if self._renewals is None:
            self._renewals = asyncio.create_task(self._renew_all(), name="runware-slots")
        return lease

    async def release(self, lease: _Lease) -> None:
        """Free a slot for the next scene of this pool. The last slot of a lease returns the lease to the server."""
        lease.held -= 1
        if self._block > 1:
            lease.free += 1
            self._freed.set()
        await self._return_idle_leases()

    async def _lease_with_free_slot(self) -> _Lease:
        size = self._block
        while True:
            if lease := next((lease for lease in self._leases.values() if lease.free), None):
                return lease
            size = min(size, self._waiting)
            requesting = asyncio.ensure_future(_request_slots(size))
            try:
                lease_id = await asyncio.shield(requesting)
            except asyncio.CancelledError:
                # The server may still grant the slots, and nobody else would release them.
                with suppress(*NO_USABLE_ANSWER, AccountError):
                    async with asyncio.timeout(RELEASE_TIMEOUT):
                        if granted := await requesting:
                            await self._return(granted)
                raise
            if lease_id is not None:
                lease = self._leases[lease_id] = _Lease(lease_id, free=size)
                return lease
            if size > 1:
                size //= 2
                continue
            with suppress(TimeoutError):
                pause = random.uniform(0.2, 1) * MAX_POLL_SECONDS  # noqa: S311 - no secret
                await asyncio.wait_for(self._freed.wait(), pause)
            self._freed.clear()
            size = self._block

    async def _renew_all(self) -> None:
        pause = RENEW_SECONDS
        while True:
            await asyncio.sleep(pause)
            renewed = await asyncio.gather(*map(self._renew, list(self._leases.values())))
            pause = RENEW_SECONDS if all(renewed) else RETRY_SECONDS

    async def _renew(self, lease: _Lease) -> bool:
        try:
            # Prefect's client would retry for more than a minute.
            async with asyncio.timeout(RENEWAL_TIMEOUT), get_client() as client:
                await client.renew_concurrency_lease(lease.lease_id, LEASE_SECONDS)
        except NO_USABLE_ANSWER as error:
            if _is_gone(error):
                await self._replace(lease)
                return True
            # A failed renewal must not end a scene whose clip is paid.
            if not self._is_server_away:
                logger.warning("can't renew slots of the limit %r now: %s", LIMIT, str(error) or "no answer")
            self._is_server_away = True
            return False
        self._is_server_away = False
        return True

    async def _replace(self, lease: _Lease) -> None:
        """Replace a lease that the server has forgotten. Without free slots its scenes continue without a lease."""
        if self._leases.get(lease.lease_id) is not lease:
            return
        del self._leases[lease.lease_id]
        lease.free = 0
        granted = None
        with suppress(*NO_USABLE_ANSWER, AccountError):
            async with asyncio.timeout(RENEWAL_TIMEOUT):
                granted = await _request_slots(lease.held)
        if granted is None:
            logger.warning(
                "Prefect's server has lost the lease of %d slots of the limit %r and has no others free: their scenes"
                " go on without", lease.held, LIMIT
            )  # fmt: skip
            return
        lease.lease_id = granted
        self._leases[granted] = lease
        await self._return_idle_leases()

    async def _return_idle_leases(self) -> None:
        # In a pool of single slots the next scene has to queue with the scenes of other runs.
        idle = [lease for lease in self._leases.values() if not lease.held and (self._block == 1 or not self._waiting)]
        for lease in idle:
            del self._leases[lease.lease_id]
        for lease in idle:
            await self._return(lease.lease_id)
        if not self._leases and self._renewals:
            self._renewals.cancel()
            self._renewals = None

    async def _return(self, lease_id: UUID) -> None:
        # The scene goes on if the server is away. The lease is returned later: until it expires, nobody could use it.
        if await _try_return(lease_id):
            return
        self._unreleased.append(lease_id)
        if self._releasing is None or self._releasing.done():
            self._releasing = asyncio.create_task(self._return_unreleased(), name="runware-slots-unreleased")

    async def _return_unreleased(self) -> None:
        while self._unreleased:
            await asyncio.sleep(RETRY_SECONDS)
            while self._unreleased and await _try_return(self._unreleased[0]):
                del self._unreleased[0]


_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, SlotPool]] = WeakKeyDictionary()


async def _request_slots(count: int) -> UUID | None:
    """Lease slots in one request; None if so many are not free."""
    try:
        async with get_client() as client:
            response = await client.increment_concurrency_slots_with_lease([LIMIT], count, "concurrency", LEASE_SECONDS)
    except httpx.HTTPStatusError as error:
        if error.response.status_code in NOT_ENOUGH_SLOTS:
            return None
        raise
    granted = response.json()
    if not granted["limits"]:
        raise AccountError(f"the limit {LIMIT!r} does not exist. Create it: prefect gcl create {LIMIT} --limit 4")
    return UUID(granted["lease_id"])


def _is_gone(error: Exception) -> bool:
    """Whether the server does not know a lease: it has expired, or was in the memory of a restarted server."""
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in UNKNOWN_LEASE


async def _try_return(lease_id: UUID) -> bool:
    """Return a lease to the server; False, with a warning, if it does not answer."""
    try:
        # Prefect's client would retry for more than a minute. An expired lease is no error for the server.
        async with asyncio.timeout(RELEASE_TIMEOUT):
            async with get_client() as client:
                await client.release_concurrency_slots_with_lease(lease_id)
    except NO_USABLE_ANSWER as error:
        why = str(error) or f"no answer within {RELEASE_TIMEOUT:g} s"
        logger.warning("can't release a slot of the limit %r: %s", LIMIT, why)
        return False
    return True

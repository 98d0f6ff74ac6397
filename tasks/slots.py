"""The limit `runware`: how many scenes are in flight at the provider at once, over all runs of a Prefect server.

A slot belongs to the task at Runware, not to the process that has sent it: a killed run frees none. The record of the
take has its lease, and the run that comes back takes it over. docs/decisions/0010-slots-outlive-their-run.md
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from uuid import UUID

import httpx
from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.concurrency._leases import amaintain_concurrency_lease
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency
from prefect.concurrency.context import ConcurrencyContext
from prefect.exceptions import ObjectAlreadyExists
from prefect.logging import get_logger

from adreel.errors import AccountError, AdreelError, NoFreeSlot

LIMIT = "runware"
# A render takes one to five minutes: a lease that nobody renews any more lasts for as long.
LEASE_SECONDS = 360
GIVE_BACK_SECONDS = 5.0
WAIT_SECONDS = 6 * 3600
# A server that is busy needs a moment for a slot that is free.
TELL_SECONDS = 2.0

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
    earlier: UUID | None = None, *, waits: Callable[[str], None] = lambda _what: None
) -> AsyncIterator[UUID | None]:
    """Hold one slot of the limit, and tell its lease: that of an earlier run of the same task, if it still lasts.

    `waits` is told if there is none at once.

    A missing limit is an error, since Prefect takes it for "no limit".
    """
    async with AsyncExitStack() as stack:
        try:
            inherited = earlier if earlier and await _lasts(earlier) else None
            with _telling(waits):
                await stack.enter_async_context(_given_back_in_time(_inherited(inherited) if inherited else _leased()))
        except ConcurrencySlotAcquisitionError as error:
            raise _why_none(error) from error
        except TimeoutError:
            raise NoFreeSlot(f"no slot of the limit {LIMIT!r} was free for {WAIT_SECONDS / 3600:g} h") from None
        yield inherited or _lease()


@contextmanager
def _telling(waits: Callable[[str], None]) -> Iterator[None]:
    telling = asyncio.get_running_loop().call_later(TELL_SECONDS, waits, f"a slot of {LIMIT!r}")
    try:
        yield
    finally:
        telling.cancel()


def _leased() -> AbstractAsyncContextManager[None]:
    return concurrency(
        LIMIT,
        strict=True,
        timeout_seconds=WAIT_SECONDS,
        lease_duration=LEASE_SECONDS,
        # A lost renewal must not end a scene that is being paid for.
        raise_on_lease_renewal_failure=False,
    )


async def _lasts(lease: UUID) -> bool:
    """Whether a lease has neither ended nor been given back; if so, it is renewed."""
    try:
        async with get_client() as client:
            await client.renew_concurrency_lease(lease, LEASE_SECONDS)
    except httpx.HTTPStatusError as error:
        if error.response.status_code == httpx.codes.GONE:
            return False
        raise ConcurrencySlotAcquisitionError from error
    except httpx.TransportError as error:
        raise ConcurrencySlotAcquisitionError from error
    return True


@asynccontextmanager
async def _inherited(lease: UUID) -> AsyncIterator[None]:
    # As `concurrency` does it, which can't be given a lease: what a cancel cuts off, the task's own end makes good.
    if context := ConcurrencyContext.get():
        context.cleanup_lease_ids.append(lease)
    async with amaintain_concurrency_lease(lease, LEASE_SECONDS):
        try:
            yield
        finally:
            async with get_client() as client:
                await client.release_concurrency_slots_with_lease(lease)


@asynccontextmanager
async def _given_back_in_time(slot: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
    await slot.__aenter__()
    try:
        yield
    finally:
        try:
            # Nor must a server that is away when its clip is rendered: the slot is free when the lease ends, and
            # Prefect's client would ask on for more than a minute.
            async with asyncio.timeout(GIVE_BACK_SECONDS):
                await slot.__aexit__(None, None, None)
        except (httpx.HTTPError, TimeoutError) as error:
            why = error or f"no answer within {GIVE_BACK_SECONDS:g} s"
            logger.warning("a slot of the limit %r can't be given back now: %s", LIMIT, why)


def _why_none(error: ConcurrencySlotAcquisitionError) -> AdreelError:
    if error.__cause__ is not None:
        return NoFreeSlot(f"Prefect's server can't be asked for a slot of the limit {LIMIT!r}: {error.__cause__}")
    return AccountError(f"no slot of the limit {LIMIT!r}: {error}. Create it: prefect gcl create {LIMIT} --limit 4")


def _lease() -> UUID | None:
    # `concurrency` tells its lease to nobody else: this is where Prefect keeps it for the task's own end.
    context = ConcurrencyContext.get()
    return context.cleanup_lease_ids[-1] if context and context.cleanup_lease_ids else None

"""The limit `runware`: how many scenes are in flight at the provider at once, over all runs of a Prefect server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from uuid import UUID

import httpx
from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency
from prefect.concurrency.context import ConcurrencyContext
from prefect.exceptions import ObjectAlreadyExists
from prefect.logging import get_logger
from prefect.runtime import flow_run

from adreel.errors import AccountError, AdreelError, NoFreeSlot
from tasks.last_will import bequeathed

LIMIT = "runware"
LEASE_SECONDS = 60
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
async def runware_slot(waits: Callable[[str], None] = lambda _what: None) -> AsyncIterator[None]:
    """Hold one slot of the limit; `waits` is told if there is none at once.

    A missing limit is an error, since Prefect takes it for "no limit".
    """
    async with AsyncExitStack() as stack:
        try:
            with _telling(waits):
                await stack.enter_async_context(_leased())
        except ConcurrencySlotAcquisitionError as error:
            raise _why_none(error) from error
        except TimeoutError:
            raise NoFreeSlot(f"no slot of the limit {LIMIT!r} was free for {WAIT_SECONDS / 3600:g} h") from None
        stack.enter_context(bequeathed(flow_run.id, _lease()))
        yield


@contextmanager
def _telling(waits: Callable[[str], None]) -> Iterator[None]:
    telling = asyncio.get_running_loop().call_later(TELL_SECONDS, waits, f"a slot of {LIMIT!r}")
    try:
        yield
    finally:
        telling.cancel()


@asynccontextmanager
async def _leased() -> AsyncIterator[None]:
    slot = concurrency(
        LIMIT,
        strict=True,
        timeout_seconds=WAIT_SECONDS,
        lease_duration=LEASE_SECONDS,
        # A lost renewal must not end a scene that is being paid for.
        raise_on_lease_renewal_failure=False,
    )
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

"""The limit `runware`: how many scenes are in flight at the provider at once, over all runs of a Prefect server."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from prefect.client.base import ServerType
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency
from prefect.exceptions import ObjectAlreadyExists

from adreel.errors import AccountError, NoFreeSlot

LIMIT = "runware"
LEASE_SECONDS = 60
WAIT_SECONDS = 6 * 3600


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


@asynccontextmanager
async def runware_slot() -> AsyncIterator[None]:
    """Hold one slot of the limit; a missing limit is an error, since Prefect takes it for "no limit"."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(
                concurrency(
                    LIMIT,
                    strict=True,
                    timeout_seconds=WAIT_SECONDS,
                    lease_duration=LEASE_SECONDS,
                    # A lost renewal must not end a scene that is being paid for.
                    raise_on_lease_renewal_failure=False,
                )
            )
        except ConcurrencySlotAcquisitionError as error:
            raise AccountError(
                f"no slot of the limit {LIMIT!r}: {error}. Create it: prefect gcl create {LIMIT} --limit 4"
            ) from error
        except TimeoutError:
            raise NoFreeSlot(f"no slot of the limit {LIMIT!r} was free for {WAIT_SECONDS / 3600:g} h") from None
        yield

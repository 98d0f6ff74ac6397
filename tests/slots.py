"""The limit `runware` on the server of the tests."""

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate


def free_slots() -> None:
    """Free the slots of runs that were killed: the server of the tests has no service that would do it."""
    with get_client(sync_client=True) as client:
        reset_limit(client)


def reset_limit(client: SyncPrefectClient) -> None:
    """Give the limit its four slots, all free."""
    client.upsert_global_concurrency_limit_by_name("runware", 4)
    client.update_global_concurrency_limit("runware", GlobalConcurrencyLimitUpdate(active_slots=0))

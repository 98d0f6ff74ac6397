"""A Prefect server or a worker that goes away in the middle of a job costs no scene."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Failed

from adreel.emulator import LocalRunware
from adreel.errors import NoFreeSlot, SceneRefused
from adreel.models.api import State
from adreel.records import Records
from adreel.records.views import session_view
from adreel.storage import Storage
from adreel.tasks import slots
from adreel.tasks.generate_scene import generate_scene
from adreel.tasks.retries import should_retry
from adreel.tasks.slots import ensure_limit, runware_slot
from tests.factories import make_session
from tests.impostors import impostor

GENERATE = "from adreel.flows.generate_ad import generate_ad; generate_ad('ad')"
ASK = """
import asyncio
from adreel.errors import NoFreeSlot
from adreel.tasks.slots import runware_slot

async def ask():
    async with runware_slot():
        pass

try:
    asyncio.run(ask())
except NoFreeSlot as error:
    print(error.retryable, error)
"""


@contextmanager
def server_away() -> Iterator[str]:
    with socket.socket() as taken:
        # Bound, but not listening: every connection is refused.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            yield url


def test_a_server_that_can_not_be_asked_for_a_slot_is_asked_again_later() -> None:
    with server_away() as url:
        asked = subprocess.run(
            [sys.executable, "-c", ASK],
            env={**os.environ, "PREFECT_API_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
    assert asked.stdout.startswith("True Prefect's server did not grant or refuse a slot"), asked.stderr


@pytest.mark.usefixtures("prefect")
async def test_a_slot_that_can_not_be_given_back_does_not_fail_its_scene() -> None:
    ensure_limit(4)
    held = AsyncExitStack()
    await held.enter_async_context(runware_slot())
    with server_away():
        await held.aclose()


@pytest.mark.usefixtures("prefect")
async def test_slots_that_could_not_be_given_back_are_once_the_server_is_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ensure_limit(4)
    away = True
    monkeypatch.setattr(slots, "RETRY_SECONDS", 0.1)

    def client_of_a_restarting_server() -> PrefectClient:
        if away:
            raise httpx.ConnectError("nobody listens")
        return get_client()

    async def taken() -> int:
        async with get_client() as client:
            return (await client.read_global_concurrency_limit_by_name("runware")).active_slots

    async with runware_slot(), runware_slot():
        monkeypatch.setattr(slots, "get_client", client_of_a_restarting_server)
    assert await taken() == 2
    away = False
    returning = slots._pools[asyncio.get_running_loop()][1]._releasing
    assert returning
    await asyncio.wait_for(returning, 60)
    assert await taken() == 0


@pytest.mark.usefixtures("prefect")
async def test_the_slot_of_a_killed_run_is_taken_over_and_once_given_back_is_gone() -> None:
    async with get_client() as client:
        answer = await client.increment_concurrency_slots_with_lease(
            names=["runware"], slots=1, mode="concurrency", lease_duration=60
        )
        lease = UUID(answer.json()["lease_id"])

        async def taken() -> int:
            return (await client.read_global_concurrency_limit_by_name("runware")).active_slots

        async with runware_slot(lease) as held:
            assert (held, await taken()) == (lease, 1)
        assert await taken() == 0
        async with runware_slot(lease) as another:
            assert (another != lease, await taken()) == (True, 1)


@pytest.mark.usefixtures("prefect")
async def test_a_server_that_is_silent_does_not_hold_a_rendered_scene_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # Prefect's client asks on for more than a minute, and the clip waited for it.
    monkeypatch.setattr(slots, "RELEASE_TIMEOUT", 0.1)
    held = AsyncExitStack()
    await held.enter_async_context(runware_slot())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            async with asyncio.timeout(60):
                await held.aclose()


@pytest.mark.usefixtures("prefect")
async def test_a_slot_that_is_granted_to_a_scene_that_is_being_cancelled_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ensure_limit(4)
    granted, ask = asyncio.Event(), slots._request_slots

    async def answered_late(size: int) -> UUID | None:
        lease = await ask(size)
        granted.set()
        await asyncio.sleep(0.1)
        return lease

    async def scene() -> None:
        async with runware_slot():
            pass

    monkeypatch.setattr(slots, "_request_slots", answered_late)
    asking = asyncio.create_task(scene())
    async with asyncio.timeout(60):
        await granted.wait()
        asking.cancel()
        await asyncio.wait({asking})
    assert asking.cancelled()
    async with get_client() as client:
        assert (await client.read_global_concurrency_limit_by_name("runware")).active_slots == 0


@pytest.mark.usefixtures("prefect")
async def test_slots_are_leased_in_blocks_as_large_as_there_is_room_for() -> None:
    ensure_limit(4)
    end, begun = asyncio.Event(), [asyncio.Event() for _ in range(6)]

    async def scene(number: int) -> None:
        async with runware_slot(block=32):
            begun[number].set()
            await end.wait()

    async with get_client() as client, asyncio.timeout(60), asyncio.TaskGroup() as scenes:
        for number in range(6):
            scenes.create_task(scene(number))
        await asyncio.gather(*(each.wait() for each in begun[:4]))
        assert (await client.read_global_concurrency_limit_by_name("runware")).active_slots == 4
        # Two wait here for the slots of the others, which never leave this process.
        end.set()
    async with get_client() as client:
        assert all(each.is_set() for each in begun)
        assert (await client.read_global_concurrency_limit_by_name("runware")).active_slots == 0


@pytest.fixture
async def revoked(monkeypatch: pytest.MonkeyPatch) -> Callable[[UUID | None], Awaitable[None]]:
    """Shorten the renewal of leases, and revoke a lease as a forgetful server does."""
    ensure_limit(4)
    monkeypatch.setattr(slots, "RENEW_SECONDS", 0.05)

    async def revoke(lease: UUID | None) -> None:
        assert lease
        async with get_client() as client:
            await client.release_concurrency_slots_with_lease(lease)

    return revoke


async def active_slots() -> int:
    async with get_client() as client:
        return (await client.read_global_concurrency_limit_by_name("runware")).active_slots


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("block", [1, 32])
async def test_a_lease_that_the_server_has_forgotten_is_replaced(
    revoked: Callable[[UUID | None], Awaitable[None]], block: int
) -> None:
    async with runware_slot(block=block) as lease:
        await revoked(lease)
        async with asyncio.timeout(60):
            while await active_slots() != 1:  # noqa: ASYNC110 - the server wakes nobody
                await asyncio.sleep(0.05)
        assert lease not in slots._pools[asyncio.get_running_loop()][block]._leases
    assert await active_slots() == 0


@pytest.mark.usefixtures("prefect")
async def test_without_other_slots_a_scene_goes_on_and_its_lost_lease_is_told_of_once(
    revoked: Callable[[UUID | None], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(slots.logger, "warning", lambda text, *values: told.append(text % values))
    async with runware_slot() as lease:
        # After the revocation all four slots are taken by others.
        async with get_client() as client:
            await client.update_global_concurrency_limit("runware", GlobalConcurrencyLimitUpdate(active_slots=5))
        await revoked(lease)
        async with asyncio.timeout(60):
            while not told:  # noqa: ASYNC110 - a log record sets no event
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
    [once] = told
    assert "go on without" in once
    assert await active_slots() == 4


def test_a_job_begins_without_a_server_that_could_make_the_limit() -> None:
    with server_away():
        ensure_limit(4)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError("refused"), True),
        (NoFreeSlot("none"), True),
        (SceneRefused("no"), False),
        (ValueError("?"), False),
    ],
)
def test_what_may_pass_is_tried_again(error: Exception, expected: bool) -> None:
    assert should_retry(generate_scene, None, Failed(data=error)) is expected  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_whose_worker_has_died_goes_on_unheard(prefect: str, runware: LocalRunware) -> None:
    records = Records(Storage("./outputs"))
    records.save_session(make_session(seconds=1))
    reading, writing = os.pipe()
    run = subprocess.Popen([sys.executable, "-c", GENERATE], stdout=writing, stderr=writing)
    os.close(writing)
    # As the worker's end: read until the first scene is under way, and then no more.
    with os.fdopen(reading) as output:
        assert any("%" in line for line in output)
    run.wait(120)
    assert session_view(records, "ad").state == State.COMPLETED
    assert len(runware.ledger.entries) == 4


@pytest.mark.parametrize("kind", ["a web page", "another service", "half a document", "null", "other credentials"])
async def test_something_else_that_answers_is_asked_again_for_a_slot(kind: str) -> None:
    with impostor(kind), pytest.raises(NoFreeSlot, match="did not grant or refuse a slot") as raised:
        async with runware_slot():
            pass
    assert raised.value.retryable


@pytest.mark.parametrize("kind", ["a web page", "another service", "half a document"])
async def test_a_slot_is_given_back_later_if_something_else_answers(
    prefect: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    ensure_limit(4)
    async with AsyncExitStack() as slot:
        assert await slot.enter_async_context(runware_slot())
        with impostor(kind):
            await slot.aclose()
    assert [record for record in caplog.records if "can't release a slot" in record.message]

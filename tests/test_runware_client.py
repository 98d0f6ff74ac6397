"""The client against the emulator, over the unmodified SDK: each of the SDK's known defects has an answer."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from adreel.emulator import LocalRunware
from adreel.emulator.replies import error
from adreel.errors import (
    BadKey,
    NoCredits,
    ProviderBusy,
    ProviderUnreachable,
    RenderFailed,
    SceneRefused,
)
from adreel.models.takes import ClipRequest
from adreel.runware import Rendered, RunwareClient, Timing
from adreel.runware.connection import inference

REQUEST = ClipRequest(model="bytedance:2@2", prompt="Hook scene of a test.", duration=1, width=128, height=72)
FAST = Timing(
    connect=1,
    submit=10,
    acknowledge=2,
    doubt=0.2,
    look=0.2,
    silence=1,
    poll_least=0.05,
    poll_most=0.1,
    back_off_most=0.3,
)


@asynccontextmanager
async def studio(
    *faults: str, timing: Timing = FAST, key: str = "key", **settings: object
) -> AsyncIterator[tuple[LocalRunware, RunwareClient]]:
    options: dict[str, object] = {"render_seconds": 0.2, "faults": faults, **settings}
    async with LocalRunware(**options) as server:  # type: ignore[arg-type]
        client = RunwareClient(server.url, key, timing)
        try:
            yield server, client
        finally:
            await client.close()


async def buy(client: RunwareClient, uuid: UUID | None = None, request: ClipRequest = REQUEST) -> Rendered:
    uuid = uuid or uuid4()
    async with asyncio.timeout(30):
        await client.submit(uuid, request)
        return await client.wait(uuid)


async def test_a_clip_is_submitted_and_followed_to_its_url_cost_and_seed() -> None:
    async with studio() as (server, client):
        rendered = await buy(client)
        [entry] = server.ledger.entries
        assert (str(rendered.uuid), rendered.cost) == (entry.uuid, entry.billed)
        assert rendered.url.endswith(".mp4")
        assert rendered.seed is not None


async def test_the_balance_of_the_account_is_read_and_nothing_else_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with studio(price=0.5, credits=3) as (_, client):
        assert await client.balance() == 3
        await buy(client)
        assert await client.balance() == 2.5
    assert "ada@example.com" not in caplog.text


async def test_a_key_that_may_not_read_the_account_renders_all_the_same() -> None:
    async with studio(render_seconds=1) as (server, client):
        server._handler._account = lambda task: error("forbidden", "Not with this key.", uuid=task["taskUUID"])  # type: ignore[method-assign]
        rendering = asyncio.create_task(buy(client))
        await asyncio.sleep(0.1)
        with pytest.raises(BadKey, match="forbidden"):
            await client.balance()
        await rendering
        assert server.ledger.counters.connections == 1


async def test_forty_tasks_share_one_socket_and_one_poll_message_a_tick() -> None:
    async with studio(render_seconds=1.0) as (server, client):
        await asyncio.gather(*(buy(client) for _ in range(40)))
        assert server.ledger.counters.connections == 1
        assert len(server.ledger.entries) == 40
        assert server.ledger.counters.polls < 40


async def test_a_bad_key_is_told_at_once_and_by_name() -> None:
    async with studio(keys=frozenset({"good"}), key="bad") as (server, client):
        with pytest.raises(BadKey, match="RUNWARE_API_KEY"):
            await client.submit(uuid4(), REQUEST)
        assert server.ledger.counters.connections == 1
        assert not server.ledger.submits


async def test_a_connection_that_was_begun_ahead_is_the_one_that_is_used() -> None:
    async with studio() as (server, client):
        client.connect_ahead()
        client.connect_ahead()
        await asyncio.gather(buy(client), buy(client))
        assert server.ledger.counters.connections == 1


async def test_what_kept_it_from_connecting_ahead_is_told_to_the_next_who_connects() -> None:
    async with studio(keys=frozenset({"good"}), key="bad") as (server, client):
        client.connect_ahead()
        with pytest.raises(BadKey):
            await client.connect()
        assert server.ledger.counters.connections == 1


async def test_a_connection_that_was_begun_ahead_for_nobody_is_ended() -> None:
    async with studio(keys=frozenset({"good"}), key="bad") as (_, client):
        client.connect_ahead()
        await asyncio.sleep(0)
        await client.close()
        assert "runware-connect" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_pong_that_belongs_to_another_question_does_not_say_that_a_task_is_unknown() -> None:
    async with studio("pollMalformedReply:hookx2") as (_, client):
        bought, unknown = uuid4(), uuid4()
        await client.submit(bought, REQUEST)
        found, nothing = await asyncio.gather(client.look_up(bought), client.look_up(unknown))
        assert (found and found.uuid, nothing) == (bought, None)


async def test_a_connection_that_does_not_answer_a_question_is_given_up() -> None:
    async with studio("pollMalformedReply:hookx3") as (server, client):
        bought = uuid4()
        await client.submit(bought, REQUEST)
        with pytest.raises(ProviderUnreachable, match=str(bought)):
            await client.look_up(bought)
        assert await client.look_up(uuid4()) is None
        assert await client.look_up(bought)
        assert server.ledger.counters.connections == 3


async def test_a_question_that_is_open_when_the_client_is_closed_is_told_so() -> None:
    async with studio("pollSilentx*") as (_, client):
        asking = asyncio.create_task(client.look_up(uuid4()))
        await asyncio.sleep(0.05)
        await client.close()
        with pytest.raises(ProviderUnreachable, match="closed"):
            await asking


async def test_a_dead_host_is_told_within_the_time_limit() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = RunwareClient(f"ws://127.0.0.1:{unused.getsockname()[1]}/v1", "key", replace(FAST, submit=0.5))
        with pytest.raises(ProviderUnreachable, match="can't connect"):
            await client.submit(uuid4(), REQUEST)
        await client.close()


async def test_a_host_that_accepts_and_says_nothing_is_given_up_within_the_time_limit() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    hung_up = asyncio.Event()
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = RunwareClient(f"ws://127.0.0.1:{port}/v1", "key", replace(FAST, connect=0.3, submit=1))
        with pytest.raises(ProviderUnreachable, match="did not answer within"):
            await client.submit(uuid4(), REQUEST)
        await client.close()
        await asyncio.wait_for(hung_up.wait(), 5)


@pytest.mark.parametrize(
    "fault",
    [
        "refuseConnection",
        "closeClean",
        "closeTorn",
        "lostAuthentication",
        "rateLimited",
        "rateLimitedAnonymous",
        "serverError",
        "serviceUnavailable",
        "dropReplyReset",
        "dropReplyClean",
        "dropReplySilent",
        "halfReply",
        "malformedReply",
        "emptyAcceptance",
        "conflict",
    ],
)
async def test_a_passing_fault_of_a_submit_is_overcome_with_one_billed_task(fault: str) -> None:
    async with studio(fault) as (server, client):
        uuid = uuid4()
        assert (await buy(client, uuid)).uuid == uuid
        assert server.struck == [fault]
        assert [entry.uuid for entry in server.ledger.entries] == [str(uuid)]


@pytest.mark.parametrize(
    "fault",
    [
        "unknownTask",
        "statusBack",
        "unknownStatus",
        "progressOutOfRange",
        "resultsDoubled",
        "foreignResults",
        "extraFields",
        "successWithoutUrl",
        "resultsShuffled",
        "errorWithoutTaskUUID",
        "pollLostAuthentication",
        "badGatewayx3",
        "pollHalfReply",
        "pollMalformedReply",
        "pollCloseClean",
        "pollCloseTorn",
        "pollSilent",
    ],
)
async def test_a_passing_fault_of_a_poll_does_not_lose_the_clip(fault: str) -> None:
    async with studio(fault) as (server, client):
        first, second = uuid4(), uuid4()
        results = await asyncio.gather(buy(client, first), buy(client, second))
        assert [result.uuid for result in results] == [first, second]
        assert server.struck
        assert len(server.ledger.entries) == 2


@pytest.mark.parametrize("clean", [True, False], ids=["closed with 1000", "torn"])
async def test_a_connection_lost_while_rendering_is_opened_again(clean: bool) -> None:
    async with studio(render_seconds=1.0) as (server, client):
        uuid = uuid4()
        await client.submit(uuid, REQUEST)
        waiting = asyncio.create_task(client.wait(uuid))
        await asyncio.sleep(0.1)
        server.drop_connections(clean=clean)
        async with asyncio.timeout(20):
            assert (await waiting).uuid == uuid
        assert server.ledger.counters.connections == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("insufficientCredits", NoCredits),
        ("invalidModel", SceneRefused),
        ("invalidParameter", SceneRefused),
        ("rateLimitedx*", ProviderBusy),
    ],
)
async def test_a_refused_submit_raises_what_it_was_refused_for(fault: str, error: type[Exception]) -> None:
    async with studio(fault, timing=replace(FAST, submit=1)) as (server, client):
        with pytest.raises(error):
            await client.submit(uuid4(), REQUEST)
        assert not server.ledger.entries


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("failedTopLevel", RenderFailed),
        ("failedInData", RenderFailed),
        ("failedHttp400", RenderFailed),
        ("providerTimeout", RenderFailed),
        ("contentPolicy", SceneRefused),
    ],
)
async def test_a_failed_render_is_told_in_either_shape(fault: str, error: type[Exception]) -> None:
    async with studio(fault) as (_, client):
        with pytest.raises(error):
            await buy(client)


async def test_a_refusal_names_the_parameter_and_what_is_allowed() -> None:
    async with studio() as (_, client):
        request = REQUEST.model_copy(update={"model": "klingai:6@1", "width": 1280, "height": 720, "duration": 7.0})
        with pytest.raises(SceneRefused, match=r"parameter duration.*allowed: 5, 10"):
            await client.submit(uuid4(), request)


async def test_the_loggers_of_asyncio_and_websockets_stay_as_they_were() -> None:
    loggers = [logging.getLogger(name) for name in ("asyncio", "websockets")]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    async with studio() as (_, client):
        await buy(client)
        assert [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers] == before


async def test_nothing_is_left_running_after_close() -> None:
    async with studio() as (_, client):
        await buy(client)
        await client.close()
        await asyncio.sleep(0.1)
        left = {task.get_name() for task in asyncio.all_tasks()}
        assert not {name for name in left if name.startswith(("runware-poll", "Task_"))}


def test_frames_and_references_are_sent_as_inputs() -> None:
    request = REQUEST.model_copy(update={"first_frame": "a.png", "last_frame": "b.png", "references": ["c.png"]})
    images = {
        "a.png": "data:image/png;base64,AAAA",
        "b.png": "https://images.example/b.png",
        "c.png": "https://images.example/c.png",
    }
    task = inference(uuid4(), request, images)
    assert task["inputs"] == {
        "frameImages": [
            {"image": "data:image/png;base64,AAAA", "frame": "first"},
            {"image": "https://images.example/b.png", "frame": "last"},
        ],
        "referenceImages": ["https://images.example/c.png"],
    }


async def test_a_first_frame_reaches_runware() -> None:
    image = "https://images.example/frame.png"
    async with studio() as (server, client):
        await client.submit(uuid4(), REQUEST.model_copy(update={"first_frame": image}), {image: image})
        [entry] = server.ledger.entries
        assert entry.request["inputs"] == {"frameImages": [{"image": image, "frame": "first"}]}


def test_the_back_off_stays_bounded_after_hours_without_an_answer() -> None:
    assert 0 < RunwareClient("ws://127.0.0.1:9/v1", "key", FAST)._back_off(100_000) <= FAST.back_off_most

"""Malicious replies: the clip is stored, the record stays readable, and the polls are bounded."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from websockets.utils import accept_key

from adreel.emulator import LocalRunware
from adreel.errors import AdreelError, ProviderUnreachable, RenderFailed
from adreel.models.scenarios import Scenario
from adreel.purchase.jobs import record_failure
from adreel.runware import RunwareClient, sdk
from adreel.text import is_clean
from tests.middleman import Message, middleman
from tests.studio import studio
from tests.test_runware_client import FAST, REQUEST

HUGE = 300_000
EVIL = "\0\ud800\x1b]0;owned\x07\u202e"


def about(message: Message, uuid: UUID) -> list[dict[str, Any]]:
    """Return the items about a task that ran to its end."""
    return [item for item in message.get("data", []) if item.get("taskUUID") == str(uuid) and item.get("videoURL")]


def too_large(uuid: UUID) -> Callable[[Message], Message]:
    """Return a poison that makes the answers about a task too large to read."""

    def poison(message: Message) -> Message:
        for item in about(message, uuid):
            item["extra"] = "x" * HUGE
        return message

    return poison


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "MAX_MESSAGE_BYTES", HUGE)


async def test_a_clip_beside_evil_words_is_stored_and_its_record_read_back() -> None:
    def poison(message: Message) -> Message:
        for item in message.get("data", []):
            item.update(seed=10**30, status=item.get("status", EVIL), note=EVIL)
        return message

    async with studio() as it, middleman(it.server.url, poison) as between:
        it.settings = it.settings.model_copy(update={"runware_url": between.url})
        take = await it.produce()
        assert take.is_stored
        assert it.take() == take


@pytest.mark.parametrize("where", ["data", "errors"])
async def test_a_failure_in_evil_words_is_recorded_in_clean_and_short_ones(where: str) -> None:
    words = {"code": "taskFailed", "message": f"it {EVIL} broke " + "x" * 900_000}

    def poison(message: Message) -> Message:
        for item in [item for item in message.get("data", []) if item.get("videoURL")]:
            failed = {"taskUUID": item["taskUUID"], "status": "error"}
            message = {"data": [{**failed, "error": words}]} if where == "data" else {"errors": [{**failed, **words}]}
        return message

    async with studio(ADREEL_ATTEMPTS=1) as it, middleman(it.server.url, poison) as between:
        it.settings = it.settings.model_copy(update={"runware_url": between.url})
        job = it.start(Scenario.HOOK)
        with pytest.raises(AdreelError) as caught:
            await it.produce(job=job)
        record_failure(it.records, job, Scenario.HOOK, caught.value)
        problem = it.take().problem
        assert problem
        assert "broke" in problem.message
        assert len(problem.message) < 1500
        assert is_clean(problem.message)


@pytest.mark.usefixtures("small_messages")
async def test_a_reply_that_is_too_large_delays_no_other_clip() -> None:
    poisoned = uuid4()
    async with LocalRunware(render_seconds=0.2) as server, middleman(server.url, too_large(poisoned)) as between:
        client = RunwareClient(between.url, "key", FAST)
        others = [uuid4() for _ in range(9)]
        try:
            for uuid in [*others[:5], poisoned, *others[5:]]:
                await client.submit(uuid, REQUEST)
            async with asyncio.timeout(30):
                *clips, failure = await asyncio.gather(
                    *map(client.wait, others), client.wait(poisoned), return_exceptions=True
                )
            assert [getattr(clip, "uuid", clip) for clip in clips] == others
            assert isinstance(failure, ProviderUnreachable)
            assert str(poisoned) in str(failure)
            assert "too large" in str(failure)
            # The polls were halved until the task was found, so the connections are few.
            assert between.connections <= 10
            assert len(server.ledger.entries) == 10
        finally:
            await client.close()


@pytest.mark.usefixtures("small_messages")
async def test_a_look_up_with_one_answer_that_is_too_large_finds_the_others() -> None:
    poisoned = uuid4()
    async with LocalRunware(render_seconds=0.05) as server, middleman(server.url, too_large(poisoned)) as between:
        client = RunwareClient(between.url, "key", FAST)
        uuids = [uuid4(), poisoned, uuid4(), uuid4()]
        try:
            for uuid in uuids:
                await client.submit(uuid, REQUEST)
            await asyncio.sleep(0.2)
            async with asyncio.timeout(30):
                found = await asyncio.gather(*map(client.look_up, uuids), return_exceptions=True)
            assert isinstance(found.pop(1), ProviderUnreachable)
            assert all(found)
            assert not any(isinstance(answer, Exception) for answer in found)
        finally:
            await client.close()


@pytest.mark.parametrize(
    "poison",
    [
        lambda message: json.dumps(message)[:-1] + ', "big": ' + "9" * 5000 + "}",
        lambda message: {**message, "data": [None, 7, ["x"], *message.get("data", [])]},
        lambda message: {**message, "errors": ["x", None]},
        lambda message: {**message, "data": [{"taskUUID": ["x"]}, {"taskUUID": {}}, *message.get("data", [])]},
    ],
    ids=["a number of 5000 digits", "items that are none", "errors that are none", "task ids that are none"],
)
async def test_a_reply_that_the_sdk_stumbles_over_is_read_all_the_same(poison: Any) -> None:
    def after_authentication(message: Message) -> Any:
        return poison(message) if "connectionSessionUUID" not in message["data"][0] else message

    async with LocalRunware(render_seconds=0.2) as server, middleman(server.url, after_authentication) as between:
        client = RunwareClient(between.url, "key", replace(FAST, silence=30))
        uuid = uuid4()
        try:
            async with asyncio.timeout(5):
                await client.submit(uuid, REQUEST)
                assert (await client.wait(uuid)).uuid == uuid
        finally:
            await client.close()


async def test_a_reply_nested_a_million_times_ends_nothing() -> None:
    struck = 0

    def poison(message: Message) -> Message | str:
        nonlocal struck
        struck += 1
        return "[" * 1_000_000 if struck == 4 else message

    async with LocalRunware(render_seconds=0.5) as server, middleman(server.url, poison) as between:
        client = RunwareClient(between.url, "key", FAST)
        uuid = uuid4()
        try:
            async with asyncio.timeout(10):
                await client.submit(uuid, REQUEST)
                assert (await client.wait(uuid)).uuid == uuid
            assert struck > 4
        finally:
            await client.close()


async def test_a_refusal_in_evil_words_is_raised_in_clean_ones() -> None:
    def poison(message: Message) -> Message:
        for item in message.get("errors", []):
            item.update(code="taskFailed", message=EVIL + "no" + "x" * 900_000, parameter=[EVIL])
        return message

    async with LocalRunware(faults=["invalidParameter"]) as server, middleman(server.url, poison) as between:
        client = RunwareClient(between.url, "key", FAST)
        try:
            with pytest.raises(RenderFailed) as caught:
                await client.submit(uuid4(), REQUEST)
            assert is_clean(str(caught.value))
            assert len(str(caught.value)) < 1500
        finally:
            await client.close()


@pytest.mark.usefixtures("small_messages")
async def test_a_message_that_begins_within_the_handshake_is_not_read_without_a_limit() -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        [key] = re.findall(r"Sec-WebSocket-Key: (\S+)", asked, re.IGNORECASE)
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode()
            # The head of a text message of 256 MB.
            + b"\x81\x7f" + (2**28).to_bytes(8, "big")
        )  # fmt: skip
        with suppress(ConnectionError):
            while sent < 2**28:
                writer.write(b"x" * 2**16)
                await writer.drain()
                sent += 2**16
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = RunwareClient(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", "key", FAST)
        with pytest.raises(ProviderUnreachable):
            await client.connect()
        await client.close()
    assert sent < 2**24

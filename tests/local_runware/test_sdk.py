"""The provider's own unmodified SDK works with the emulator."""

import asyncio

import pytest

from adreel.emulator import LocalRunware
from tests.local_runware.client import (
    KEY,
    PATIENCE,
    IVideoInference,
    Runware,
    RunwareAPIError,
    Starting,
    new_uuid,
    ordered_clip,
)


async def connected(server: LocalRunware, key: str = KEY) -> Runware:

    client = Runware(api_key=key, url=server.url)
    await asyncio.wait_for(client.connect(), PATIENCE)
    return client


async def test_sdk_submits_and_gets_the_clip(start: Starting) -> None:

    rest = await start()
    client, uuid = await connected(rest.server), new_uuid()
    request = IVideoInference(
        taskUUID=uuid,
        model="local:card@1",
        positivePrompt="Hook scene",
        duration=1,
        width=128,
        height=72,
        deliveryMethod="async",
        includeCost=True,
    )
    accepted = await asyncio.wait_for(client.videoInference(request), PATIENCE)
    assert accepted.taskUUID == uuid
    await rest.ended({"taskUUID": uuid})
    [video] = await asyncio.wait_for(client.getResponse(uuid), PATIENCE)
    assert (video.taskUUID, video.status, video.cost) == (uuid, "success", 0.05)
    assert (await rest.http.get(video.videoURL)).status_code == 200
    details = await asyncio.wait_for(client.getTaskDetails(uuid), PATIENCE)
    assert details.request[0].positivePrompt == "Hook scene"
    await client.disconnect()


async def test_sdk_learns_of_a_conflict(start: Starting) -> None:

    rest = await start()
    task = await rest.buy()
    client = await connected(rest.server)
    request = IVideoInference(
        taskUUID=task["taskUUID"], model="local:card@1", positivePrompt="Hook", deliveryMethod="async"
    )
    with pytest.raises(RunwareAPIError, match="conflictTaskUUID"):
        await asyncio.wait_for(client.videoInference(request), PATIENCE)
    await client.disconnect()
    [entry] = rest.server.ledger.entries
    assert entry.submits == 2


async def test_sdk_is_refused_what_the_model_does_not_offer(start: Starting) -> None:
    rest = await start()
    client = await connected(rest.server)
    frame = {"image": "https://images.example/lamp.png", "frame": "first"}
    request = IVideoInference(
        taskUUID=new_uuid(),
        model="klingai:kling-video@3-standard",
        positivePrompt="Hook scene",
        width=1280,
        height=720,
        deliveryMethod="async",
        inputs={"frameImages": [frame]},
    )
    with pytest.raises(RunwareAPIError, match="incompatibleParameters"):
        await asyncio.wait_for(client.videoInference(request), PATIENCE)
    request.width = request.height = None
    request.taskUUID = new_uuid()
    await asyncio.wait_for(client.videoInference(request), PATIENCE)
    await client.disconnect()
    assert ordered_clip(rest.server).first == frame["image"]


async def test_sdk_learns_of_a_bad_key(start: Starting) -> None:
    rest = await start(keys=frozenset({"another"}))
    client = await connected(rest.server)
    assert "Invalid API key" in client._invalidAPIkey
    await client.disconnect()

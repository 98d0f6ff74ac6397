"""Faults: each does what its name says, on both transports."""

import hashlib
import io
from typing import Any

import av
import httpx
import pytest
from aiohttp import WSMsgType
from av.stream import Disposition
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidMessage

from adreel.emulator import downloads, replies
from tests.local_runware.client import PATIENCE, Connecting, Rest, Socket, Starting, poll, submit
from tests.local_runware.test_clips import probe

REFUSED = {
    "rateLimited": (429, "rateLimitExceeded"),
    "rateLimitedRetryAfter": (429, "rateLimitExceeded"),
    "rateLimitedAnonymous": (429, "rateLimitExceeded"),
    "serverError": (500, "internalServerError"),
    "serviceUnavailable": (503, "serviceUnavailable"),
    "conflictWithoutTask": (400, "conflictTaskUUID"),
    "insufficientCredits": (402, "insufficientCredits"),
    "invalidModel": (400, "invalidModel"),
    "invalidParameter": (400, "invalidDuration"),
    "lostAuthentication": (401, "unauthorized"),
}
ANONYMOUS = {"rateLimitedAnonymous", "lostAuthentication"}


@pytest.mark.parametrize("name", REFUSED)
async def test_submit_is_refused_and_makes_no_task(start: Starting, name: str) -> None:
    rest, task = await start(faults=[name]), submit()
    response = await rest.post([task])
    [error] = response.json()["errors"]
    assert (response.status_code, error["code"]) == REFUSED[name]
    assert error.get("taskUUID") == (None if name in ANONYMOUS else task["taskUUID"])
    assert response.headers.get("Retry-After") == ("1" if name == "rateLimitedRetryAfter" else None)
    assert rest.server.ledger.entries == []


async def socket_to(rest: Rest, connect: Connecting) -> Socket:
    socket = await connect(rest.server)
    await socket.authenticate()
    return socket


async def test_lost_authentication_asks_for_a_new_one(start: Starting, connect: Connecting) -> None:
    rest = await start(faults=["lostAuthentication"])
    socket, task = await socket_to(rest, connect), submit()
    assert "errors" in await socket.ask([task])
    assert "errors" in await socket.ask([task])
    await socket.authenticate()
    assert "data" in await socket.ask([task])


LOST = {
    "closeClean": (0, WSMsgType.CLOSE),
    "closeTorn": (0, WSMsgType.CLOSED),
    "dropReplyClean": (1, WSMsgType.CLOSE),
    "dropReplyReset": (1, WSMsgType.CLOSED),
}


@pytest.mark.parametrize("name", LOST)
async def test_socket_ends_instead_of_a_reply(start: Starting, connect: Connecting, name: str) -> None:
    accepted, kind = LOST[name]
    rest = await start(faults=[name])
    socket = await socket_to(rest, connect)
    await socket.raw.send_json([submit()])
    assert (await socket.raw.receive(timeout=PATIENCE)).type in (kind, WSMsgType.ERROR)
    assert socket.raw.close_code == (1000 if kind is WSMsgType.CLOSE else 1006)
    assert len(rest.server.ledger.entries) == accepted


@pytest.mark.parametrize("name", [*LOST, "halfReply"])
async def test_rest_connection_ends_instead_of_a_reply(start: Starting, name: str) -> None:
    rest, task = await start(faults=[name]), submit()
    with pytest.raises(httpx.TransportError):
        await rest.post([task])
    accepted = LOST.get(name, (1, None))[0]
    assert (await rest.post([task])).status_code == (400 if accepted else 200)
    assert len(rest.server.ledger.entries) == 1


async def test_silence_keeps_the_socket_open(start: Starting, connect: Connecting) -> None:
    rest = await start(faults=["dropReplySilent"])
    socket = await socket_to(rest, connect)
    await socket.raw.send_json([submit()])
    assert "pong" in (await socket.ask([{"taskType": "ping"}]))["data"][0]
    assert len(rest.server.ledger.entries) == 1


async def test_silence_on_rest_outlasts_the_client(start: Starting) -> None:
    rest = await start(faults=["dropReplySilent"])
    with pytest.raises(httpx.ReadTimeout):
        await rest.http.post(rest.server.rest_url, json=[submit()], headers={"Authorization": "Bearer k"}, timeout=0.3)
    assert len(rest.server.ledger.entries) == 1


async def test_half_a_reply_is_half_of_it(start: Starting, connect: Connecting) -> None:
    rest = await start(faults=["halfReply"])
    socket = await socket_to(rest, connect)
    await socket.raw.send_json([submit()])
    first = await socket.raw.receive(timeout=PATIENCE)
    assert first.type is not WSMsgType.TEXT or not first.data.endswith("}")
    assert len(rest.server.ledger.entries) == 1


@pytest.mark.parametrize(("name", "text"), [("malformedReply", "<<<"), ("emptyAcceptance", '{"data": []}')])
async def test_acceptance_is_hidden(start: Starting, connect: Connecting, name: str, text: str) -> None:
    rest = await start(faults=[f"{name}x2"])
    socket = await socket_to(rest, connect)
    await socket.raw.send_json([submit()])
    assert text in (await socket.raw.receive_str(timeout=PATIENCE))
    assert text in (await rest.post([submit()])).text
    assert len(rest.server.ledger.entries) == 2


async def test_conflict_means_accepted(start: Starting) -> None:
    rest, task = await start(faults=["conflict"]), submit()
    response = await rest.post([task])
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "conflictTaskUUID")
    assert (await rest.ended(task))["status"] == "success"


async def test_connection_is_refused(start: Starting) -> None:
    rest = await start(faults=["refuseConnection"])
    with pytest.raises(InvalidMessage):  # aiohttp's client would try again by itself
        await open_websocket(rest.server.url)
    rest.server.inject("refuseConnection")
    with pytest.raises(httpx.TransportError):
        await rest.post([submit()])
    assert (await rest.post([submit()])).status_code == 200


@pytest.mark.parametrize("name", [*replies.FAILURES])
async def test_render_fails(start: Starting, name: str) -> None:
    rest = await start(faults=[name])
    task = await rest.buy()
    told = await rest.ended(task)
    code = told["error"]["code"] if name == "failedInData" else told["code"]
    assert code == replies.FAILURES[name].code
    assert (told["taskUUID"], told["status"]) == (task["taskUUID"], "error")
    assert (await rest.post(poll(task))).status_code == (400 if name == "failedHttp400" else 200)
    assert rest.server.ledger.entries[0].billed is None


async def first_poll(start: Starting, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    rest = await start(faults=[name], render_seconds=60)
    task = await rest.buy()
    return task, (await rest.post(poll(task))).json()


async def test_poll_leaves_the_task_out(start: Starting) -> None:
    assert (await first_poll(start, "unknownTask"))[1] == {"data": []}


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [("statusBack", "progress", 0), ("unknownStatus", "status", "enchanted"), ("progressOutOfRange", "progress", 250)],
)
async def test_poll_says_something_odd(start: Starting, name: str, field: str, value: object) -> None:
    _, reply = await first_poll(start, name)
    assert reply["data"][0][field] == value


async def test_poll_says_more_than_was_asked(start: Starting) -> None:
    _, doubled = await first_poll(start, "resultsDoubled")
    assert len(doubled["data"]) == 2
    task, foreign = await first_poll(start, "foreignResults")
    assert {item["taskUUID"] for item in foreign["data"]} == {task["taskUUID"], replies.FOREIGN_UUID}
    _, extra = await first_poll(start, "extraFields")
    assert extra["data"][0]["mood"]


async def test_status_goes_back_after_a_success(start: Starting) -> None:
    rest = await start()
    task = await rest.buy()
    await rest.ended(task)
    rest.server.inject("statusBack")
    assert (await rest.post(poll(task))).json()["data"][0]["status"] == "processing"
    assert (await rest.ended(task))["status"] == "success"


async def test_success_has_no_url_once(start: Starting) -> None:
    rest = await start(faults=["successWithoutUrl"])
    task = await rest.buy()
    assert "videoURL" not in await rest.ended(task)
    assert "videoURL" in await rest.ended(task)


async def test_results_come_in_another_order(start: Starting) -> None:
    rest = await start(faults=["resultsShuffled"])
    tasks = [await rest.buy(), await rest.buy(), await rest.buy()]
    shuffled = (await rest.post(poll(*tasks))).json()["data"]
    assert [item["taskUUID"] for item in shuffled] == [task["taskUUID"] for task in reversed(tasks)]


async def test_error_names_no_task(start: Starting) -> None:
    _, reply = await first_poll(start, "errorWithoutTaskUUID")
    assert "taskUUID" not in reply["errors"][0]
    assert "data" not in reply


async def test_gateway_is_bad_on_both_transports(start: Starting, connect: Connecting) -> None:
    rest = await start(faults=["badGatewayx2"])
    task = await rest.buy()
    response = await rest.post(poll(task))
    assert (response.status_code, response.headers["content-type"].split(";")[0]) == (502, "text/html")
    socket = await socket_to(rest, connect)
    assert (await socket.ask(poll(task)))["errors"][0]["code"] == "serviceUnavailable"
    assert "data" in await socket.ask(poll(task))


@pytest.mark.parametrize("name", ["pollCloseClean", "pollCloseTorn", "pollHalfReply"])
async def test_socket_ends_during_a_poll(start: Starting, connect: Connecting, name: str) -> None:
    rest = await start(faults=[name])
    task, socket = await rest.buy(), await socket_to(rest, connect)
    await socket.raw.send_json(poll(task))
    while (await socket.raw.receive(timeout=PATIENCE)).type is WSMsgType.TEXT:
        pass
    assert socket.raw.close_code == (1000 if name == "pollCloseClean" else 1006)


async def test_poll_is_not_answered(start: Starting, connect: Connecting) -> None:
    rest = await start(faults=["pollSilent", "pollMalformedReply@2", "pollLostAuthentication@3"])
    task, socket = await rest.buy(), await socket_to(rest, connect)
    await socket.raw.send_json(poll(task))
    await socket.raw.send_json(poll(task))
    assert "<<<" in await socket.raw.receive_str(timeout=PATIENCE)
    assert (await socket.ask(poll(task)))["errors"][0]["code"] == "unauthorized"


async def test_render_never_ends(start: Starting) -> None:
    rest = await start(faults=["neverEnds"], render_seconds=0)
    task = await rest.buy()
    for _ in range(3):
        assert (await rest.post(poll(task))).json()["data"][0]["status"] == "processing"
    assert rest.server.ledger.report()["in_flight"] == 1


async def clip_url(start: Starting, name: str) -> tuple[Rest, str]:
    rest = await start(faults=[name])
    return rest, (await rest.ended(await rest.buy()))["videoURL"]


@pytest.mark.parametrize(
    ("name", "status", "kind", "body"),
    [
        ("gone404", 404, "text/html", b"not found"),
        ("forbidden403", 403, "text/html", b"forbidden"),
        ("html200", 200, "text/html", downloads.WEB_PAGE),
        ("emptyBody", 200, "video/mp4", b""),
        ("redirectElsewhere", 302, "text/html", b""),
    ],
)
async def test_download_is_no_clip_once(start: Starting, name: str, status: int, kind: str, body: bytes) -> None:
    rest, url = await clip_url(start, name)
    response = await rest.http.get(url)
    assert (response.status_code, response.headers["content-type"], response.content) == (status, kind, body)
    assert probe((await rest.http.get(url)).content).frames == 24


async def test_redirect_leaves_the_host(start: Starting) -> None:
    rest, url = await clip_url(start, "redirectElsewhere")
    assert (await rest.http.get(url)).headers["location"] == downloads.ELSEWHERE


async def test_body_is_short_of_its_length(start: Starting) -> None:
    rest, url = await clip_url(start, "shortBody")
    with pytest.raises(httpx.TransportError):
        await rest.http.get(url)


async def test_short_body_without_length_looks_well(start: Starting) -> None:
    rest, url = await clip_url(start, "shortBodyNoLength")
    short, whole = await rest.http.get(url), await rest.http.get(url)
    assert "content-length" not in short.headers
    assert short.content == whole.content[: len(whole.content) // 2]


async def test_video_is_shorter_than_asked(start: Starting) -> None:
    rest, url = await clip_url(start, "shorterVideo")
    for _ in range(2):
        assert probe((await rest.http.get(url)).content).frames == 12


@pytest.mark.parametrize("name", ["coverArtFirst", "editList", "rotatedVideo", "webmBytes", "undecodableBytes"])
async def test_an_odd_clip_stays_as_it_is_and_is_in_the_ledger(start: Starting, name: str) -> None:
    rest, url = await clip_url(start, f"{name}x1")
    first, second = (await rest.http.get(url)).content, (await rest.http.get(url)).content
    assert first == second
    [entry] = rest.server.ledger.entries
    assert (entry.oddity, entry.sha256) == (name, hashlib.sha256(first).hexdigest())
    assert entry.served == (entry.sha256, entry.sha256)
    assert rest.server.struck == [name]


async def test_a_slightly_shorter_video_is_a_sound_one(start: Starting) -> None:
    rest, url = await clip_url(start, "slightlyShorterVideo")
    assert probe((await rest.http.get(url)).content).frames == 21


async def test_cover_art_and_an_edit_list_leave_the_pictures_alone(start: Starting) -> None:
    for name in ("coverArtFirst", "editList", "rotatedVideo"):
        rest, url = await clip_url(start, name)
        with av.open(io.BytesIO((await rest.http.get(url)).content), "r") as container:
            films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
            covers = len(container.streams.video) - len(films)
            pictures = list(container.decode(films[0]))
        assert (len(pictures), covers) == {"coverArtFirst": (24, 1), "editList": (14, 0)}.get(name, (24, 0))
        assert {picture.rotation for picture in pictures} == ({-90} if name == "rotatedVideo" else {0})


async def test_slow_drip_ends_with_the_whole_clip(start: Starting) -> None:
    rest, url = await clip_url(start, "slowDrip")
    assert (await rest.http.get(url)).content == (await rest.http.get(url)).content
    assert rest.server.struck == ["slowDrip"]

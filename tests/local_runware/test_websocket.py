"""The WebSocket: authentication, sessions, pings, and time-outs of silent sockets."""

from aiohttp import WSMsgType

from tests.local_runware.client import KEY, PATIENCE, Clock, Connecting, Starting, poll, submit


async def test_authentication_opens_a_session(start: Starting, connect: Connecting) -> None:
    rest = await start()
    socket = await connect(rest.server)
    [item] = (await socket.authenticate())["data"]
    assert item["taskType"] == "authentication"
    assert item["connectionSessionUUID"]


async def test_bad_key_is_told_without_a_task(start: Starting, connect: Connecting) -> None:
    rest = await start(keys=frozenset({KEY}))
    socket = await connect(rest.server)
    [error] = (await socket.authenticate(key="another"))["errors"]
    assert (error["code"], error["parameter"], error["taskType"]) == ("invalidApiKey", "apiKey", "authentication")
    assert "taskUUID" not in error
    assert "data" in await socket.authenticate()


async def test_task_before_authentication_is_refused(start: Starting, connect: Connecting) -> None:
    rest = await start()
    socket = await connect(rest.server)
    assert (await socket.ask([submit()]))["errors"][0]["code"] == "unauthorized"
    assert rest.server.ledger.entries == []


async def test_ping_is_answered(start: Starting, connect: Connecting) -> None:
    rest = await start()
    socket = await connect(rest.server)
    await socket.authenticate()
    reply = await socket.ask([{"taskType": "ping", "ping": True}])
    assert reply == {"data": [{"taskType": "ping", "pong": True}]}


async def test_both_transports_share_their_tasks(start: Starting, connect: Connecting) -> None:
    rest = await start()
    socket = await connect(rest.server)
    await socket.authenticate()
    task = submit()
    assert (await socket.ask([task]))["data"][0]["taskUUID"] == task["taskUUID"]
    assert (await rest.post([task])).json()["errors"][0]["code"] == "conflictTaskUUID"
    assert (await rest.ended(task))["status"] == "success"


async def test_silent_socket_is_closed(start: Starting, connect: Connecting) -> None:
    rest = await start(idle_seconds=0.05)
    socket = await connect(rest.server)
    assert (await socket.raw.receive(timeout=PATIENCE)).type is WSMsgType.CLOSE
    assert socket.raw.close_code == 1000


async def test_lost_reply_is_delivered_to_the_next_socket_of_the_session(start: Starting, connect: Connecting) -> None:
    rest = await start(faults=["dropReplyReset"])
    socket = await connect(rest.server)
    session = (await socket.authenticate())["data"][0]["connectionSessionUUID"]
    task = submit()
    await socket.raw.send_json([task])
    assert (await socket.raw.receive(timeout=PATIENCE)).type is not WSMsgType.TEXT
    again = await connect(rest.server)
    assert (await again.authenticate(session))["data"][0]["connectionSessionUUID"] == session
    assert (await again.next())["data"] == [{"taskType": "videoInference", "taskUUID": task["taskUUID"]}]
    assert "pong" in (await again.ask([{"taskType": "ping"}]))["data"][0]


async def test_lost_reply_is_forgotten_after_two_minutes(start: Starting, connect: Connecting) -> None:
    clock = Clock()
    rest = await start(faults=["dropReplyReset"], clock=clock)
    socket = await connect(rest.server)
    session = (await socket.authenticate())["data"][0]["connectionSessionUUID"]
    await socket.raw.send_json([submit()])
    assert (await socket.raw.receive(timeout=PATIENCE)).type is not WSMsgType.TEXT
    clock.now += 121
    again = await connect(rest.server)
    await again.authenticate(session)
    assert "pong" in (await again.ask([{"taskType": "ping"}]))["data"][0]


async def test_open_sockets_can_be_closed_and_torn(start: Starting, connect: Connecting) -> None:
    rest = await start()
    closed = await connect(rest.server)
    await closed.authenticate()
    rest.server.drop_connections(clean=True)
    assert (await closed.raw.receive(timeout=PATIENCE)).data == 1000
    torn = await connect(rest.server)
    await torn.authenticate()
    rest.server.drop_connections(clean=False)
    assert (await torn.raw.receive(timeout=PATIENCE)).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
    assert torn.raw.close_code == 1006
    assert rest.server.ledger.counters.connections == 2


async def test_several_polls_count_as_one_message(start: Starting, connect: Connecting) -> None:
    rest = await start()
    socket = await connect(rest.server)
    await socket.authenticate()
    tasks = [submit(), submit("Cta")]
    await socket.ask(tasks)
    assert len((await socket.ask(poll(*tasks)))["data"]) == 2
    counters = rest.server.ledger.counters
    assert (counters.polls, counters.submits) == (1, 2)

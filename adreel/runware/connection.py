"""One authenticated socket of the Runware SDK.

The SDK's `connect()` has no time limit and reports success after a refused key. Its import and its constructor
silence the loggers of asyncio and websockets. It does not notice a socket that closes cleanly. This module works
around all of these. A lost connection is not repaired; its owner opens another.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, Self
from uuid import UUID

from adreel.errors import AccountError, AdreelError, BadKey, ProviderUnreachable
from adreel.models.takes import PartRequest, VoiceRequest
from adreel.runware.failures import CONFLICT, error_class, error_from
from adreel.runware.replies import Balance, Failure, Reply, Uploaded, has_pong, parse_failure, parse_replies
from adreel.runware.sdk import bounded_sdk
from adreel.text import clean_line

CHECK_SECONDS = 0.2
CLOSE_SECONDS = 3.0
TASK_TYPES = {
    "clip": "videoInference",
    "voice": "audioInference",
    "music": "audioInference",
    "still": "imageInference",
}
OUTPUT_FORMATS = {"clip": "MP4", "voice": "FLAC", "music": "FLAC", "still": "JPG"}
PING = {"taskType": "ping", "ping": True}


class Connection:
    """An open, authenticated socket, for use on the event loop that opened it."""

    def __init__(self, url: str, key: str, on_replies: Callable[[list[Reply]], None]) -> None:
        self.url = url
        self._on_replies = on_replies
        self._refusal: Failure | None = None
        self._submitting = 0
        self._requests: dict[UUID, asyncio.Future[Uploaded | Balance]] = {}
        self._interruption: asyncio.Future[AdreelError] = asyncio.get_running_loop().create_future()
        self.heard_at = asyncio.get_running_loop().time()
        self.polled_at: float | None = None
        self._pings = self._pongs = 0
        with preserve_loggers():
            self._sdk = bounded_sdk(key, url)
        self._sdk.addListener(lis=self._hear, check=lambda _message: True)
        # The SDK sends its heartbeats through the same method, so their pings are counted as well.
        self._send, self._sdk.send = self._sdk.send, self._counted_send

    @classmethod
    async def open(cls, url: str, key: str, on_replies: Callable[[list[Reply]], None], *, limit: float = 15) -> Self:
        """Connect and authenticate within `limit` seconds; raises BadKey or ProviderUnreachable."""
        connection = cls(url, key, on_replies)
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_callback(connection.close)
            try:
                async with asyncio.timeout(limit):
                    await connection._sdk.connect()
            except TimeoutError:
                raise ProviderUnreachable(f"{url} did not answer within {limit:g} s: check RUNWARE_URL") from None
            except Exception as error:
                raise ProviderUnreachable(f"can't connect to {url}: {clean_line(str(error))}") from error
            if refusal := connection._refusal:
                if issubclass(error_class(refusal.code), AccountError):
                    raise error_from(refusal)
                raise BadKey(f"Runware refuses the key: {refusal.message}. Check RUNWARE_API_KEY; nothing was bought")
            if not connection.is_alive:
                raise ProviderUnreachable(f"{url} closed the connection during the authentication")
            on_failure.pop_all()
        return connection

    @property
    def is_alive(self) -> bool:
        """Whether the socket is open and authenticated."""
        return not self._interruption.done() and bool(self._sdk.connected())

    @property
    def has_overflowed(self) -> bool:
        """Whether the connection ended because a message was too large."""
        return bool(self._sdk.has_overflowed)

    @property
    def has_all_pongs(self) -> bool:
        """Whether every ping of this class and the SDK was answered; a pong does not name its ping."""
        return self._pongs >= self._pings

    @property
    def is_submitting(self) -> bool:
        """Whether a submit or an upload awaits its reply."""
        return self._submitting > 0

    async def send(self, tasks: list[dict[str, Any]]) -> None:
        """Send task objects in one message; replies go to `on_replies`.

        On a closed socket it may raise ProviderUnreachable, or lose the message silently.
        """
        try:
            await self._sdk.send(tasks)
        except Exception as error:
            raise ProviderUnreachable(f"can't send to {self.url}: {clean_line(str(error))}") from error

    async def ping(self, tasks: list[dict[str, Any]]) -> None:
        """Send task objects with a ping; its pong arrives even if Runware knows none of the tasks."""
        await self.send([*tasks, PING])

    async def submit(self, uuid: UUID, request: PartRequest, images: Mapping[str, str]) -> None:
        """Submit a task and wait for the acknowledgement; a UUID conflict counts as one.

        `images` are the images of the request as they are sent: a URL, a data URI or the UUID of an upload.

        Raises the error of a refusal. ProviderUnreachable if the connection broke: the task may have been accepted.
        """
        submitting = asyncio.ensure_future(self._sdk.submit_task(inference(uuid, request, images)))
        self._submitting += 1
        try:
            while not submitting.done() and self.is_alive:
                await asyncio.wait({submitting}, timeout=CHECK_SECONDS)
            if not submitting.done():
                if self._interruption.done():
                    raise self._interruption.result()
                raise ProviderUnreachable("the connection to Runware broke during a submit")
            if (error := submitting.exception()) is None:
                return
            details = getattr(error, "error_data", None)
            if not isinstance(details, dict) or not (details.get("code") or details.get("error")):
                raise ProviderUnreachable(f"the submit got no answer: {clean_line(str(error))}") from error
            failure = parse_failure(details)
            if failure.code != CONFLICT:
                raise error_from(failure) from None
        finally:
            self._submitting -= 1
            submitting.cancel()
            # The SDK sometimes turns the cancellation into an error, which is ignored here.
            await asyncio.wait({submitting}, timeout=CLOSE_SECONDS)

    async def upload(self, uuid: UUID, data_uri: str) -> str:
        """Upload an image and return the UUID under which requests name it; raises the error of a refusal."""
        uploaded = await self._request(uuid, {"taskType": "mediaStorage", "operation": "upload", "media": data_uri})
        assert isinstance(uploaded, Uploaded)  # noqa: S101 - the reply to this task type
        return uploaded.media

    async def balance(self, uuid: UUID) -> float:
        """Return the credits of the account in USD; raises the error of a refusal."""
        balance = await self._request(uuid, {"taskType": "accountManagement", "operation": "getDetails"})
        assert isinstance(balance, Balance)  # noqa: S101 - the reply to this task type
        return balance.amount

    async def _request(self, uuid: UUID, task: dict[str, Any]) -> Uploaded | Balance:
        answer: asyncio.Future[Uploaded | Balance] = asyncio.get_running_loop().create_future()
        self._requests[uuid] = answer
        self._submitting += 1
        try:
            await self.send([{**task, "taskUUID": str(uuid)}])
            while not answer.done() and self.is_alive:
                await asyncio.wait({answer}, timeout=CHECK_SECONDS)
            if answer.done():
                return answer.result()
            if self._interruption.done():
                raise self._interruption.result()
            raise ProviderUnreachable(f"the connection to Runware broke during a request of {task['taskType']}")
        finally:
            self._submitting -= 1
            del self._requests[uuid]

    def interrupt(self, error: AdreelError) -> None:
        """Abandon the connection; its pending submits raise `error`."""
        if not self._interruption.done():
            self._interruption.set_result(error)

    async def close(self) -> None:
        """Close the socket and end the SDK's tasks within CLOSE_SECONDS."""
        self.interrupt(ProviderUnreachable("the connection was closed"))
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._sdk.disconnect()

    async def _counted_send(self, tasks: list[dict[str, Any]]) -> None:
        self._pings += PING in tasks
        await self._send(tasks)

    def _hear(self, message: Any) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        self._pongs += has_pong(message)
        others: list[Reply] = []
        for reply in parse_replies(message):
            if isinstance(reply, Failure) and reply.authenticating:
                self._refusal = reply
            request = self._requests.get(reply.uuid) if reply.uuid else None
            if request is None:
                others.append(reply)
            elif isinstance(reply, Uploaded | Balance) and not request.done():
                request.set_result(reply)
            elif isinstance(reply, Failure) and not request.done():
                request.set_exception(error_from(reply))
        self._on_replies(others)


@contextmanager
def preserve_loggers() -> Iterator[None]:
    """Restore the loggers of asyncio and websockets, which the SDK silences for the whole process."""
    loggers = [logging.getLogger(name) for name in ("asyncio", "websockets")]
    before = [(logger, logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    try:
        yield
    finally:
        for logger, level, propagate, handlers in before:
            logger.setLevel(level)
            logger.propagate = propagate
            logger.handlers[:] = handlers


def inference(uuid: UUID, request: PartRequest, images: Mapping[str, str]) -> dict[str, Any]:
    """Return a request as Runware's task object."""
    frames = [
        {"image": images[image], "frame": position}
        for position, image in (("first", request.first_frame), ("last", request.last_frame))
        if image
    ]
    speech = None
    if isinstance(request, VoiceRequest):
        spoken = {"text": request.text, "voice": request.voice, "language": request.language, "speed": request.speed}
        speech = {name: value for name, value in spoken.items() if value is not None}
    media = {"frameImages": frames, "referenceImages": [images[image] for image in request.references or ()]}
    inputs = {name: found for name, found in media.items() if found}
    seconds = request.duration
    task = {
        "taskType": TASK_TYPES[request.kind],
        "taskUUID": str(uuid),
        "model": request.model,
        "positivePrompt": request.prompt or None,
        "speech": speech,
        "negativePrompt": request.negative_prompt,
        "duration": int(seconds) if seconds is not None and seconds.is_integer() else seconds,
        "width": request.width,
        "height": request.height,
        "resolution": request.resolution,
        "seed": request.seed,
        "inputs": inputs or None,
        "deliveryMethod": "async",
        "includeCost": True,
        "numberResults": 1,
        "outputType": "URL",
        "outputFormat": OUTPUT_FORMATS[request.kind],
    }
    return {**request.parameters, **{name: value for name, value in task.items() if value is not None}}

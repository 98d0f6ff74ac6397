"""One authenticated socket of the Runware SDK.

The SDK's `connect()` has no time limit and returns as if well after a refused key, its import and its
constructor silence other people's loggers, and a socket that closes cleanly is not noticed. This module gives
each of these an answer; a connection that is lost is never mended, its owner opens another.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self
from uuid import UUID

from adreel.catalog import takes_old_frames
from adreel.errors import AccountError, AdreelError, BadKey, ProviderUnreachable
from adreel.models.takes import ClipRequest
from adreel.runware.failures import CONFLICT, class_of, error_of
from adreel.runware.replies import Failure, Reply, has_pong, parse_failure, parse_replies
from adreel.runware.sdk import bounded_sdk
from adreel.text import clean_line

CHECK_SECONDS = 0.2
CLOSE_SECONDS = 3.0
PING = {"taskType": "ping", "ping": True}


class Connection:
    """A socket that is open and authenticated; used on the event loop that opened it only."""

    def __init__(self, url: str, key: str, on_replies: Callable[[list[Reply]], None]) -> None:
        self.url = url
        self._on_replies = on_replies
        self._refusal: Failure | None = None
        self._submitting = 0
        self._interruption: asyncio.Future[AdreelError] = asyncio.get_running_loop().create_future()
        self.heard_at = asyncio.get_running_loop().time()
        self._pings = self._pongs = 0
        with loggers_kept():
            self._sdk = bounded_sdk(key, url)
        self._sdk.addListener(lis=self._hear, check=lambda _message: True)
        # The SDK sends its heartbeats by its own `send`: they are counted as well.
        self._send, self._sdk.send = self._sdk.send, self._counted_send

    @classmethod
    async def open(cls, url: str, key: str, on_replies: Callable[[list[Reply]], None], *, limit: float = 15) -> Self:
        """Connect and authenticate within `limit` seconds; raises BadKey or ProviderUnreachable."""
        connection = cls(url, key, on_replies)
        try:
            async with asyncio.timeout(limit):
                await connection._sdk.connect()
        except TimeoutError:
            await connection.close()
            raise ProviderUnreachable(f"{url} did not answer within {limit:g} s: check RUNWARE_URL") from None
        except Exception as error:
            await connection.close()
            raise ProviderUnreachable(f"can't connect to {url}: {clean_line(str(error))}") from error
        except asyncio.CancelledError:
            await connection.close()
            raise
        if connection._refusal or not connection.is_alive:
            await connection.close()
            raise connection._why_refused()
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
        """Whether every ping was answered, ours and the SDK's: a pong does not say whose it is."""
        return self._pongs >= self._pings

    @property
    def is_submitting(self) -> bool:
        """Whether somebody waits for an acknowledgement."""
        return self._submitting > 0

    async def send(self, tasks: list[dict[str, Any]]) -> None:
        """Send task objects in one message; what comes back goes to `on_replies`.

        A socket that is gone swallows them or raises ProviderUnreachable.
        """
        try:
            await self._sdk.send(tasks)
        except Exception as error:
            raise ProviderUnreachable(f"can't send to {self.url}: {clean_line(str(error))}") from error

    async def ping(self, tasks: list[dict[str, Any]]) -> None:
        """Send task objects with a ping: its pong tells that they were answered, even if there is nothing to say."""
        await self.send([*tasks, PING])

    async def submit(self, uuid: UUID, request: ClipRequest, image: str | None) -> None:
        """Submit a video task until Runware acknowledges it; a conflict is an acknowledgement.

        Raises the error of a refusal, or ProviderUnreachable if the connection broke: then it may have arrived.
        """
        submitting = asyncio.ensure_future(self._sdk.videoInference(_inference(uuid, request, image)))
        self._submitting += 1
        try:
            while not submitting.done() and self.is_alive:
                await asyncio.wait({submitting}, timeout=CHECK_SECONDS)
            if not submitting.done():
                raise self._why_interrupted()
            _raise_refusal(submitting)
        finally:
            self._submitting -= 1
            submitting.cancel()
            # The SDK turns its own cancelling into errors at times; what it raises now matters to nobody.
            await asyncio.wait({submitting}, timeout=CLOSE_SECONDS)

    def interrupt(self, error: AdreelError) -> None:
        """Give the connection up: whoever submits on it is told `error` and comes back on a new one."""
        if not self._interruption.done():
            self._interruption.set_result(error)

    async def close(self) -> None:
        """Close the socket and end the SDK's tasks, within a few seconds."""
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
        replies = parse_replies(message)
        for reply in replies:
            if isinstance(reply, Failure) and reply.authenticating:
                self._refusal = reply
        self._on_replies(replies)

    def _why_refused(self) -> AdreelError:
        if self._refusal is None:
            return ProviderUnreachable(f"{self.url} closed the connection during the authentication")
        if issubclass(class_of(self._refusal.code), AccountError):
            return error_of(self._refusal)
        return BadKey(f"Runware refuses the key: {self._refusal.message}. Check RUNWARE_API_KEY; nothing was bought")

    def _why_interrupted(self) -> AdreelError:
        if self._interruption.done():
            return self._interruption.result()
        return ProviderUnreachable("the connection to Runware broke during a submit")


@contextmanager
def loggers_kept() -> Iterator[None]:
    """Put the loggers of asyncio and websockets back as they were: the SDK silences them for the whole process."""
    loggers = [logging.getLogger(name) for name in ("asyncio", "websockets")]
    before = [(logger, logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    try:
        yield
    finally:
        for logger, level, propagate, handlers in before:
            logger.setLevel(level)
            logger.propagate = propagate
            logger.handlers[:] = handlers


def _raise_refusal(submitting: "asyncio.Future[Any]") -> None:
    error = submitting.exception()
    if error is None:
        return
    details = getattr(error, "error_data", None)
    if not isinstance(details, dict) or not (details.get("code") or details.get("error")):
        raise ProviderUnreachable(f"the submit got no answer: {clean_line(str(error))}") from error
    failure = parse_failure(details)
    if failure.code != CONFLICT:
        raise error_of(failure) from None


def _inference(uuid: UUID, request: ClipRequest, image: str | None) -> Any:
    from runware import IFrameImage, IVideoInference  # noqa: PLC0415 - imported first by Connection

    frames: dict[str, Any] = {}
    if image and takes_old_frames(request.model):
        frames["frameImages"] = [IFrameImage(inputImage=image, frame="first")]
    elif image:
        frames["inputs"] = {"frameImages": [{"image": image, "frame": "first"}]}
    return IVideoInference(
        taskUUID=str(uuid),
        model=request.model,
        positivePrompt=request.prompt,
        duration=int(request.duration) if request.duration.is_integer() else request.duration,
        width=request.width,
        height=request.height,
        seed=request.seed,
        deliveryMethod="async",
        includeCost=True,
        numberResults=1,
        outputType="URL",
        outputFormat="MP4",
        **frames,
    )

"""Runware's SDK with a limit on messages, and tolerant of malformed replies."""

import json
from typing import Any

from websockets.exceptions import PayloadTooBig

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Maximum size of a message, twice that of ten thousand results with long addresses."""


def bounded_sdk(key: str, url: str) -> Any:
    """Return an SDK client with bounded messages; `has_overflowed` says whether one was too large."""
    from runware import (  # noqa: PLC0415 - the import changes loggers: see connection.preserve_loggers
        IVideoInference,
        Runware,
    )

    class BoundedRunware(Runware):  # type: ignore[misc] # it is untyped
        """An SDK client with a limit on messages, which drops bad items instead of whole messages."""

        _protocol: Any = None
        _overflowed = False

        async def submit_task(self, task: dict[str, Any]) -> Any:
            """Submit a task object as it is: the SDK's types lack settings that models have."""
            request = IVideoInference(
                model=task["model"], taskUUID=task["taskUUID"], deliveryMethod="async", numberResults=1
            )
            request.task_object = task
            return await self.videoInference(request)

        def _buildVideoRequest(self, requestVideo: Any) -> dict[str, Any]:  # noqa: N802, N803 - names of the SDK
            return dict(requestVideo.task_object)

        @property
        def has_overflowed(self) -> bool:
            is_too_big = self._protocol and isinstance(self._protocol.parser_exc, PayloadTooBig)
            self._overflowed |= bool(is_too_big)
            return self._overflowed

        async def _handle_messages(self) -> None:
            # The SDK starts reading here, before it sends the key.
            self._protocol = self._ws.protocol
            self._protocol.max_message_size = MAX_MESSAGE_BYTES
            if self._protocol.reader.buffer:
                # A message that began with the handshake would escape the limit.
                self._ws.transport.abort()
            await super()._handle_messages()

        async def on_message(self, ws: Any, message: str | bytes) -> None:
            try:
                await super().on_message(ws, message)
            except Exception:
                await super().on_message(ws, json.dumps(_readable(message)))

    return BoundedRunware(api_key=key, url=url)


def _readable(message: str | bytes) -> dict[str, Any]:
    """Return the part of a reply that the SDK can read; ValueError or RecursionError for invalid JSON."""
    # Python refuses to read an integer of more than 4300 digits.
    reply = json.loads(message, parse_int=lambda digits: int(digits) if len(digits) < 100 else float(digits))
    items = {name: reply.get(name) for name in ("data", "errors")} if isinstance(reply, dict) else {}
    return {
        name: [item for item in found if isinstance(item, dict) and isinstance(item.get("taskUUID", ""), str)]
        for name, found in items.items()
        if isinstance(found, list)
    }

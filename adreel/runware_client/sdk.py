"""The SDK with a limit to what it reads, and an answer to replies that it stumbles over."""

import json
from typing import Any

from websockets.exceptions import PayloadTooBig

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Ten thousand results with long addresses in one message are half as much."""


def bounded_sdk(key: str, url: str) -> Any:
    """Return an SDK client whose messages are bounded; `has_overflowed` says whether one was too large."""
    from runware import Runware  # noqa: PLC0415 - the import changes loggers: see connection.loggers_kept

    class BoundedRunware(Runware):  # type: ignore[misc] # it is untyped
        """The SDK sets no limit itself, and drops a whole message for one bad item."""

        _protocol: Any = None
        _overflowed = False

        @property
        def has_overflowed(self) -> bool:
            is_too_big = self._protocol and isinstance(self._protocol.parser_exc, PayloadTooBig)
            self._overflowed |= bool(is_too_big)
            return self._overflowed

        async def _handle_messages(self) -> None:
            # The SDK begins to read here, before it has sent the key.
            self._protocol = self._ws.protocol
            self._protocol.max_message_size = MAX_MESSAGE_BYTES
            if self._protocol.reader.buffer:
                # A message whose beginning came with the handshake would be read without the limit.
                self._ws.transport.abort()
            await super()._handle_messages()

        async def on_message(self, ws: Any, message: str | bytes) -> None:
            try:
                await super().on_message(ws, message)
            except Exception:
                await super().on_message(ws, json.dumps(_readable(message)))

    return BoundedRunware(api_key=key, url=url)


def _readable(message: str | bytes) -> dict[str, Any]:
    """Return the part of a reply that the SDK can read; ValueError or RecursionError if it is no JSON."""
    reply = json.loads(message, parse_int=_number)
    items = {name: reply.get(name) for name in ("data", "errors")} if isinstance(reply, dict) else {}
    return {
        name: [item for item in found if isinstance(item, dict) and isinstance(item.get("taskUUID", ""), str)]
        for name, found in items.items()
        if isinstance(found, list)
    }


def _number(digits: str) -> int | float:
    # Python refuses to read an integer of more than 4300 digits.
    return int(digits) if len(digits) < 100 else float(digits)

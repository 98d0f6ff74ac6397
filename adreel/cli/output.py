"""Standard output and error that survive a full disk, a closed pipe and any encoding.

A purchase must not end because a line about it could not be printed. Every command imports this module, so it imports
only the standard library and `adreel.text`.
"""

import errno
import io
import os
import re
import select
import sys
from typing import TextIO

from adreel.text import CONTROL_CHARACTERS


class DurableFile(io.FileIO):
    """File descriptor whose writes never fail. After the first error it is the null device."""

    error: OSError | None = None

    def write(self, data: object, /) -> int:
        """Write, or discard the data. `error` keeps the first error."""
        try:
            # write() returns None if the descriptor is non-blocking and its reader is slow.
            while (written := super().write(data)) is None:  # type: ignore[arg-type]
                select.select([], [self], [])
        except OSError as error:
            self.error = self.error or error
            # Replacing the descriptor itself also protects child processes and other writers.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes  # type: ignore[arg-type]
        return written


def make_output_durable() -> None:
    """Replace stdout and stderr of this process by streams that never raise."""
    # After `>&-` the next opened file, perhaps a record, would be descriptor 1 and receive the output of children.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _durable(sys.stdout, 1)
    sys.stderr = _durable(sys.stderr, 2)


def output_error() -> str:
    """Return why standard output was lost; empty if it works or if its reader closed the pipe."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, DurableFile) else None
    return error.strerror or str(error) if error and error.errno != errno.EPIPE else ""


def printable(text: str) -> str:
    """Return a text with its control characters escaped, so terminals do not act on them."""

    def escape(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return CONTROL_CHARACTERS.sub(escape, text)


def _durable(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is not None:
        stream.flush()
    # PYTHONUNBUFFERED is set for services, whose logs are read while they run.
    unbuffered = isinstance(stream, io.TextIOWrapper) and stream.write_through
    return io.TextIOWrapper(
        io.BufferedWriter(DurableFile(descriptor, "w", closefd=False)),
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=descriptor == 2 or unbuffered or os.isatty(descriptor),
    )

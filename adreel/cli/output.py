"""Standard output and error of a command: they outlive a full disk, a closed pipe and any encoding.

A purchase must not end because a line about it could not be printed. Imported by every command, so: only the standard
library.
"""

import errno
import io
import os
import re
import select
import sys
from typing import TextIO

# Everything that a terminal may take for a command, and the marks that turn the direction of a text.
CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)


class LastingFile(io.FileIO):
    """A file descriptor that never fails to write: after the first error it is the null device."""

    error: OSError | None = None

    def write(self, data: object, /) -> int:
        """Write, or lose the data silently; `error` keeps the first reason."""
        try:
            # None: somebody made the descriptor non-blocking, and its reader is slow.
            while (written := super().write(data)) is None:  # type: ignore[arg-type]
                select.select([], [self], [])
        except OSError as error:
            self.error = self.error or error
            # The descriptor itself, so that child processes and other writers are not stopped by it either.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes  # type: ignore[arg-type]
        return written


def make_output_last() -> None:
    """Replace stdout and stderr of this process by ones that never raise."""
    _open_standard_files()
    sys.stdout = _lasting(sys.stdout, 1)
    sys.stderr = _lasting(sys.stderr, 2)


def output_error() -> str:
    """Return why standard output was lost; empty if it was not, or if its reader had read enough."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, LastingFile) else None
    return error.strerror or str(error) if error and error.errno != errno.EPIPE else ""


def printable(text: str) -> str:
    """Return a text with its control characters spelled out, so that no terminal obeys them."""
    return CONTROLS.sub(_spelled_out, text)


def _spelled_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _open_standard_files() -> None:
    # After `>&-` the next file that is opened, a record say, would be descriptor 1, and get what children print.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _lasting(stream: TextIO | None, descriptor: int) -> TextIO:
    if stream is not None:
        stream.flush()
    # PYTHONUNBUFFERED: the log of a service is read while it runs.
    unbuffered = isinstance(stream, io.TextIOWrapper) and stream.write_through
    return io.TextIOWrapper(
        io.BufferedWriter(LastingFile(descriptor, "w", closefd=False)),
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=descriptor == 2 or unbuffered or os.isatty(descriptor),
    )

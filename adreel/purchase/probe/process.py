"""The parent's side of the probe process: one child for all clips of this process, started at first use."""

import asyncio
import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast
from weakref import WeakKeyDictionary

from adreel.errors import ClipUnavailable
from adreel.models.parts import PartKind
from adreel.purchase.probe.findings import Findings, Measures

WALL_SECONDS = 120.0
"""Far above the child's own limit of processor time. Only a stalled machine reaches it."""
MAX_DEATHS = 2
READY = '"ready"'
MAIN = "from adreel.purchase.probe.child import main; main()"
# The environment of the child has no key and no settings: exploited code would find nothing.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")


class _Died(Exception):
    """The child ended instead of answering; `by_limit` if its processor time was used up."""

    def __init__(self, status: int) -> None:
        self.by_limit = status == -signal.SIGXCPU
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        super().__init__("it takes too long to decode" if self.by_limit else f"decoding it ended the probe with {name}")


class _Child:
    """A running child and its pipes."""

    def __init__(self) -> None:
        # -I: neither the current folder nor PYTHON* variables affect imports. Our own folders come last.
        roots = [_root("adreel"), _root("av"), _root("PIL")]
        code = f"import sys; sys.path += {roots!r}\n{MAIN}"
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-I", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            cwd="/",
            # Ctrl-C is for the parent, which waits for the running probe.
            start_new_session=True,
        )
        self._requests, self._answers = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._buffer = b""
        try:
            first = self._read_line()
        except _Died as died:
            self.end()
            raise OSError(f"the probe process can't start: {died}") from None
        except BaseException:
            self.end()
            raise
        if first != READY:
            self.end()
            raise OSError(f"the probe process says {first[:80]!r} at its start")

    def ask(self, clip: Path, poster: Path | None, kind: PartKind) -> dict[str, Any]:
        """Return the child's answer; _Died if it ends without one, OSError if it can't read or write a file."""
        try:
            request = [str(clip.absolute()), str(poster.absolute()) if poster else None, kind]
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            raise _Died(self._process.wait()) from None
        answer: dict[str, Any] = json.loads(self._read_line())
        if "error" in answer:
            raise OSError(answer["error"])
        return answer

    def end(self) -> None:
        """End the child and wait for it."""
        self._process.kill()
        self._process.wait()
        self._close_pipes()

    def abandon(self) -> None:
        """Forget the child in a forked process; the parent keeps using it."""
        self._close_pipes()
        self._process.returncode = 0

    def _close_pipes(self) -> None:
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()

    def _read_line(self) -> str:
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while b"\n" not in self._buffer:
            if not poll.poll(WALL_SECONDS * 1000):
                raise TimeoutError(f"the probe process did not answer within {WALL_SECONDS:g} s")
            piece = os.read(self._answers.fileno(), 65536)
            if not piece:
                raise _Died(self._process.wait())
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()


class Prober:
    """Sends clips to one child, one at a time, and replaces a child that died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def inspect(self, file: Path, kind: PartKind) -> Findings:
        """Measure a bought file; ClipUnavailable if the probe can't run now."""
        answer = self._ask(file, kind=kind)
        measures = answer.pop("measures", None)
        return Findings(Measures(**measures) if measures else None, **answer)

    def draw_poster(self, clip: Path, poster: Path) -> str:
        """Write the poster of a clip and return "", or why it has none; ClipUnavailable if the probe can't run now."""
        reason: str = self._ask(clip, poster)["reason"]
        if reason:
            poster.unlink(missing_ok=True)
        return reason

    def _ask(self, clip: Path, poster: Path | None = None, kind: PartKind = "clip") -> dict[str, Any]:
        """Ask the child. A clip that ends MAX_DEATHS children is not decodable; the first may have died otherwise."""
        with self._lock:
            deaths = 0
            try:
                while True:
                    self._child = self._child or _Child()
                    try:
                        return self._child.ask(clip, poster, kind)
                    except _Died as died:
                        self.close()
                        deaths += 1
                        if died.by_limit or deaths == MAX_DEATHS:
                            return {"reason": str(died)}
            except OSError as error:
                self.close()
                raise ClipUnavailable(f"the clip can't be probed now: {error}") from error
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the child."""
        # Without the lock: at the end of the process a waiting thread may hold it, and its answer is not needed.
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def forget(self) -> None:
        """Leave the child to the parent of this forked process."""
        self._lock = threading.Lock()
        if self._child is not None:
            self._child.abandon()
            self._child = None


_prober = Prober()
atexit.register(_prober.close)
os.register_at_fork(after_in_child=_prober.forget)

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def probe(file: Path, kind: PartKind = "clip") -> Findings:
    """Measure a bought file; ClipUnavailable if the probe can't run now."""
    async with _turn():
        return await asyncio.to_thread(_prober.inspect, file, kind)


async def draw(clip: Path, poster: Path) -> str:
    """Write the poster of a clip and return "", or why it has none; ClipUnavailable if the probe can't run now."""
    async with _turn():
        return await asyncio.to_thread(_prober.draw_poster, clip, poster)


def draw_now(clip: Path, poster: Path) -> str:
    """Do the same as `draw`, in a thread that may wait."""
    return _prober.draw_poster(clip, poster)


def _turn() -> asyncio.Lock:
    # Waiting for the lock in a thread would occupy the default pool, which is for the storage.
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _root(package: str) -> str:
    """Return the parent folder of a package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise OSError(f"{package} is not installed")
    return str(Path(spec.origin).parents[1])

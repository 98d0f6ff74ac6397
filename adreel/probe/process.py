"""The parent's side of the probe process: one for all clips of this process, started when it is needed first."""

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
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast
from weakref import WeakKeyDictionary

from adreel.errors import ClipUnavailable
from adreel.probe.findings import Findings, Measures

WALL_SECONDS = 120.0
"""Far more than the processor time that the child allows itself: only a machine that stands still comes to it."""
READY = '"ready"'
MAIN = "from adreel.probe.child import main; main()"
# No key, no settings: what decodes bytes of strangers has nothing to tell.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")


class _Died(Exception):
    """The child ended instead of answering; `by_limit` if its processor time was used up."""

    def __init__(self, status: int) -> None:
        self.by_limit = status == -signal.SIGXCPU
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        super().__init__("it takes too long to decode" if self.by_limit else f"decoding it ended the probe with {name}")


class _Child:
    """A running child and the pipes to it."""

    def __init__(self) -> None:
        # -I: neither the current folder nor PYTHON* variables decide what is imported; ours comes last.
        roots = [_root("adreel"), _root("av"), _root("PIL")]
        code = f"import sys; sys.path += {roots!r}\n{MAIN}"
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-I", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            cwd="/",
            # A Ctrl-C is for the parent: what it waits for is looked at to the end.
            start_new_session=True,
        )
        self._requests, self._answers = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._buffer = b""
        try:
            self._wait_until_ready()
        except BaseException:
            self.end()
            raise

    def ask(self, clip: Path, poster: Path) -> dict[str, Any]:
        """Return the answer about a clip; _Died if there is none."""
        try:
            self._requests.write(json.dumps([str(clip.absolute()), str(poster.absolute())]).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:
            raise _Died(self._process.wait()) from None
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def end(self) -> None:
        """End the child and wait for it."""
        self._process.kill()
        self._process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close the pipes, at whose end the child ends by itself."""
        for pipe in (self._requests, self._answers):
            with suppress(OSError):
                pipe.close()

    def abandon(self) -> None:
        """Forget the child in a forked process, whose parent goes on using it."""
        self.let_go()
        self._process.returncode = 0

    def _wait_until_ready(self) -> None:
        try:
            first = self._line()
        except _Died as died:
            raise OSError(f"the probe process can't start: {died}") from None
        if first != READY:
            raise OSError(f"the probe process says {first[:80]!r} at its start")

    def _line(self) -> str:
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
    """Asks one child about one clip at a time, and starts another one if it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def look_into(self, clip: Path, poster: Path) -> Findings:
        """Return what a clip is, and draw its poster; ClipUnavailable if that can't be told now.

        A clip that ends two children is not decodable: the first one may have died of something else.
        """
        with self._lock:
            try:
                return self._ask_twice(clip, poster)
            except (OSError, TimeoutError) as error:
                self._drop()
                raise ClipUnavailable(f"the clip can't be looked into now: {error}") from error
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        """End the child."""
        # Whoever waits for an answer holds the lock: at the end of the process nobody needs it any more.
        self._drop()

    def forget(self) -> None:
        """Leave the child to the process that this one was forked from."""
        self._lock = threading.Lock()
        if self._child is not None:
            self._child.abandon()
            self._child = None

    def _ask_twice(self, clip: Path, poster: Path) -> Findings:
        for is_last in (False, True):
            self._child = self._child or _Child()
            try:
                answer = self._child.ask(clip, poster)
            except _Died as died:
                self._drop()
                poster.unlink(missing_ok=True)
                if died.by_limit or is_last:
                    return Findings(reason=str(died))
                continue
            if "trouble" in answer:
                raise OSError(answer["trouble"])
            measures = answer["measures"]
            return Findings(Measures(**measures) if measures else None, answer["reason"], answer["broken_off"])
        raise AssertionError("unreachable")

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


_prober = Prober()
atexit.register(_prober.close)
os.register_at_fork(after_in_child=_prober.forget)

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def probe(clip: Path, poster: Path) -> Findings:
    """Look into a clip and draw its poster; ClipUnavailable if that can't be told now."""
    # Waiting here takes no thread: those are for the storage.
    async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        return await asyncio.to_thread(partial(_prober.look_into, clip, poster))


def _root(package: str) -> str:
    """Return the folder that a package lies in."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise OSError(f"{package} is not installed")
    return str(Path(spec.origin).parents[1])

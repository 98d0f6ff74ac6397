"""The parent's side of the render process: one child for each call, killed when the call is cancelled."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from adreel.cut.plan import (
    AssemblyPlan,
    ClipFacts,
    FileFacts,
    Measures,
    Progress,
    SegmentPlan,
    clip_facts,
    measures,
    to_json,
)
from adreel.errors import CutFailed, InputError

DEADLINE = 1800.0
"""Seconds of a render. A minute of Full HD takes a tenth of it on one core."""
INSPECTION_DEADLINE = 120.0
MAX_LINE = 4 * 1024 * 1024
CODE = "import sys; sys.path += {roots!r}; from adreel.cut.render.child import main; main({parent})"
# The environment of the child has no key and no settings: exploited code would find nothing.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL", "SYSTEMROOT")


async def inspect(
    clips: Sequence[Path],
    *,
    sounds: Sequence[Path] = (),
    logos: Sequence[Path] = (),
    deadline: float = INSPECTION_DEADLINE,
) -> list[ClipFacts]:
    """Return the facts of clips; InputError naming the first clip, sound or logo that can't be read."""
    request = {
        "action": "inspect",
        "clips": [str(clip.absolute()) for clip in clips],
        "sounds": [str(sound.absolute()) for sound in sounds],
        "logos": [str(logo.absolute()) for logo in logos],
    }
    return list(map(clip_facts, await _ask(request, lambda _: None, deadline)))


async def render(
    segments: Mapping[Path, SegmentPlan],
    files: Mapping[Path, AssemblyPlan],
    report: Callable[[Progress], None] = lambda _: None,
    *,
    deadline: float = DEADLINE,
) -> dict[Path, Measures]:
    """Render segments, then finished files of them, each to its path, and return the measures of the files.

    A file's poster is written beside it with the suffix .jpg. A path exists only when its file is whole, and a
    finished file has passed its checks. InputError if an input is unusable, else CutFailed. Cancelling it kills the
    child.
    """
    request = {
        "action": "render",
        "segments": {str(out.absolute()): to_json(plan) for out, plan in segments.items()},
        "files": {str(out.absolute()): to_json(plan) for out, plan in files.items()},
    }
    found = await _ask(request, report, deadline)
    return {out: measures(found[str(out.absolute())]) for out in files}


async def measure(files: Sequence[Path], *, deadline: float = INSPECTION_DEADLINE) -> list[Measures]:
    """Decode finished files and return their measures; CutFailed if one can't be read."""
    request = {"action": "measure", "files": [str(file.absolute()) for file in files]}
    return list(map(measures, await _ask(request, lambda _: None, deadline)))


async def find_speech(
    sounds: Sequence[Path], frames: int, *, deadline: float = INSPECTION_DEADLINE
) -> list[list[tuple[int, int]]]:
    """Return the stretches of each sound file between its pauses, as their first frame and the first frame behind them.

    Only the part of a file of the length of so many frames is read. InputError naming the first file that can't be.
    """
    request = {"action": "find_speech", "sounds": [str(sound.absolute()) for sound in sounds], "frames": frames}
    found = await _ask(request, lambda _: None, deadline)
    return [[(start, end) for start, end in stretches] for stretches in found]


async def describe(files: Sequence[Path], *, deadline: float = INSPECTION_DEADLINE) -> list[FileFacts]:
    """Return the facts of films of any origin; CutFailed naming the first one that can't be read."""
    request = {"action": "describe", "files": [str(file.absolute()) for file in files]}
    return [FileFacts(**each) for each in await _ask(request, lambda _: None, deadline)]


async def _ask(request: dict[str, Any], report: Callable[[Progress], None], deadline: float) -> Any:
    roots = [_root("adreel"), _root("av"), _root("PIL")]
    # -I: neither the current folder nor PYTHON* variables affect imports. Our own folders come last.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        CODE.format(roots=roots, parent=os.getpid()),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        cwd="/",
        # Ctrl-C is for the parent, which kills the child.
        start_new_session=True,
        limit=MAX_LINE,
    )
    try:
        # Several cores may use processor time at once.
        request["cpu_seconds"] = deadline * (os.cpu_count() or 1)
        async with asyncio.timeout(deadline):
            return await _answer(process, request, report)
    except TimeoutError:
        raise CutFailed(f"rendering takes longer than {deadline:g} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


async def _answer(process: Process, request: dict[str, Any], report: Callable[[Progress], None]) -> Any:
    assert process.stdin is not None  # noqa: S101 - for the type
    assert process.stdout is not None  # noqa: S101
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
    while line := await process.stdout.readline():
        answer = json.loads(line)
        if "progress" in answer:
            report(Progress(*answer["progress"]))
        elif "error" in answer:
            raise (InputError if answer["is_input"] else CutFailed)(answer["error"])
        else:
            return answer["result"]
    status = await process.wait()
    name = signal.Signals(-status).name if status < 0 else f"status {status}"
    raise CutFailed(f"the render process ended with {name} instead of a result")


def _root(package: str) -> str:
    """Return the parent folder of a package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise OSError(f"{package} is not installed")
    return str(Path(spec.origin).parents[1])

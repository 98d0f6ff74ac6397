"""The render process: reads one request as JSON from stdin, and writes progress and its result as JSON lines.

It decodes untrusted bytes, so its environment has no key, its memory, processor time and files are limited, and it
ends with its parent.
"""

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import av.logging
from av.error import FFmpegError

from adreel.cut.plan import SAMPLES_PER_FRAME, AssemblyPlan, Measures, SegmentPlan, assembly_plan, segment_plan, to_json
from adreel.cut.render.assembly import assemble
from adreel.cut.render.checks import measure_file
from adreel.cut.render.description import describe_file
from adreel.cut.render.logo import read_logo
from adreel.cut.render.segments import render_segment
from adreel.cut.render.sources import active_frames, file_samples, inspect_clip, reason
from adreel.errors import AdreelError, CutFailed, InputError

Result = TypeVar("Result")

MAX_MEMORY = 4 * 1024**3
MAX_FILE_BYTES = 4 * 1024**3
REPORT_SECONDS = 0.2
# The names are those of malloc.h and prctl.h.
M_ARENA_MAX = -8
PR_SET_PDEATHSIG = 1
FADE_COST, JOIN_COST = 1.2, 0.4
"""Processor time of a frame of the finished file, compared with a frame of a segment."""


def main(parent: int) -> None:
    """Carry one request out; `parent` is the process that has to be alive."""
    av.logging.set_level(None)
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # Every thread of the codecs would get a pool of memory of its own.
        library.mallopt(M_ARENA_MAX, 2)
    if os.getppid() != parent:
        return
    request = json.loads(sys.stdin.readline())
    cpu_seconds = int(request["cpu_seconds"])
    for limit, most in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        _write({"result": carry_out(request)})
    except AdreelError as error:
        _write({"error": str(error), "is_input": isinstance(error, InputError)})
    except (FFmpegError, OSError, MemoryError, ValueError, ArithmeticError) as error:
        _write({"error": f"rendering failed: {reason(error)}", "is_input": False})


def carry_out(request: dict[str, Any]) -> Any:
    """Return the result of a request as JSON values."""
    match request["action"]:
        case "inspect":
            _read_each(request["sounds"], lambda path: file_samples(path, 1))
            _read_each(request["logos"], read_logo)
            return list(map(to_json, _read_each(request["clips"], inspect_clip)))
        case "find_speech":
            frames, most = request["frames"], request["frames"] * SAMPLES_PER_FRAME
            return _read_each(request["sounds"], lambda path: active_frames(file_samples(path, most), frames))
        case "measure":
            return list(map(to_json, _read_each(request["files"], measure_file)))
        case "describe":
            return list(map(to_json, _read_each(request["files"], describe_file)))
        case _:
            segments = {Path(out): segment_plan(plan) for out, plan in request["segments"].items()}
            files = {Path(out): assembly_plan(plan) for out, plan in request["files"].items()}
            return {str(out): to_json(measures) for out, measures in render(segments, files).items()}


def _read_each(paths: Iterable[str], read: Callable[[Path], Result]) -> list[Result]:
    found = []
    for path in paths:
        with _named(path):
            found.append(read(Path(path)))
    return found


class _named:  # noqa: N801 - reads as a verb
    """Names the file in an error."""

    def __init__(self, path: str) -> None:
        self._name = Path(path).name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, InputError):
            raise InputError(f"{self._name}: {error}") from error
        if isinstance(error, CutFailed | FFmpegError | ValueError):
            raise CutFailed(f"{self._name}: {reason(error)}") from error


def render(segments: Mapping[Path, SegmentPlan], files: Mapping[Path, AssemblyPlan]) -> dict[Path, Measures]:
    """Render segments and then finished files, each to its path, and return the measures of the files."""
    reporter = _Reporter()
    share = {out: float(plan.frames) for out, plan in segments.items()}
    lengths = sum(share.values()) or 1.0
    share |= {out: lengths * (FADE_COST if plan.fade_frames else JOIN_COST) for out, plan in files.items()}
    total = sum(share.values())
    done = 0.0
    for number, (out, plan) in enumerate(segments.items(), 1):
        step, before = f"segment {number} of {len(segments)}", done
        with _named(plan.clip):
            part = _part(out)
            render_segment(plan, part, lambda frames: reporter.tell((before + frames) / total, step))  # noqa: B023
            part.replace(out)
        # Filters and their graph refer to each other, and hold pictures.
        gc.collect()
        done += share[out]
    found = {}
    for out, film in files.items():
        before, size = done, share[out]
        step = f"{film.width}x{film.height}"
        part, poster = _part(out), _part(out.with_suffix(".jpg"))
        found[out] = assemble(film, part, poster, lambda part: reporter.tell((before + part * size) / total, step))  # noqa: B023
        poster.replace(out.with_suffix(".jpg"))
        part.replace(out)
        done += size
    return found


def _part(out: Path) -> Path:
    # A killed render leaves no file with a finished one's name.
    return out.with_name(f"{out.name}.part")


class _Reporter:
    def __init__(self) -> None:
        self._last = 0.0

    def tell(self, done: float, step: str) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_SECONDS:
            self._last = now
            _write({"progress": [round(done, 4), step]})


def _write(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer to the parent

"""The probe process: reads names of clips from stdin, writes measures to stdout, and ends with its parent.

It decodes untrusted bytes, so its environment has no key, and its memory, processor time and file size are limited.
"""

import ctypes
import json
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import av.logging

from adreel.purchase.probe.additions import inspect_sound, inspect_still
from adreel.purchase.probe.decoding import draw_poster, inspect_clip

MAX_MEMORY = 1024**3
MAX_CPU_SECONDS = 10
MAX_FILE_BYTES = 16 * 1024 * 1024
READY = "ready"
INSPECTORS = {"clip": inspect_clip, "voice": inspect_sound, "music": inspect_sound, "still": inspect_still}
# The names are those of malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 32 * 1024 * 1024


def main() -> None:
    """Answer each request with one line of JSON until stdin ends: measure a file of a kind, or draw a clip's poster."""
    av.logging.set_level(None)
    # glibc returns blocks of this size to the system. Getting them back took a quarter of the processor time.
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, 2 * KEPT_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    for limit, most in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (least, least))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _write(READY)
    for line in sys.stdin:
        clip, poster, kind = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_seconds = int(used.ru_utime + used.ru_stime) + MAX_CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, resource.RLIM_INFINITY))
        try:
            answer = (
                {"reason": draw_poster(Path(clip), Path(poster))} if poster else asdict(INSPECTORS[kind](Path(clip)))
            )
        except OSError as error:
            answer = {"error": f"{error.strerror or error}"}
        _write(answer)


def _write(answer: object) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer to the parent


if __name__ == "__main__":
    main()

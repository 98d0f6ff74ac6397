"""Renders clips beside the event loop, two at once, and keeps them on disk.

A clip is begun when its task is accepted, so that it is there when the task ends; whoever downloads it earlier waits.
With one film for all, only the first task of a size and length costs an encoding: thousands can end at once.
"""

import asyncio
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from adreel.emulator.clip import Clip
from adreel.emulator.film import render

AT_ONCE = 2
LONGEST_RENDER_SECONDS = 120.0


class Renderer:
    """Renders each clip once."""

    def __init__(self, *, one_film: bool = False) -> None:
        self._one_film = one_film
        self._folder = tempfile.TemporaryDirectory(prefix="adreel-local-runware-")
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="local-runware-render")
        self._stopping = threading.Event()
        self._clips: dict[Clip, Future[Path]] = {}

    def begin(self, clip: Clip) -> Future[Path]:
        """Begin to render a clip, unless that was done before."""
        if self._one_film:
            clip = replace(clip, prompt="Any scene", seed=0)
        if clip not in self._clips:
            path = Path(self._folder.name) / f"{len(self._clips)}.mp4"
            self._clips[clip] = self._pool.submit(render, clip, path, stopping=self._stopping)
        return self._clips[clip]

    async def rendered(self, clip: Clip) -> bytes:
        """Return a clip's bytes, or raise TimeoutError."""
        path = await asyncio.wait_for(asyncio.wrap_future(self.begin(clip)), LONGEST_RENDER_SECONDS)
        return await asyncio.to_thread(path.read_bytes)

    def close(self) -> None:
        """Break off what is being rendered, and remove the clips."""
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)
        self._folder.cleanup()

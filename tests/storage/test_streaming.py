"""Clips are streamed: memory does not grow with their number and size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adreel.storage import Storage
from tests.storage.servers import S3Server
from tests.storage.streaming import clip_server

CLIPS = 16
SIZE = 16_000_000
MOST = 150
"""MB for 16 clips of any size. Held as a whole, these clips would take at least 256."""


@pytest.mark.slow
def test_16_clips_at_once_take_little_memory_on_their_way_to_s3(s3: S3Server) -> None:
    url = s3.bucket()
    with clip_server(SIZE) as clip:
        assert extra_memory(clip, url, s3.options) < MOST
    storage = Storage(url, s3.options)
    assert [storage.size(f"{number}.mp4") for number in range(CLIPS)] == [SIZE] * CLIPS


def test_16_clips_at_once_take_little_memory_on_their_way_to_a_disk(tmp_path: Path) -> None:
    with clip_server(SIZE) as clip:
        assert extra_memory(clip, str(tmp_path), {}) < MOST


def extra_memory(clip: str, url: str, options: dict[str, object]) -> float:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.storage.streaming", clip, url, json.dumps(options), str(CLIPS)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return float(ran.stdout)

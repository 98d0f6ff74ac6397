"""Measures MB/s and memory of publishing a 200 MB clip per backend, compared with a plain copy in the same process.

The servers run on this machine as their own processes, and the figures of their backends include their cost. Then 16
such clips are downloaded over HTTP and published at once. `python -m benchmarks.storage`, from the repository's root.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from adreel.storage import Storage
from tests.storage.servers import S3Server, sftp_server
from tests.storage.streaming import clip_server, peak

SIZE = 200_000_000
ROUNDS = 5
CLIPS = 16


def measure(url: str, options: str, folder: str) -> None:
    """Print the figures of one storage. Each storage has a new process."""
    storage = Storage(url, json.loads(options))
    storage.publish(Path(__file__), "warm-up.py")
    before, copying, publishing = peak(), [], []
    for _ in range(ROUNDS):
        copying.append(seconds(copy, clip(folder), Path(folder, "copy")))
        publishing.append(seconds(storage.publish, clip(folder), "clip.mp4"))
        storage.remove("clip.mp4")
    extra = peak() - before
    print(json.dumps([SIZE / 1e6 / statistics.median(times) for times in (publishing, copying)] + [extra]))


def clip(folder: str) -> Path:
    """Write a clip in chunks without a sync, which both methods do themselves."""
    path = Path(folder, "clip.mp4")
    path.unlink(missing_ok=True)
    with path.open("wb") as stream:
        for _ in range(SIZE // 1_000_000):
            stream.write(os.urandom(1000) * 1000)
    return path


def copy(source: Path, target: Path) -> None:
    """Copy a file durably."""
    shutil.copyfile(source, target)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())


def seconds(work: Callable[..., object], *arguments: Path | str) -> float:
    """Return the wall time of some work."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def child(*words: str) -> str:
    """Run a module of this repository and return what it prints."""
    return subprocess.run([sys.executable, "-m", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def compare(name: str, url: str, options: dict[str, object], folder: str) -> None:
    """Print a line for one backend."""
    publishing, copying, extra = json.loads(child("benchmarks.storage", url, json.dumps(options), folder))
    line = f"{name:<10} publish {publishing:>5.0f} MB/s   copy {copying:>5.0f} MB/s   ratio {publishing / copying:.2f}"
    print(f"{line}   {extra:>4.0f} MB more memory", end="", flush=True)
    if name != "memory":
        with clip_server(SIZE) as address:
            together = child("tests.storage.streaming", address, url, json.dumps(options), str(CLIPS))
        print(f"   {CLIPS} at once: {float(together):.0f} MB more", end="")
    print(flush=True)


def main() -> None:
    """Print a line for each backend."""
    with tempfile.TemporaryDirectory() as folder, S3Server() as s3:
        Path(folder, "served").mkdir()
        with sftp_server(Path(folder, "served")) as sftp:
            compare("local disk", f"{folder}/outputs", {}, folder)
            compare("memory", "memory://outputs", {}, folder)
            compare("S3 (moto)", s3.bucket(), s3.options, folder)
            compare("SFTP", "sftp://127.0.0.1/outputs", sftp, folder)


if __name__ == "__main__":
    measure(*sys.argv[1:]) if sys.argv[1:] else main()

"""Measures the time from the order of an ad to its first submit at the provider, by step.

`python -m benchmarks.first_submit [--orders 9]` starts `adreel up` in a temporary folder and orders one ad after the
other over the HTTP API. The steps are read from Prefect's states and from the emulator's ledger.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import httpx
from dotenv import dotenv_values

from adreel.client import Client
from adreel.deployments.auth import API_AUTH, auth_file
from adreel.emulator.ledger import Ledger
from adreel.models.sessions import read_session
from adreel.records import Records
from adreel.storage import Storage

PATIENCE = 120.0
EXAMPLE = Path(__file__).parent.parent / "examples" / "glowcap.yaml"
POINTS = ["ordered", "answered", "claimed", "running", "submitted"]
PARTS = [
    "the order is checked, recorded and answered",
    "a worker asks for work and claims the run",
    "the run's process starts, loads the flow and reports",
    "the job is planned, its scenes have slots, the first is submitted",
]


@contextmanager
def studio(folder: Path) -> Iterator[dict[str, str]]:
    """Run `adreel up` and yield its addresses."""
    said = folder / "up.txt"
    options = ["--folder", folder / "studio", "--port", "0", "--prefect-port", "0"]
    environment = {**os.environ, "RUNWARE_API_KEY": "", "ADREEL_STORAGE": str(folder / "outputs")}
    environment |= {"ADREEL_LOCAL_RENDER_SECONDS": "1", "ADREEL_MODEL": "bytedance:2@2", "ADREEL_SIZE": "128x72"}
    with said.open("wb") as stream:
        command = [Path(sys.executable).with_name("adreel"), "up", *options]
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
    try:
        deadline = time.monotonic() + PATIENCE
        while "Up after" not in said.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(said.read_text())
            time.sleep(0.2)
        yield dict(re.findall(r"^  (\w+) +(\S+)$", said.read_text(), re.MULTILINE))
    finally:
        process.terminate()
        process.wait(PATIENCE)


def order(client: Client, prefect: httpx.Client, ledger: Path, session_id: str) -> list[float]:
    """Order an ad and return the times of its POINTS in seconds."""
    moments = [time.time()]
    job_id = client.generate(session_id).job_id
    moments.append(time.time())
    client.wait(job_id, every=1)
    states = prefect.get("/api/flow_run_states/", params={"flow_run_id": job_id}).raise_for_status().json()
    for name in ("PENDING", "RUNNING"):
        moments.append(datetime.fromisoformat(next(s["timestamp"] for s in states if s["type"] == name)).timestamp())
    accepted = [entry.accepted_at for entry in Ledger.read(ledger).entries]
    moments.append(min(at for at in accepted if at > moments[0]))
    return moments


def main(orders: int) -> None:
    """Print the median and the maximum of each step."""
    with tempfile.TemporaryDirectory() as folder, studio(Path(folder)) as addresses:
        records = Records(Storage(f"{folder}/outputs"))
        records.save_session(read_session(EXAMPLE))
        ledger = Path(folder) / "studio" / "runware.jsonl"
        auth = dotenv_values(auth_file(Path(folder) / "studio"))[API_AUTH] or ""
        with (
            Client(addresses["Storyboard"]) as client,
            httpx.Client(base_url=addresses["Prefect"], auth=tuple(auth.split(":"))) as prefect,  # type: ignore[arg-type]
        ):
            runs = [order(client, prefect, ledger, "glowcap") for _ in range(orders + 1)][1:]
    print(f"{'median':>8} {'slowest':>8}   of {len(runs)} orders, seconds")
    for part, (start, end) in zip(PARTS, pairwise(range(len(POINTS))), strict=True):
        line([run[end] - run[start] for run in runs], part)
    line([run[-1] - run[0] for run in runs], "from the order to the first submit")


def line(seconds: list[float], what: str) -> None:
    """Print one row."""
    print(f"{statistics.median(seconds):8.2f} {max(seconds):8.2f}   {what}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=9)
    main(parser.parse_args().orders)

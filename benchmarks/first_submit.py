"""Measures the time from the order of an ad to its first submit at the provider.

`python -m benchmarks.first_submit [--orders 9] [--commands 5]` starts `adreel up` in a temporary folder and orders one
ad after the other over the HTTP API. The steps are read from Prefect's states and from the emulator's ledger. Then it
runs `adreel generate` in the folder of the studio, there without the studio's fork server in turn with it, and in a
folder without a studio, from the start of the command.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import httpx
from dotenv import dotenv_values

from adreel.client import Client
from adreel.deployments.auth import API_AUTH, auth_file
from adreel.emulator.ledger import Ledger
from adreel.models.scenarios import Scenario
from adreel.models.sessions import read_session
from adreel.records import Records
from adreel.storage import Storage

PATIENCE = 120.0
COLD = {"PYTHONIOENCODING": "utf-8"}
"""Python reads it at its start, so no process of the fork server has it, and the command starts by itself."""
ADREEL = Path(sys.executable).with_name("adreel")
EXAMPLE = Path(__file__).parent.parent / "examples" / "glowcap.yaml"
POINTS = ["ordered", "answered", "claimed", "running", "submitted"]
PARTS = [
    "the order is checked, recorded and answered",
    "a worker asks for work and claims the run",
    "the run's process starts, loads the flow and reports",
    "the job is planned, its scenes have slots, the first is submitted",
]


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of all commands: no server, no key, and small clips."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("ADREEL_", "PREFECT_"))}
    ours |= {"RUNWARE_API_KEY": "", "ADREEL_STORAGE": str(folder / "outputs"), "PREFECT_HOME": str(folder / "prefect")}
    ours |= {"ADREEL_LOCAL_RENDER_SECONDS": "1", "ADREEL_MODEL": "bytedance:2@2", "ADREEL_SIZE": "128x72"}
    return ours | {"ADREEL_CUT": "false"}


@contextmanager
def studio(folder: Path) -> Iterator[dict[str, str]]:
    """Run `adreel up` and yield its addresses."""
    said = folder / "up.txt"
    options = ["--port", "0", "--prefect-port", "0"]
    with said.open("wb") as stream:
        command = [ADREEL, "up", *options]
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment(folder), cwd=folder)
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


def run_command(folder: Path, more: Mapping[str, str] = MappingProxyType({})) -> float:
    """Run `adreel generate` in a folder; return the seconds from its start to its first accepted task."""
    known = accepted_at(folder)
    began = time.time()
    command = [ADREEL, "generate", EXAMPLE, "--again"]
    subprocess.run(command, cwd=folder, env={**environment(folder), **more}, stdout=subprocess.DEVNULL, check=True)
    return min(accepted_at(folder) - known) - began


def accepted_at(folder: Path) -> set[float]:
    """Return when the tasks of all takes were accepted."""
    records = Records(Storage(str(folder / "outputs")))
    takes = [take for scenario in Scenario for take in records.takes("glowcap", scenario)]
    return {at.timestamp() for take in takes for attempt in take.attempts if (at := attempt.accepted_at)}


def main(orders: int, commands: int) -> None:
    """Print the median and the maximum of each step, and of the commands."""
    with tempfile.TemporaryDirectory() as folder, studio(Path(folder)) as addresses:
        records = Records(Storage(f"{folder}/outputs"))
        records.save_session(read_session(EXAMPLE))
        ledger = Path(folder) / ".adreel" / "runware.jsonl"
        auth = dotenv_values(auth_file(Path(folder) / ".adreel"))[API_AUTH] or ""
        with (
            Client(addresses["Storyboard"]) as client,
            httpx.Client(base_url=addresses["Prefect"], auth=tuple(auth.split(":"))) as prefect,  # type: ignore[arg-type]
        ):
            runs = [order(client, prefect, ledger, "glowcap") for _ in range(orders + 1)][1:]
        beside = [(run_command(Path(folder)), run_command(Path(folder), COLD)) for _ in range(commands)]
    with tempfile.TemporaryDirectory() as folder:
        # The first command creates the database of its server.
        alone = [run_command(Path(folder)) for _ in range(commands + 1)][1:]
    print(f"{'median':>8} {'slowest':>8}   of {len(runs)} orders, seconds")
    for part, (start, end) in zip(PARTS, pairwise(range(len(POINTS))), strict=True):
        line([run[end] - run[start] for run in runs], part)
    line([run[-1] - run[0] for run in runs], "from the order to the first submit")
    if commands:
        line(
            [warm for warm, _ in beside],
            f"`adreel generate` beside the studio, to the first accepted task, {commands} times",
        )
        line([cold for _, cold in beside], "the same without the studio's fork server")
        line(alone, f"`adreel generate` with a server of its own, {commands} times")


def line(seconds: list[float], what: str) -> None:
    """Print one row."""
    print(f"{statistics.median(seconds):8.2f} {max(seconds):8.2f}   {what}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=9)
    parser.add_argument("--commands", type=int, default=5)
    given = parser.parse_args()
    main(given.orders, given.commands)

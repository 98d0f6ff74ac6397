"""Measures the status of running jobs: 200 clients poll `adreel serve` for 50 jobs, and a plain FastAPI route.

Usage: python -m benchmarks.api [SECONDS]

Each client polls once a second, the plain route and the API in turn. Each of both has its own server process.
"""

import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from adreel.models.scenarios import Scenario
from adreel.models.sessions import read_session
from adreel.models.takes import AttemptState, utc_now
from adreel.purchase.jobs import start_job
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage

EXAMPLE = Path(__file__).parent.parent / "examples" / "glowcap.yaml"
CLIENTS, JOBS, EVERY, ROUNDS = 200, 50, 1.0, 4
LABELS = ("p50", "p99", "processor")
BARE = """
import sys, uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.get("/status/{job_id}")
async def status(job_id: str) -> dict[str, str]:
    return {"overall_status": "generating"}
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
"""


def make_jobs(folder: str) -> list[str]:
    """Record jobs with four scenes in progress and return their ids."""
    records, settings = Records(Storage(folder)), Settings()
    records.save_session(read_session(EXAMPLE))
    names = [f"job-{number}" for number in range(JOBS)]
    for job_id in names:
        start_job(records, settings, job_id, "glowcap")
        for scenario in Scenario:
            if take := records.take("glowcap", scenario, job_id):
                take.plan_attempt(utc_now())
                take.advance(AttemptState.ACCEPTED)
                records.save_take(take)
    return names


@contextmanager
def serving(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in its own process."""
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


async def until_up(client: aiohttp.ClientSession, url: str) -> None:
    """Wait until a server answers."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with client.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


async def ask(urls: list[str], seconds: float) -> list[float]:
    """Poll for some seconds and return the time of each response."""
    took: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client:
        await until_up(client, urls[0])

        async def poll(url: str) -> None:
            await asyncio.sleep(random.random() * EVERY)  # noqa: S311 - spreads the clients
            ends = time.perf_counter() + seconds
            while (began := time.perf_counter()) < ends:
                async with client.get(url) as answer:
                    await answer.read()
                    assert answer.status == 200, answer.status  # noqa: S101
                took.append(time.perf_counter() - began)
                await asyncio.sleep(max(0, EVERY - took[-1]))

        await asyncio.gather(*(poll(urls[number % len(urls)]) for number in range(CLIENTS)))
    return took


def memory(process: "subprocess.Popen[bytes]") -> float:
    """Return the peak memory of a process in MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def busy(process: "subprocess.Popen[bytes]") -> float:
    """Return the CPU time of a process in seconds. Other programs do not increase it."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(name: str, took: list[float], cpu: float, process: "subprocess.Popen[bytes]") -> list[float]:
    """Print the figures of one server and return its p50, p99 and CPU time for each response in ms."""
    cuts = statistics.quantiles(took, n=100)
    figures = [cuts[49] * 1000, cuts[98] * 1000, cpu / len(took) * 1000]
    texts = "   ".join(f"{label} {ms:7.2f} ms" for label, ms in zip(LABELS, figures, strict=True))
    print(f"{name:<13} {len(took):5} answers   {texts}   {memory(process):4.0f} MB")
    return figures


def main() -> None:
    """Print a line for each server, and the ratio."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    print(f"{CLIENTS} clients, {JOBS} running jobs of 4 scenes, each client once a second for {seconds:g} s")
    with tempfile.TemporaryDirectory() as folder:
        names = make_jobs(folder)
        environment = {
            **os.environ,
            "ADREEL_STORAGE": folder,
            "ADREEL_REQUESTS_PER_MINUTE": "1000000",
            # Nothing listens there: a status that called Prefect would fail.
            "PREFECT_API_URL": "http://127.0.0.1:9/api",
        }
        adreel = str(Path(sys.executable).with_name("adreel"))
        urls = [f"http://127.0.0.1:8792/api/videos/status/{name}" for name in names]
        constants = ["http://127.0.0.1:8791/status/job-0"]
        took: dict[str, list[float]] = {"constant": [], "status": []}
        with (
            serving([sys.executable, "-c", BARE, "8791"], environment) as bare,
            serving([adreel, "serve", "--port", "8792"], environment) as api,
        ):
            # A first round warms up both servers. Then they take turns, so that both have the same conditions.
            asyncio.run(ask(constants, EVERY))
            asyncio.run(ask(urls, EVERY))
            before = busy(bare), busy(api)
            for _ in range(ROUNDS):
                took["constant"] += asyncio.run(ask(constants, seconds / ROUNDS))
                took["status"] += asyncio.run(ask(urls, seconds / ROUNDS))
            constant = show("a constant", took["constant"], busy(bare) - before[0], bare)
            status = show("the status", took["status"], busy(api) - before[1], api)
    ratios = (f"{label} {one / other:.1f}" for label, one, other in zip(LABELS, status, constant, strict=True))
    print(f"ratio         {'   '.join(ratios)}")


if __name__ == "__main__":
    main()

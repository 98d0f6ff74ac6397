"""Measures the time from the end of a render to its detection by `adreel generate` and by the SDK's own waiting.

Usage: python benchmarks/lag.py [RENDER_SECONDS]
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from adreel.emulator import LocalRunware, in_thread
from adreel.models.scenarios import Scenario
from adreel.models.takes import Take
from adreel.records import Records
from adreel.runware.connection import preserve_loggers
from adreel.storage import Storage

EXAMPLE = Path(__file__).parent.parent / "examples" / "glowcap.yaml"
LIMIT = 300


def adreel_lags(server: LocalRunware, folder: str) -> list[float]:
    """Run the command, watch its records, and return the seconds from each render's end to its record."""
    environment = {
        **os.environ,
        "RUNWARE_URL": server.url,
        "RUNWARE_API_KEY": "",
        "ADREEL_STORAGE": folder,
        "ADREEL_CUT": "false",
    }
    command = [Path(sys.executable).with_name("adreel"), "generate", EXAMPLE, "--json"]
    seen: dict[str, float] = {}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        records = Records(Storage(folder))
        while process.poll() is None:
            for take in _takes(records):
                if take.progress >= 70:
                    seen.setdefault(str(take.attempts[-1].uuid), time.time())
            time.sleep(0.02)
    return [seen[entry.uuid] - (entry.due_at or 0) for entry in server.ledger.entries]


def _takes(records: Records) -> list[Take]:
    return [take for scenario in Scenario for take in records.takes("glowcap", scenario)]


async def sdk_lag(server: LocalRunware) -> float:
    """Wait for one clip with the SDK's getResponse and return the seconds since the render's end."""
    with preserve_loggers():
        from runware import IVideoInference, Runware  # noqa: PLC0415 - the import changes loggers

        client = Runware(api_key="key", url=server.url)
    await client.connect()
    request = IVideoInference(model="bytedance:2@2", positivePrompt="a lamp", duration=1, width=128, height=72)
    accepted = await client.videoInference(request)
    await client.getResponse(taskUUID=accepted.taskUUID)
    lag = time.time() - (server.ledger.entries[-1].due_at or 0)
    await client.disconnect()
    return lag


def main() -> None:
    """Print one line for each way of waiting."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as folder, in_thread(render_seconds=seconds) as server:
        lags = adreel_lags(server, folder)
        sockets = server.ledger.counters.connections
        sdk = asyncio.run(asyncio.wait_for(sdk_lag(server), LIMIT))
    print(f"render {seconds:g} s, {len(lags)} scenes over {sockets} socket")
    print(f"adreel:            {min(lags):.2f} to {max(lags):.2f} s after the end of the render")
    print(f"the SDK's waiting: {sdk:.2f} s")


if __name__ == "__main__":
    main()

"""Runware's other official clients work with the emulator, and are refused what Runware would refuse.

They can't be installed beside the SDK that adreel uses, so these tests are for machines that have them:

    python -m venv newer && newer/bin/pip install runware-sdk==1.8.0    NEWER_SDK_PYTHON=newer/bin/python
    npm install @runware/sdk-js@1.3.2                                   NODE_PATH=node_modules
"""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.local_runware.client import PATIENCE, Item, Starting

HERE = Path(__file__).parent
LIMIT = 3 * PATIENCE
FRAME = {"image": "https://images.example/lamp.png", "frame": "first"}
TASK: Item = {
    "taskType": "videoInference",
    "model": "klingai:kling-video@3-standard",
    "positivePrompt": "Hook scene",
    "duration": 5,
}
SIZE_BESIDE_A_FRAME = {**TASK, "width": 1280, "height": 720, "inputs": {"frameImages": [FRAME]}}
GOOD = {**TASK, "width": 1280, "height": 720}


def command(name: str) -> list[str]:
    """Return the command of a client, or skip the test."""
    if name == "newer SDK":
        python = os.environ.get("NEWER_SDK_PYTHON")
        if not python:
            pytest.skip("needs NEWER_SDK_PYTHON, a Python that has runware-sdk")
        return [python, str(HERE / "newer_sdk.py")]
    node, modules = shutil.which("node"), os.environ.get("NODE_PATH")
    if node is None or not modules or not Path(modules, "@runware/sdk-js").is_dir():
        pytest.skip("needs node, and NODE_PATH with @runware/sdk-js")
    return [node, str(HERE / "sdk.cjs")]


async def results(words: list[str], *orders: Item) -> list[dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(*words, json.dumps(orders), stdout=asyncio.subprocess.PIPE)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), LIMIT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return list(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize("name", ["newer SDK", "JavaScript SDK"])
async def test_client_gets_a_clip_and_is_refused_a_wrong_request(start: Starting, name: str) -> None:
    words = command(name)
    rest = await start()
    refused, accepted = await results([*words, rest.server.url], SIZE_BESIDE_A_FRAME, GOOD)
    assert "exactly one of inputs.frameImages or width and height" in refused["message"]
    assert (await rest.http.get(accepted["url"])).status_code == httpx.codes.OK
    [entry] = rest.server.ledger.entries
    assert "inputs" not in entry.request

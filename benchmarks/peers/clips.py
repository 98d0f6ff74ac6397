"""What every peer is asked for: some clips of the same ad, from the local Runware into a folder.

The driver hands the errand over in the environment, and reads lines of JSON from standard output. The three calls of
Runware's REST are here for the programs that use no SDK; each peer decides itself when it calls them.
"""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

RUNWARE = os.environ.get("PEERS_RUNWARE", "ws://127.0.0.1:8787/v1")
REST = RUNWARE.replace("ws://", "http://")
SCENES = int(os.environ.get("PEERS_SCENES", "4"))
FOLDER = Path(os.environ.get("PEERS_FOLDER", "outputs"))
STATE = Path(os.environ.get("PEERS_STATE", "."))
"""Where a peer may keep what it needs when it is started again."""
SERVER = os.environ.get("PEERS_SERVER", "")
"""The address of the peer's own server, if it has one."""
KEY = "sk-of-the-peers"
HEADERS = {"Authorization": f"Bearer {KEY}"}
POLL_SECONDS = 1.0
"""Runware advises to poll every one or two seconds."""
RENDER_LIMIT = 600
ORDER: dict[str, Any] = {
    "taskType": "videoInference",
    "model": "klingai:6@1",
    "positivePrompt": "A thumb-sized lamp on a white pillow switches on",
    "duration": 5,
    "width": 1280,
    "height": 720,
    # One seed: all clips have the same bytes, and the provider renders them once.
    "seed": 7,
}


def tell(event: str, **facts: object) -> None:
    """Tell the driver."""
    print(json.dumps({"event": event, "at": time.time(), **facts}), flush=True)


def clip_path(number: int) -> Path:
    """Return where a clip belongs."""
    return FOLDER / f"clip-{number}.mp4"


def uuid_for(*words: object) -> str:
    """Return a taskUUID that is the same for the same words: an idempotency key."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return str(UUID(bytes=digest[:16], version=4))


def submission(uuid: str) -> list[dict[str, Any]]:
    """Return the message that orders a clip."""
    delivery = {"deliveryMethod": "async", "outputType": "URL", "outputFormat": "MP4", "numberResults": 1}
    return [{**ORDER, **delivery, "taskUUID": uuid}]


def question(uuid: str) -> list[dict[str, Any]]:
    """Return the message that asks for a clip."""
    return [{"taskType": "getResponse", "taskUUID": uuid}]


def check_submitted(answer: httpx.Response) -> None:
    """Raise unless Runware has accepted an order, now or under the same UUID before."""
    errors = answer.json().get("errors", [])
    if not any(error.get("code") == "conflictTaskUUID" for error in errors):
        answer.raise_for_status()


def url_in(answer: httpx.Response) -> str | None:
    """Return the address of a clip, or None while it is rendered."""
    answer.raise_for_status()
    return next((item["videoURL"] for item in answer.json().get("data", []) if item.get("videoURL")), None)

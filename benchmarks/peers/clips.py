"""The work of every peer: buy some clips of the same ad from the emulator and download them into a folder.

The driver passes the parameters in the environment and reads JSON lines from standard output. The three calls of
Runware's REST API are for the programs without an SDK. Each peer decides when to call them.
"""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx

if TYPE_CHECKING:
    # Not every peer has adreel.
    from adreel.models.sessions import Session

RUNWARE = os.environ.get("PEERS_RUNWARE", "ws://127.0.0.1:8787/v1")
REST = RUNWARE.replace("ws://", "http://")
SCENES = int(os.environ.get("PEERS_SCENES", "4"))
FOLDER = Path(os.environ.get("PEERS_FOLDER", "outputs"))
STATE = Path(os.environ.get("PEERS_STATE", "."))
"""Folder for the state that a peer needs after a restart."""
SERVER = os.environ.get("PEERS_SERVER", "")
"""The address of the peer's server, if it has one."""
KEY = "sk-of-the-peers"
HEADERS = {"Authorization": f"Bearer {KEY}"}
POLL_SECONDS = 1.0
"""Runware recommends polling every one or two seconds."""
RENDER_LIMIT = 600
ORDER: dict[str, Any] = {
    "taskType": "videoInference",
    "model": "bytedance:2@2",
    "positivePrompt": "A thumb-sized lamp on a white pillow switches on",
    "duration": 5,
    "width": 1280,
    "height": 720,
    # One seed: all clips have the same bytes, and the provider renders them once.
    "seed": 7,
}


def ordered_alike(session: "Session") -> "Session":
    """Return a session whose clips are ordered like those of the peers."""
    scenes = [scene.model_copy(update={"seed": ORDER["seed"]}) for scene in session.scene_descriptions]
    options = {"model": ORDER["model"], "size": f"{ORDER['width']}x{ORDER['height']}", "sound": None}
    return session.model_copy(update={**options, "scene_descriptions": scenes})


def tell(event: str, **facts: object) -> None:
    """Report an event to the driver."""
    print(json.dumps({"event": event, "at": time.time(), **facts}), flush=True)


def clip_path(number: int) -> Path:
    """Return the path of a clip."""
    return FOLDER / f"clip-{number}.mp4"


def uuid_for(*words: object) -> str:
    """Return a taskUUID that is derived from the words: an idempotency key."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return str(UUID(bytes=digest[:16], version=4))


def submission(uuid: str) -> list[dict[str, Any]]:
    """Return the message that orders a clip."""
    delivery = {"deliveryMethod": "async", "outputType": "URL", "outputFormat": "MP4", "numberResults": 1}
    return [{**ORDER, **delivery, "taskUUID": uuid}]


def question(uuid: str) -> list[dict[str, Any]]:
    """Return the message that polls a clip."""
    return [{"taskType": "getResponse", "taskUUID": uuid}]


def check_submitted(answer: httpx.Response) -> None:
    """Raise unless Runware has accepted an order, now or earlier with the same UUID."""
    errors = answer.json().get("errors", [])
    if not any(error.get("code") == "conflictTaskUUID" for error in errors):
        answer.raise_for_status()


def url_in(answer: httpx.Response) -> str | None:
    """Return the URL of a clip, or None while it is rendered."""
    answer.raise_for_status()
    return next((item["videoURL"] for item in answer.json().get("data", []) if item.get("videoURL")), None)

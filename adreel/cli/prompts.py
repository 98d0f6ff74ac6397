"""The command that shows requests without buying."""

import json
from collections.abc import Sequence
from pathlib import Path

from adreel import PlannedScene
from adreel.cli.display import print_json, print_line, show_warnings
from adreel.errors import InputError, NotFound
from adreel.flows import in_process
from adreel.flows.running import open_records
from adreel.models.parts import Part, shown_name
from adreel.models.sessions import Session, read_session
from adreel.models.takes import VoiceRequest


def show_prompts(
    source: str, scenes: Sequence[Part] | None, *, voice: bool | None, music: bool | None, as_json: bool
) -> None:
    """Print the request of each part of a session file or a stored session."""
    planned = in_process.plan(open_session(source), scenes or None, voice=voice, music=music)
    if as_json:
        print_json([{"scenario": each.scenario, "request": each.task, "warnings": each.warnings} for each in planned])
        return
    for each in planned:
        _show_request(each)
    show_warnings((shown_name(each.scenario), each.warnings) for each in planned)


def open_session(source: str) -> Session:
    """Read a session file, or a stored session by its id."""
    path = Path(source)
    if path.suffix or len(path.parts) > 1 or path.exists():
        return read_session(path)
    records = open_records()
    try:
        return records.session(source)
    except NotFound:
        raise InputError(f"{source!r} is neither a session file nor a session in {records.place}") from None


def _show_request(planned: PlannedScene) -> None:
    request = planned.request
    shape = f"{request.width}x{request.height}" if request.width else request.resolution
    default = "the image's size" if request.first_frame or request.last_frame else "the model's own size"
    seconds = "the model's own length" if request.duration is None else f"{request.duration:g} s"
    sound = {None: "sound as the model makes it", True: "with sound", False: "without sound"}[request.sound]
    facts = {
        "clip": [shape or default, seconds, sound],
        "voice": [request.voice or "the model's own voice"] if isinstance(request, VoiceRequest) else [],
        "music": [seconds],
        "still": [shape or default],
    }[request.kind]
    print_line(f"{shown_name(planned.scenario)}: {', '.join([planned.model, *facts])}")
    further = {"negative_prompt": request.negative_prompt, "seed": request.seed, **request.parameters}
    for name, value in {**planned.images, **further}.items():
        if value is not None:
            print_line(f"  {name}: {value if isinstance(value, str) else json.dumps(value)}")
    words = request.text if isinstance(request, VoiceRequest) else request.prompt
    print_line("\n".join(f"    {line}" for line in words.splitlines()))

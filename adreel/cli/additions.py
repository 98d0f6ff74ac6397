"""The work of the commands `narrate` and `stills`."""

from collections.abc import Mapping, Sequence
from typing import Any

from adreel.cli.display import print_json, print_line
from adreel.cli.jobs import make_observer, show_made
from adreel.cli.progress import JobProgress
from adreel.cli.prompts import open_session
from adreel.flows import in_process
from adreel.models.api import State
from adreel.models.parts import shown_name
from adreel.models.scenarios import Scenario


def narrate(
    source: str,
    scenes: Sequence[Scenario] | None,
    *,
    music: bool,
    again: bool,
    cut: bool,
    limits: Mapping[str, Any],
    as_json: bool,
    verbose: bool,
) -> int:
    """Buy the missing and changed narrations of a session, and the music; returns the exit code."""
    observer = make_observer(JobProgress, as_json=as_json, verbose=verbose)
    session = open_session(source)
    view = in_process.narrate(session, scenes, music=music, again=again, cut=cut, observer=observer, **limits)
    if view is None:
        return _say_unchanged(session.session_id, "every narration", as_json=as_json)
    return show_made(view, cut=cut, as_json=as_json)


def stills(
    source: str,
    scenes: Sequence[Scenario] | None,
    *,
    again: bool,
    limits: Mapping[str, Any],
    as_json: bool,
    verbose: bool,
) -> int:
    """Buy the missing and changed stills of a session; returns the exit code."""
    observer = make_observer(JobProgress, as_json=as_json, verbose=verbose)
    session = open_session(source)
    view = in_process.stills(session, scenes, again=again, observer=observer, **limits)
    if view is None:
        return _say_unchanged(session.session_id, "every still", as_json=as_json)
    code = show_made(view, cut=False, as_json=as_json)
    bought = [scene for scene in view.scenes if scene.status == State.COMPLETED]
    if bought and not as_json:
        print_line("start a clip from one of them:")
        for scene in bought:
            print_line(f"  adreel use {session.session_id} {shown_name(scene.scenario)} {scene.take}")
    return code


def _say_unchanged(session_id: str, what: str, *, as_json: bool) -> int:
    if as_json:
        print_json(None)
    else:
        print_line(f"{what} of {session_id} is bought already: --again buys another take")
    return 0

"""The command that makes many ads: here, with its progress and rate, or in slices by the workers of a server."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adreel.campaigns import campaign_name, check_sessions, left_out
from adreel.cli.display import print_json, print_line
from adreel.cli.generate import run_flow
from adreel.cli.progress import looking
from adreel.environment.paths import local_path
from adreel.environment.proxies import unify_proxies
from adreel.errors import AdreelError
from adreel.settings import Settings

if TYPE_CHECKING:
    from adreel.orchestration.runs import Slice

SHOW_SECONDS = 5.0


def run_campaign(source: str, name: str, *, window: int, again: bool, as_json: bool, verbose: bool) -> int:
    """Make the ads of a campaign in this process; returns the exit code."""
    unify_proxies()
    settings = Settings.load()
    _check(settings, source)

    def watch(run_id: str) -> AbstractContextManager[None]:
        return nullcontext() if as_json else _watching(run_id)

    parameters = {"source": source, "campaign": campaign_name(source, name), "window": window, "again": again}
    state = run_flow("generate_campaign", parameters, settings, watch, as_json=as_json, verbose=verbose)
    if isinstance(state.data, AdreelError):
        raise state.data
    if as_json:
        totals = state.result(raise_on_failure=False) if state.is_completed() else None
        print_json({"state": state.name, "totals": totals, "message": state.message})
    elif not state.is_completed():
        print_line(state.message or "the campaign failed")
    return 0 if state.is_completed() else 1


def hand_out(source: str, name: str, *, window: int, again: bool, parts: int, as_json: bool) -> None:
    """Start a run for each slice of a campaign, but for those that are under way."""
    from adreel.orchestration.errors import prefect_errors

    unify_proxies()
    with prefect_errors():
        from adreel.orchestration.runs import start_slices

    settings = Settings.load()
    count = _check(settings, source)
    path = local_path(source)
    where = source if path is None else str(Path(path).absolute())
    parameters: dict[str, Any] = {
        "source": where,
        "campaign": campaign_name(source, name),
        "window": window,
        "again": again,
    }
    slices: list[Slice] = start_slices(parameters, parts)
    if as_json:
        print_json(slices)
        return
    for each in slices:
        print_line(f"part {each.part} of {parts}: run {each.run_id} {'started' if each.is_new else 'is under way'}")
    print_line(
        f"{count} ads. The same command again starts the slices that have ended, and they go on where they stopped."
    )


def _check(settings: Settings, source: str) -> int:
    count = check_sessions(settings, source)
    if others := left_out(settings, source):
        print_line(f"adreel: not read, for these are no session files of {source}: {others}", err=True)
    return count


@contextmanager
def _watching(run_id: str) -> Iterator[None]:
    from adreel.flows.generate_campaign import tallies

    began, said = time.monotonic(), ""

    def look() -> None:
        nonlocal said
        if tally := tallies.get(run_id):
            rate = tally.done / max(time.monotonic() - began, 1) * 60
            line = str(tally)
            if line != said:
                print_line(f"{line}, {rate:.1f} ads a minute")
                said = line

    with looking(look, SHOW_SECONDS):
        yield

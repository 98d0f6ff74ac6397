"""The commands that buy or make cuts: they call the Python API, and show progress and results."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from adreel.campaigns import STORED, campaign_name, check_sessions, ignored_files
from adreel.campaigns.prices import check_campaign_cost, count_affordable, unstarted_costs
from adreel.cli.display import print_json, print_line, rerun_of, show_cut, show_errors, show_job, show_next_steps
from adreel.cli.options import hide_prefect_logs
from adreel.cli.progress import CampaignProgress, CutProgress, JobProgress
from adreel.cli.prompts import open_session
from adreel.errors import AdreelError
from adreel.flows import in_process
from adreel.flows.running import Observer, open_records, run_flow
from adreel.models.api import State
from adreel.models.cut_settings import Format
from adreel.models.parts import Part
from adreel.models.sessions import ID_PATTERN, read_session
from adreel.models.spend import OVER_BUDGET, to_micros
from adreel.purchase.balance import warn_of_balance
from adreel.records.views import JobView
from adreel.settings import Settings
from adreel.settings.paths import local_path
from adreel.settings.proxies import unify_proxies


def use_catalog(*, is_unchecked: bool) -> None:
    """Let this process, and the flow in it, send requests that the catalogue advises against."""
    if is_unchecked:
        os.environ["ADREEL_CATALOG"] = "unchecked"


def generate(
    source: str,
    scenes: Sequence[Part] | None,
    *,
    options: Mapping[str, Any],
    as_json: bool,
    verbose: bool,
) -> int:
    """Buy the parts of a session file or a stored session, and make the finished ad; returns the exit code."""
    observer = make_observer(JobProgress, as_json=as_json, verbose=verbose)
    view = in_process.generate(open_session(source), scenes or None, observer=observer, **options)
    return show_made(view, cut=options["cut"], as_json=as_json)


def show_made(view: JobView, *, cut: bool, as_json: bool) -> int:
    """Show a job and the finished ad that it has made; returns the exit code."""
    # Without a cut, the newest one is that of earlier clips.
    made = next((each for each in in_process.cuts(view.session_id)[:1] if cut and each.state == "current"), None)
    if as_json:
        print_json({**vars(view), "cut": made})
        return 0 if view.overall_status == State.COMPLETED else 1
    code = _show(view, as_json)
    if made:
        show_cut(made)
        storage = open_records().storage
        print_line("\n".join(storage.location(each.file) for each in made.files))
    return code


def cut(
    name: str,
    formats: list[Format],
    *,
    preset: str | None,
    captions: bool,
    allow_missing: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Make the finished ad of a stored session, or of the `cut` block of a session file."""
    observer = make_observer(CutProgress, as_json=as_json, verbose=verbose)
    session = name if re.fullmatch(ID_PATTERN, name) else read_session(Path(name))
    view = in_process.make_cut(
        session, formats, preset=preset, captions=captions, allow_missing=allow_missing, observer=observer
    )
    if as_json:
        print_json(view)
    else:
        show_cut(view)


def regenerate(
    session_id: str,
    part: Part,
    changes: dict[str, Any],
    *,
    limits: Mapping[str, Any],
    as_json: bool,
    verbose: bool,
) -> int:
    """Buy a new take of one part; returns the exit code."""
    observer = make_observer(JobProgress, as_json=as_json, verbose=verbose)
    return _show(in_process.regenerate(session_id, part, observer=observer, **limits, **changes), as_json)


def resume(target: str, *, limits: Mapping[str, float | None], as_json: bool, verbose: bool) -> int:
    """Resume open jobs; returns the exit code."""
    observer = make_observer(JobProgress, as_json=as_json, verbose=verbose)
    resumed = in_process.resume(target, observer=observer, **limits)
    for job in resumed.busy:
        print_line(f"job {job.job_id} is left to run {job.run_id}, which works on it", err=True)
    if as_json:
        print_json(resumed.jobs)
    for view in resumed.jobs if not as_json else []:
        show_job(view)
        show_next_steps(view)
    if not (resumed.jobs or resumed.busy or as_json):
        print_line("nothing is open: there is nothing to resume")
    code = show_errors(resumed.unreadable)
    return code if all(view.overall_status == State.COMPLETED for view in resumed.jobs) else 1


def make_observer(progress: type[Observer], *, as_json: bool, verbose: bool) -> Observer:
    """Return what a command shows while it runs."""
    if not verbose:
        hide_prefect_logs()
    return Observer() if as_json else progress()


def _show(view: JobView, as_json: bool) -> int:
    is_completed = view.overall_status == State.COMPLETED
    if as_json:
        print_json(view)
    else:
        show_job(view)
        if is_completed:
            print_line(rerun_of(view.session_id, view.scenes[0].scenario))
        show_next_steps(view)
    return 0 if is_completed else 1


def campaign(
    source: str,
    name: str,
    *,
    window: int,
    again: bool,
    cut: bool,
    limits: Mapping[str, Any],
    as_json: bool,
    verbose: bool,
) -> int:
    """Generate the ads of a campaign in this process; returns the exit code."""
    settings, _ = _read_campaign(source, name, limits)
    parameters = {"source": source, "campaign": campaign_name(source, name), "window": window, "again": again}
    parameters |= {"cut": cut}
    if (clip_price := limits["clip_price"]) is not None:
        parameters["clip_price"] = clip_price
    observer = make_observer(CampaignProgress, as_json=as_json, verbose=verbose)
    _, state = run_flow("generate_campaign", parameters, settings, observer)
    if isinstance(state.data, AdreelError):
        raise state.data
    if as_json:
        totals = state.result(raise_on_failure=False) if state.is_completed() else None
        print_json({"state": state.name, "totals": totals, "message": state.message})
    elif not state.is_completed() or state.name == OVER_BUDGET:
        print_line(state.message or "the campaign failed")
    return 3 if state.name == OVER_BUDGET else 0 if state.is_completed() else 1


def start_campaign(
    source: str,
    name: str,
    *,
    window: int,
    again: bool,
    cut: bool,
    parts: int,
    limits: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Start a run for each part of a campaign that has no active run, for the workers of a Prefect server."""
    from adreel.orchestration.errors import prefect_errors

    _, ads = _read_campaign(source, name, limits)
    with prefect_errors():
        from adreel.orchestration.runs import start_slices
    path = None if source.startswith(STORED) else local_path(source)
    place = source if path is None else str(Path(path).absolute())
    parameters = {"source": place, "campaign": campaign_name(source, name), "window": window, "again": again}
    parameters |= {"cut": cut}
    if (clip_price := limits["clip_price"]) is not None:
        parameters["clip_price"] = clip_price
    slices = start_slices(parameters, parts)
    if as_json:
        print_json(slices)
        return
    for each in slices:
        print_line(f"part {each.part} of {parts}: run {each.run_id} {'started' if each.is_new else 'is active'}")
    print_line(f"{ads} ads. The same command again starts the parts that have ended. They continue where they stopped.")


def _read_campaign(source: str, name: str, limits: Mapping[str, float | None]) -> tuple[Settings, int]:
    unify_proxies()
    settings = Settings.load()
    if (max_cost := limits["max_cost"]) is not None:
        check_campaign_cost(settings, source, max_cost, limits["clip_price"])
    warnings = Counter[str]()
    ads = check_sessions(settings, source, warnings=warnings)
    for message, scenes in warnings.items():
        print_line(f"warning: {scenes} scenes: {message}", err=True)
    if others := ignored_files(settings, source):
        print_line(f"adreel: skipped, because they are not session files of {source}: {others}", err=True)
    records, clip_price = open_records(settings), limits["clip_price"]
    if affordable := count_affordable(settings, records, source, campaign_name(source, name), clip_price=clip_price):
        print_line(str(affordable), err=True)
    costs = partial(unstarted_costs, settings, records, source, campaign_name(source, name), clip_price=clip_price)
    warn_of_balance(
        settings,
        lambda: sum(to_micros(cost or 0) for cost in costs()),
        lambda warning: print_line(f"warning: {warning}", err=True),
    )
    return settings, ads

"""The Python API: runs jobs in this process and reads what is stored. The command line calls the same functions.

The settings come from the environment and `.env`. Functions that run a flow use the Prefect server at PREFECT_API_URL,
else an embedded one.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from adreel.catalog.stored import load_catalog
from adreel.cut.acceptance import Verdict, judge, judge_length, measure_film
from adreel.cut.delivery import MANIFEST, open_destination, parse_presets, plan_delivery
from adreel.cut.delivery import deliver as deliver_cuts
from adreel.cut.plan import FileFacts
from adreel.cut.planning import Planned, glyph_warnings, plan_cut
from adreel.cut.signing import find_signer
from adreel.errors import AdreelError, InputError, NotFound
from adreel.flows.running import Observer, error_of, open_records, run_flow
from adreel.models.api import SessionSummary
from adreel.models.cut_settings import CutOptions, Format
from adreel.models.cuts import CUT_FAILED, Cut, CutView
from adreel.models.deliveries import Manifest
from adreel.models.field_errors import describe
from adreel.models.parts import STILLS, Part, find_part, scenario_of
from adreel.models.placements import find_placement
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session, Voice, parse_changes, parse_session
from adreel.models.takes import Job, PartRequest, Take, TaskRequest
from adreel.orchestration.errors import without_prefix
from adreel.orchestration.liveness import jobs_with_live_run
from adreel.purchase.balance import sum_prices, warn_of_balance
from adreel.purchase.jobs import ALL, open_scenes
from adreel.purchase.max_cost import check_max_cost
from adreel.purchase.planning import PlannedScene, ScenePrice, plan_requests, planned_scene, price_scenes
from adreel.records import Records
from adreel.records.choosing import choose_take as choose_stored_take
from adreel.records.cut_inputs import check_files_of_cut, copy_files_of_cut
from adreel.records.inputs import copy_input, copy_inputs, read_images
from adreel.records.views import JobView, cut_view, cut_views, job_view, session_view, warning_lines
from adreel.service.orders import changed_parts, store_for_generation, with_additions
from adreel.settings import Settings

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Resumed:
    """Result of `resume`: the resumed jobs, the jobs left to a live run, and errors of unreadable records."""

    jobs: list[JobView]
    busy: list[Job]
    unreadable: list[AdreelError]


def plan(
    session: Session | str,
    scenarios: Iterable[Part | str] | None = None,
    *,
    voice: bool | None = None,
    music: bool | None = None,
) -> list[PlannedScene]:
    """Return what `generate` would send for each part, by default for those of all described scenes.

    Nothing is bought or written. Raises InputError if a part can't be bought as described.
    """
    settings = Settings.load()
    records = open_records(settings)
    requests = _requests(_session(session, records), scenarios, settings, records, voice=voice, music=music)
    catalog = load_catalog(records.storage)
    return [planned_scene(scenario, request, catalog) for scenario, request in requests.items()]


def price(
    session: Session | str,
    scenarios: Iterable[Part | str] | None = None,
    *,
    voice: bool | None = None,
    music: bool | None = None,
    clip_price: float | None = None,
) -> list[ScenePrice]:
    """Return what `generate` would cost for each part, by default for those of all described scenes, in USD.

    A price is the highest bill of such clips, else that of the catalogue, else `clip_price`, else None for unknown.
    Nothing is bought or written. Raises InputError if a part can't be bought as described.
    """
    _usd_limits(None, clip_price)
    settings = Settings.load()
    records = open_records(settings)
    requests = _requests(_session(session, records), scenarios, settings, records, voice=voice, music=music)
    return price_scenes(requests, settings, records.storage, clip_price)


def generate(
    session: Session | str,
    scenarios: Iterable[Part | str] | None = None,
    *,
    again: bool = False,
    voice: bool | None = None,
    music: bool | None = None,
    cut: bool = True,
    max_cost: float | None = None,
    clip_price: float | None = None,
    observer: Observer | None = None,
) -> JobView:
    """Buy one clip for each scene of a session, and return the job once it has ended.

    `voice` and `music` say whether the narration and the music are bought too; by default if the session has the
    block. A missing block is added to the session with its defaults.

    With `cut`, the finished ad is made as soon as all four scenes have clips; `cuts` returns it.

    A Session is stored first, in place of an earlier version; a string is the id of a stored session. `scenarios`
    selects some of its parts: `hook` is a clip, `voice:hook` its narration, `still:hook` its still. A failed part
    raises nothing: its `status` is failed and its `error` has the reason.

    `max_cost` is the most USD that the job may spend, retries included. `clip_price` is the USD of a clip whose price
    is unknown.

    Raises InputError, before anything is bought, if a scene is invalid, or has takes already without `again`.
    Raises OverBudget, before anything is sent, if the clips would cost more than `max_cost` or a budget has left.
    Raises PrefectUnreachable or StorageError if the job can't be recorded.
    """
    settings = Settings.load()
    records = open_records(settings)
    chosen = [find_part(scenario) for scenario in scenarios] if scenarios is not None else None
    session, chosen = with_additions(_session(session, records), chosen, voice=voice, music=music)
    if cut and settings.cut:
        find_signer(settings)  # A wrong certificate is told before anything is bought.
    limits = _usd_limits(max_cost, clip_price)
    parts = session.choose(chosen)
    check_max_cost(session, parts, settings, records.storage, max_cost=max_cost, clip_price=clip_price)
    override_hint = None if again else "--again (again=True in Python)"
    requests = store_for_generation(records, settings, session, chosen, override_hint=override_hint)
    _tell_warnings(observer, requests, settings, records)
    for warning in glyph_warnings(session) if cut and settings.cut else ():
        (observer or Observer()).message(f"warning: {warning}")
    parameters = {"session_id": session.session_id, "scenarios": list(requests), "cut": cut, **limits}
    return _run_job("generate_ad", parameters, settings, records, observer)


def narrate(
    session: Session | str,
    scenarios: Iterable[Scenario] | None = None,
    *,
    music: bool = False,
    again: bool = False,
    cut: bool = True,
    max_cost: float | None = None,
    clip_price: float | None = None,
    observer: Observer | None = None,
) -> JobView | None:
    """Buy the narrations of a session, and the music, and return the job once it has ended.

    A missing block `voice` is added to the session with its defaults, with `music` also a missing block `music`.
    What is bought already with the same words and voice is left out, unless `again`. Returns None if nothing is left.
    The other parameters are those of `generate`.

    Raises InputError if no scene has words for a narrator, and the errors of `generate`.
    """
    session = _session(session, open_records())
    session = session.model_copy(update={"voice": session.voice or Voice()})
    session, parts = with_additions(session, [], voice=None, music=music or None)
    wanted = set(scenarios) if scenarios else set(Scenario)
    parts = [*(part for part in session.narrations if scenario_of(part) in wanted), *(parts or [])]
    if not parts:
        raise InputError("no scene has words for a narrator: give dialog_narration in a scene description")
    limits = _usd_limits(max_cost, clip_price)
    return _buy_changed(session, parts, again=again, cut=cut, limits=limits, observer=observer)


def stills(
    session: Session | str,
    scenarios: Iterable[Scenario] | None = None,
    *,
    again: bool = False,
    max_cost: float | None = None,
    clip_price: float | None = None,
    observer: Observer | None = None,
) -> JobView | None:
    """Buy a still of each scene of a session, and return the job once it has ended.

    What is bought already by the same description is left out, unless `again`. Returns None if nothing is left. The
    other parameters are those of `generate`.

    Raises the errors of `generate`.
    """
    session = _session(session, open_records())
    parts = [STILLS[scenario] for scenario in scenarios or session.scenarios]
    limits = _usd_limits(max_cost, clip_price)
    return _buy_changed(session, parts, again=again, cut=False, limits=limits, observer=observer)


def _buy_changed(
    session: Session,
    parts: Sequence[Part],
    *,
    again: bool,
    cut: bool,
    limits: dict[str, Any],
    observer: Observer | None,
) -> JobView | None:
    settings = Settings.load()
    records = open_records(settings)
    chosen = session.choose(parts)
    # Copies have the names of stored images, by which requests are compared.
    session = copy_inputs(records.storage, session, chosen)
    if not again:
        chosen = changed_parts(records, settings, session, chosen)
    if not chosen:
        return None
    check_max_cost(session, chosen, settings, records.storage, **limits)
    requests = store_for_generation(records, settings, session, chosen, override_hint=None)
    _tell_warnings(observer, requests, settings, records)
    parameters = {"session_id": session.session_id, "scenarios": chosen, "cut": cut, **limits}
    return _run_job("generate_ad", parameters, settings, records, observer)


def regenerate(
    session_id: str,
    scenario: Part | str,
    *,
    max_cost: float | None = None,
    clip_price: float | None = None,
    observer: Observer | None = None,
    **changes: Any,
) -> JobView:
    """Buy a new take of one scene, and return the job once it has ended. Earlier takes are kept.

    `changes` are fields of SceneChanges, for this take only. Relative paths of images start at the current folder.
    `max_cost` and `clip_price` are as for `generate`.

    Raises InputError, before anything is bought, if the session, the scene or a change is invalid.
    Raises OverBudget, before anything is sent, if the clip would cost more than `max_cost` or a budget has left.
    Raises PrefectUnreachable or StorageError if the job can't be recorded.
    """
    settings = Settings.load()
    records = open_records(settings)
    session, part = records.session(session_id), find_part(scenario)
    wanted = parse_changes(changes)
    parts = session.choose([part])
    requests = plan_requests(session, parts, settings, records.storage, wanted)
    limits = _usd_limits(max_cost, clip_price)
    check_max_cost(
        session, parts, settings, records.storage, wanted, max_cost=max_cost, clip_price=clip_price, takes_model=True
    )
    # Parameters of a run can come from elsewhere, so they must not name local files.
    images = read_images(wanted.named_images())
    copies = {file: copy_input(records.storage, session_id, image) for file, image in images.items()}
    wanted = wanted.with_images(copies)
    _tell_warnings(observer, requests, settings, records)
    parameters = {"session_id": session_id, "scenario": part, "changes": wanted, **limits}
    return _run_job("regenerate_scene", parameters, settings, records, observer)


def make_cut(
    session: Session | str,
    formats: Iterable[Format] = (),
    *,
    preset: str | None = None,
    captions: bool = True,
    allow_missing: bool = False,
    observer: Observer | None = None,
) -> CutView:
    """Make the finished ad of a session's current clips, and return it. An unchanged ad is not made again.

    A string is the id of a stored session. The `cut` block of a Session replaces that of the stored one. `formats`
    replace the session's formats, and `preset` names a placement such as tiktok.

    Raises InputError before any work if a scene has no clip (unless `allow_missing`), or if a setting or a file is
    unusable, and CutFailed if the file can't be rendered.
    """
    settings = Settings.load()
    records = open_records(settings)
    try:
        options = CutOptions(formats=tuple(formats), preset=preset, captions=captions, allow_missing=allow_missing)
    except ValidationError as error:
        raise InputError(describe(error)) from None
    if isinstance(session, Session):
        stored = records.session(session.session_id)
        check_files_of_cut(session.cut)
        session = stored.model_copy(update={"cut": copy_files_of_cut(records.storage, session).cut})
        planned = plan_cut(records, session, options, find_signer(settings))
        if session.cut != stored.cut:
            changed = {"cut": session.cut}
            records.update_session(session.session_id, lambda stored: stored.model_copy(update=changed))
    else:
        planned = plan_cut(records, session, options, find_signer(settings))
    if preset and (reason := judge_length(find_placement(preset), planned.seconds)):
        (observer or Observer()).message(f"warning: {reason}")
    if planned.made:
        (observer or Observer()).message(f"unchanged: {planned.recipe.cut_id} is the cut of these clips and settings")
    return cut_view(_make_planned(records, planned, settings, observer), is_stale=False)


def deliver(
    session_id: str,
    presets: Iterable[str],
    to: str | Path,
    *,
    formats: Iterable[Format] = (),
    captions: bool = True,
    allow_missing: bool = False,
    observer: Observer | None = None,
) -> Manifest:
    """Copy the finished ad for each preset to a folder or any fsspec URL, and return the manifest that is written last.

    An ad that does not exist yet is made as `make_cut` does. Files that are there already with the same content stay.

    Raises InputError, before anything is copied, if an ad can't be made, if a placement would refuse a file, or if
    another file has its name, and StorageError if a copy fails: no manifest is there then.
    """
    settings = Settings.load()
    records = open_records(settings)
    placements = parse_presets(presets)
    destination = open_destination(settings, str(to))
    planned = plan_delivery(
        records,
        session_id,
        placements,
        formats=tuple(formats),
        captions=captions,
        allow_missing=allow_missing,
        signer=find_signer(settings),
    )
    made = []
    for placement, each in planned:
        if each.made is None:
            (observer or Observer()).message(f"Making the ad for {placement.name} ...")
        made.append((placement, _make_planned(records, each, settings, observer)))
    return asyncio.run(deliver_cuts(records, made, destination))


def manifest_location(to: str | Path) -> str:
    """Return the path or URL of the manifest of a delivery."""
    return open_destination(Settings.load(), str(to)).location(MANIFEST)


def check_film(file: Path, presets: Iterable[str]) -> tuple[FileFacts, dict[str, Verdict]]:
    """Return the facts of a film, and what each placement would refuse in it and advises against.

    Raises InputError for an unknown preset or an unreadable film.
    """
    placements = parse_presets(presets)
    facts = asyncio.run(measure_film(file))
    return facts, {placement.name: judge(placement, facts) for placement in placements}


def _make_planned(records: Records, planned: Planned, settings: Settings, observer: Observer | None) -> Cut:
    """Return the cut of a plan, made by a run unless it is there."""
    session_id, cut_id = planned.recipe.session_id, planned.recipe.cut_id
    if planned.made:
        return planned.made
    parameters = {"session_id": session_id, **planned.recipe.options.model_dump(exclude_defaults=True)}
    _, state = run_flow("cut_ad", parameters, settings, observer, buys=False)
    made = records.cut(session_id, cut_id)
    if made is None:
        raise error_of(state) or AdreelError(without_prefix(state.message or "the run failed"))
    return made


def cuts(session_id: str) -> list[CutView]:
    """Return the finished ads of a session, the newest first, each with its files and whether it is stale.

    Raises NotFound for an unknown session, and StorageError for an unreadable record.
    """
    return cut_views(open_records(), session_id)


def resume(
    target: str = ALL,
    *,
    max_cost: float | None = None,
    clip_price: float | None = None,
    observer: Observer | None = None,
) -> Resumed:
    """Resume one job, the open jobs of a session, or all: download the accepted clips, buy the others.

    Jobs of a live run are left to it. `max_cost` replaces the limit of each job, `clip_price` is as for `generate`.

    Raises NotFound if there is neither a job nor a session of that name, and PrefectUnreachable or StorageError if
    the run fails as a whole.
    """
    settings = Settings.load()
    records = open_records(settings)
    limits = _usd_limits(max_cost, clip_price)
    unreadable: list[AdreelError] = []
    found = [job for job, _ in open_scenes(records, settings, target, unreadable)]
    busy = {job.job_id: job for job in jobs_with_live_run(records, found)}
    resumed = [job.job_id for job in found if job.job_id not in busy]
    if resumed:
        _, state = run_flow("resume", {"target": target, **limits}, settings, observer, resumed)
        if error := error_of(state):
            raise error
        # Another run may have started to work on them before this one did.
        latest = [job for job_id in resumed if (job := records.job(job_id))]
        busy |= {job.job_id: job for job in jobs_with_live_run(records, latest)}
    jobs = [job_view(records, job_id) for job_id in resumed if job_id not in busy]
    return Resumed(jobs, list(busy.values()), unreadable)


def status(name: str) -> JobView | SessionSummary:
    """Return a job by its id, else a session, with its scenes, states and costs.

    Raises NotFound if there is neither, and StorageError for an unreadable record.
    """
    records = open_records()
    if records.job(name) is not None:
        return job_view(records, name)
    try:
        return session_view(records, name)
    except NotFound:
        raise NotFound(f"{name!r} is neither a job nor a session in {records.place}") from None


def takes(session_id: str, scenario: Part | str | None = None) -> list[Take]:
    """Return the takes of a session or of one part, by part and from old to new.

    Raises NotFound for an unknown session, and StorageError for an unreadable record.
    """
    records = open_records()
    records.session(session_id)
    if scenario:
        return records.takes(session_id, find_part(scenario))
    return [take for takes in records.takes_by_part(session_id).values() for take in takes]


def choose_take(session_id: str, scenario: Part | str, take: str) -> Take:
    """Make an older take the current one of its part, by its `short_id` or its `job_id`.

    Raises NotFound if no stored take has that name.
    """
    return choose_stored_take(open_records(), session_id, find_part(scenario), take)


def _run_job(
    flow: str, parameters: dict[str, Any], settings: Settings, records: Records, observer: Observer | None
) -> JobView:
    job_id, state = run_flow(flow, parameters, settings, observer)
    if state.name == CUT_FAILED and observer:
        observer.message(state.message or "")
    if records.job(job_id) is None:
        raise error_of(state) or AdreelError(state.message or "the run failed")
    return job_view(records, job_id)


def _requests(
    session: Session,
    scenarios: Iterable[Part | str] | None,
    settings: Settings,
    records: Records,
    *,
    voice: bool | None,
    music: bool | None,
) -> dict[Part, PartRequest]:
    """Return the requests of the named parts, by default of all that a session describes."""
    named = [find_part(each) for each in scenarios] if scenarios else session.parts
    session, parts = with_additions(session, named, voice=voice, music=music)
    return plan_requests(session, session.choose(parts), settings, records.storage)


def _usd_limits(max_cost: float | None, clip_price: float | None) -> dict[str, float]:
    """Return the parameters of a run that limit its spend."""
    given = {"max_cost": max_cost, "clip_price": clip_price}
    for name, usd in given.items():
        if usd is not None and not 0 <= usd < float("inf"):
            raise InputError(f"{name} is {usd}: it is an amount of USD from 0 on")
    if max_cost == 0:
        raise InputError("max_cost is 0: leave it out for no limit")
    return {name: usd for name, usd in given.items() if usd is not None}


def _tell_warnings(
    observer: Observer | None, requests: Mapping[Part, TaskRequest], settings: Settings, records: Records
) -> None:
    def tell(line: str) -> None:
        (observer or Observer()).message(f"warning: {line}")

    for line in warning_lines((scenario, request.warnings) for scenario, request in requests.items()):
        tell(line)
    warn_of_balance(settings, lambda: sum_prices(requests.values(), records.storage), tell)


def _session(session: Session | str, records: Records) -> Session:
    if isinstance(session, str):
        return records.session(session)
    if type(session) is Session:
        # The model accepts unknown fields for the sake of stored sessions. In a new session they are mistakes.
        return parse_session(session.model_dump(), folder=Path.cwd())
    return session

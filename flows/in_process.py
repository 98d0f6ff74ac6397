"""The Python API: runs jobs in this process and reads what is stored. The command line calls the same functions.

The settings come from the environment and `.env`. Prefect takes seconds to import, so only functions that run a flow
import it. They use the Prefect server at PREFECT_API_URL, else an embedded one.
"""

import asyncio
import os
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from importlib import import_module
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
from adreel.models.api import SessionSummary
from adreel.models.cut_settings import CutOptions, Format
from adreel.models.cuts import CUT_FAILED, Cut, CutView
from adreel.models.deliveries import Manifest
from adreel.models.field_errors import describe
from adreel.models.placements import find_placement
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session, parse_changes, parse_session
from adreel.models.takes import ClipRequest, Job, Take
from adreel.orchestration.embedded_server import (
    begin_embedded_server,
    ending_on_sigterm,
    is_embedded,
    start_embedded_server,
)
from adreel.orchestration.errors import prefect_errors, without_prefix
from adreel.orchestration.imports import without_collections
from adreel.orchestration.liveness import jobs_with_live_run
from adreel.purchase.balance import sum_prices, warn_of_balance
from adreel.purchase.jobs import ALL, open_scenes
from adreel.purchase.max_cost import check_max_cost
from adreel.purchase.planning import PlannedScene, ScenePrice, plan_requests, planned_scene, price_scenes
from adreel.purchase.request import clip_request
from adreel.records import Records
from adreel.records.cut_inputs import check_files_of_cut, copy_files_of_cut
from adreel.records.inputs import copy_input, read_images
from adreel.records.views import JobView, cut_view, cut_views, job_view, session_view, warning_lines
from adreel.records.views import choose_take as choose_stored_take
from adreel.service import store_for_generation
from adreel.settings import Settings
from adreel.settings.prefect_server import may_name_server
from adreel.settings.proxies import unify_proxies

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


class Observer:
    """Receives messages and follows the jobs of a call. Override its methods to show progress."""

    def message(self, text: str) -> None:
        """Receive a message for people: who renders the clips, that Prefect starts, and warnings of the requests."""

    def starting(self, what: str) -> AbstractContextManager[None]:
        """Return a context manager that is entered while something starts that takes seconds."""
        self.message(f"Starting {what} ...")
        return nullcontext()

    def watching(self, job_ids: list[str]) -> AbstractContextManager[None]:
        """Return a context manager that is entered while the jobs run."""
        return nullcontext()


@dataclass(frozen=True)
class Resumed:
    """Result of `resume`: the resumed jobs, the jobs left to a live run, and errors of unreadable records."""

    jobs: list[JobView]
    busy: list[Job]
    unreadable: list[AdreelError]


def open_records(settings: Settings | None = None) -> Records:
    """Open the records in the storage of the settings, by default those of the environment.

    Raises InputError for a wrong setting and StorageError for an unusable storage.
    """
    return Records.of(settings or Settings.load())


def plan(session: Session | str, scenarios: Iterable[Scenario | str] | None = None) -> list[PlannedScene]:
    """Return what `generate` would send for each scene, by default for all described ones.

    Nothing is bought or written. Raises InputError if a scene can't be bought as described.
    """
    settings = Settings.load()
    records = open_records(settings)
    session = _session(session, records)
    chosen = session.choose([_scenario(scenario) for scenario in scenarios]) if scenarios else session.scenarios
    requests = plan_requests(session, chosen, settings, records.storage)
    catalog = load_catalog(records.storage)
    return [planned_scene(scenario, request, catalog) for scenario, request in requests.items()]


def price(
    session: Session | str,
    scenarios: Iterable[Scenario | str] | None = None,
    *,
    clip_price: float | None = None,
) -> list[ScenePrice]:
    """Return what `generate` would cost for each scene, by default for all described ones, in USD.

    A price is the highest bill of such clips, else that of the catalogue, else `clip_price`, else None for unknown.
    Nothing is bought or written. Raises InputError if a scene can't be bought as described.
    """
    _usd_limits(None, clip_price)
    settings = Settings.load()
    records = open_records(settings)
    session = _session(session, records)
    chosen = session.choose([_scenario(scenario) for scenario in scenarios]) if scenarios else session.scenarios
    requests = plan_requests(session, chosen, settings, records.storage)
    return price_scenes(requests, settings, records.storage, clip_price)


def generate(
    session: Session | str,
    scenarios: Iterable[Scenario | str] | None = None,
    *,
    again: bool = False,
    cut: bool = True,
    max_cost: float | None = None,
    clip_price: float | None = None,
    observer: Observer | None = None,
) -> JobView:
    """Buy one clip for each scene of a session, and return the job once it has ended.

    With `cut`, the finished ad is made as soon as all four scenes have clips; `cuts` returns it.

    A Session is stored first, in place of an earlier version; a string is the id of a stored session. `scenarios`
    selects some of its scenes. A failed scene raises nothing: its `status` is failed and its `error` has the reason.

    `max_cost` is the most USD that the job may spend, retries included. `clip_price` is the USD of a clip whose price
    is unknown.

    Raises InputError, before anything is bought, if a scene is invalid, or has takes already without `again`.
    Raises OverBudget, before anything is sent, if the clips would cost more than `max_cost` or a budget has left.
    Raises PrefectUnreachable or StorageError if the job can't be recorded.
    """
    settings = Settings.load()
    records = open_records(settings)
    chosen = [_scenario(scenario) for scenario in scenarios] if scenarios is not None else None
    session = _session(session, records)
    if cut and settings.cut:
        find_signer(settings)  # A wrong certificate is told before anything is bought.
    scenes = [session.scene(scenario) for scenario in session.choose(chosen)]
    limits = _usd_limits(max_cost, clip_price)
    check_max_cost(session, scenes, settings, records.storage, max_cost=max_cost, clip_price=clip_price)
    override_hint = None if again else "--again (again=True in Python)"
    requests = store_for_generation(records, settings, session, chosen, override_hint=override_hint)
    _tell_warnings(observer, requests, settings, records)
    for warning in glyph_warnings(session) if cut and settings.cut else ():
        (observer or Observer()).message(f"warning: {warning}")
    parameters = {"session_id": session.session_id, "scenarios": list(requests), "cut": cut, **limits}
    return _run_job("generate_ad", parameters, settings, records, observer)


def regenerate(
    session_id: str,
    scenario: Scenario | str,
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
    session, scenario = records.session(session_id), _scenario(scenario)
    wanted = parse_changes(changes)
    scene = wanted.applied_to(session.scene(scenario))
    request = clip_request(session, scene, settings, load_catalog(records.storage))
    limits = _usd_limits(max_cost, clip_price)
    check_max_cost(
        session, [scene], settings, records.storage, max_cost=max_cost, clip_price=clip_price, takes_model=True
    )
    # Parameters of a run can come from elsewhere, so they must not name local files.
    images = read_images(wanted.named_images())
    copies = {file: copy_input(records.storage, session_id, image) for file, image in images.items()}
    wanted = wanted.with_images(copies)
    _tell_warnings(observer, {scenario: request}, settings, records)
    parameters = {"session_id": session_id, "scenario": scenario, "changes": wanted, **limits}
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


def takes(session_id: str, scenario: Scenario | str | None = None) -> list[Take]:
    """Return the takes of a session or of one scene, by scene and from old to new.

    Raises NotFound for an unknown session, and StorageError for an unreadable record.
    """
    records = open_records()
    session = records.session(session_id)
    chosen = [_scenario(scenario)] if scenario else session.scenarios
    return [take for each in chosen for take in records.takes(session_id, each)]


def choose_take(session_id: str, scenario: Scenario | str, take: str) -> Take:
    """Make an older take the current one of its scene, by its `short_id` or its `job_id`.

    Raises NotFound if no stored take has that name.
    """
    return choose_stored_take(open_records(), session_id, _scenario(scenario), take)


def run_flow(
    name: str,
    parameters: dict[str, Any],
    settings: Settings,
    observer: Observer | None = None,
    job_ids: list[str] | None = None,
    *,
    buys: bool = True,
) -> "tuple[str, State[Any]]":
    """Run a flow of `adreel.flows` by the name of its module, and return the id and the final state of its run.

    `job_ids` are the jobs to observe, by default the one with the id of the run.
    """
    observer = observer or Observer()
    unify_proxies()
    if buys and settings.is_local:
        # A task looks for a key in Prefect unless the variable is set and empty.
        mentioned = "runware_api_key" in settings.model_fields_set
        unless = "" if mentioned else ", unless Prefect holds a Secret block runware-api-key"
        observer.message(f"No RUNWARE_API_KEY: the emulator renders, nothing is spent{unless}.")
    # Prefect sends no telemetry, and works without a network.
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    run_ids: list[str] = []

    def watch(run_id: str) -> AbstractContextManager[None]:
        run_ids.append(run_id)
        return observer.watching(job_ids or [run_id])

    with ending_on_sigterm(at_once=True), ExitStack() as starting, prefect_errors():
        # The server starts while this process imports Prefect.
        if has_begun := not may_name_server() and begin_embedded_server():
            starting.enter_context(observer.starting("Prefect"))
        with without_collections():
            from adreel.orchestration.runs import needs_embedded_server, run_in_process

            flow = getattr(import_module(f"adreel.flows.{name}"), name)
        if buys and settings.is_local:
            # The emulator takes a fifth of a second to import, while this process waits for Prefect's answers.
            threading.Thread(target=import_module, args=["adreel.emulator"], daemon=True).start()
        if needs_embedded_server():
            if not (has_begun or is_embedded()):
                starting.enter_context(observer.starting("Prefect"))
            start_embedded_server()
    with ending_on_sigterm():
        state = run_in_process(flow, parameters, watch)
    return run_ids[0], state


def error_of(state: "State[Any]") -> AdreelError | None:
    """Return the error that ended a run, raised by its flow or kept in the state that it returned."""
    found = getattr(state.data, "result", state.data)
    return found if isinstance(found, AdreelError) else None


def _run_job(
    flow: str, parameters: dict[str, Any], settings: Settings, records: Records, observer: Observer | None
) -> JobView:
    job_id, state = run_flow(flow, parameters, settings, observer)
    if state.name == CUT_FAILED and observer:
        observer.message(state.message or "")
    if records.job(job_id) is None:
        raise error_of(state) or AdreelError(state.message or "the run failed")
    return job_view(records, job_id)


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
    observer: Observer | None, requests: dict[Scenario, ClipRequest], settings: Settings, records: Records
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


def _scenario(name: Scenario | str) -> Scenario:
    try:
        return Scenario(name)
    except ValueError:
        raise InputError(f"no such scene: {name!r}; choose from {', '.join(Scenario)}") from None

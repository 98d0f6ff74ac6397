"""Jobs: start or resume one, buy its scenes, and record its end."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from functools import partial

from adreel.errors import AdreelError, BadRecord, BuyingStopped, InputError, NoCredits, NotFound
from adreel.models.parts import Part, label_of, scenario_of
from adreel.models.runners import Runner
from adreel.models.sessions import (
    INPUT_PATTERN,
    SceneChanges,
    Session,
    refuse_control_characters,
)
from adreel.models.spend import Holds, new_mark, to_micros
from adreel.models.takes import Job, Problem, Take, utc_now
from adreel.purchase.download import DownloadRules
from adreel.purchase.holds import hold_attempt, hold_job, released_on_error
from adreel.purchase.planning import plan_requests
from adreel.purchase.shared_client import shared_client
from adreel.purchase.state_machine import AcquireSlot, Purchase, ReportProgress
from adreel.purchase.watching import watch_job
from adreel.records import Records
from adreel.records.inputs import InputImage, copy_input, display_name, has_input, read_images
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from adreel.spend.prices import price

ALL = "all"


def start_job(
    records: Records,
    settings: Settings,
    job_id: str,
    session_id: str,
    *,
    scenarios: Sequence[Part] | None = None,
    changes: SceneChanges | None = None,
    runner: Runner | None = None,
    max_cost: int | None = None,
    clip_price: int | None = None,
    request: str | None = None,
    mark: str | None = None,
    is_new: bool = False,
) -> Job:
    """Record a job, its planned takes and its runner; a recorded job resumes as planned.

    `changes` apply to the session's description of each scene. `max_cost` limits the spend of a new job, `clip_price`
    is the price of its clips if nothing else tells it, both in micro-dollars. `request` is the idempotency key under
    which money is held for it already. A runner that starts a job repeatedly gives the same `mark` for its holds. A job
    that is probably new needs no read with `is_new`; one that exists keeps its record and its takes.

    Raises InputError or OverBudget before the job is recorded, Conflict if the session is archived.
    """
    found, session = None if is_new else records.job(job_id), None
    if found is None:
        if changes is not None:
            if changes.model_extra:
                raise InputError(f"no such field of a scene: {', '.join(changes.model_extra)}")
            refuse_control_characters(changes)
        session = records.session(session_id)
        session.check_buyable()
        chosen = session.choose(scenarios)
        found = Job(
            job_id=job_id,
            session_id=session_id,
            scenarios=chosen,
            changes=changes,
            created_at=utc_now(),
            campaign=session.campaign,
            max_cost=max_cost,
            clip_price=clip_price,
            runner=runner,
        )
    recorded, missing = _plan_takes(records, settings, found, session)
    only_downloads = session is None and _only_downloads(records, recorded, missing)
    new, planned = _with_inputs(records, found, missing)
    # An ended job is started again: failed scenes may be bought anew, with the attempts of another round.
    rounds = new.rounds + (new.ended_at is not None)
    holds = hold_job(records, new, [*recorded, *planned], settings.attempts * rounds, request=request, mark=mark)

    def start(latest: Job | None) -> Job | None:
        if latest is None:
            return new
        if latest.ended_at is None:
            return None if latest.runner == runner else latest.model_copy(update={"runner": runner})
        again = {"rounds": latest.rounds + 1, "changes": new.changes}
        return latest.model_copy(update={**again, "ended_at": None, "cancelled_at": None, "runner": runner})

    with released_on_error(records, holds):
        if is_new:
            records.assume_no_job(job_id)
        job = records.update_job(job_id, start) or new
        _save_planned(records, job, planned)
    return _in_memory(job, holds, mark, only_downloads=only_downloads)


def open_scenes(
    records: Records, settings: Settings, target: str, broken: list[AdreelError] | None = None
) -> list[tuple[Job, list[Part]]]:
    """Return the jobs with open scenes, and these scenes; `target` is a job, a session or `all`.

    The jobs of a session are found by its takes, and only those of a session without takes among all jobs. For `all`,
    the takes of a job are not read if its record says that they are stored.
    Stored scenes, and failed scenes that may not be bought again, are left out. A job that can't be resumed, for
    instance because of a BadRecord, is skipped and its error is added to `broken`. Without a list, the error raises.
    """

    def open_of(job_id: str) -> tuple[Job, list[Part]] | None:
        job = named or records.job(job_id)
        if job is None or target not in {ALL, job.job_id, job.session_id}:
            return None
        sessions.add(job.session_id)
        if target == ALL and job.is_stored:
            return None
        takes = {scenario: records.take(job.session_id, scenario, job.job_id) for scenario in job.scenarios}
        if None in takes.values():
            _plan_takes(records, settings, job)  # Raises if resume_job could not plan them.
        allowed = settings.attempts * job.rounds
        # The resume of a scene in doubt tells until when another run may buy it.
        scenes = [
            scenario
            for scenario, take in takes.items()
            if take is None or take.can_continue(allowed) or (take.is_in_doubt and take.pruned_at is None)
        ]
        return (job, scenes) if scenes else None

    sessions = set[str]()
    named = None if target == ALL else records.job(target)
    job_ids = [target] if named else _job_ids(records, target) or records.job_ids()
    found = filter(None, records.map(open_of, job_ids, broken))
    # An unreadable job may be of this session too, and is in `broken`.
    if target != ALL and not (sessions or broken):
        raise NotFound(f"{target!r} is neither a job nor a session with jobs in {records.place}")
    return sorted(found, key=lambda found: (found[0].created_at, found[0].job_id))


def resume_job(
    records: Records,
    settings: Settings,
    job: Job,
    runner: Runner | None = None,
    request: str | None = None,
    *,
    max_cost: int | None = None,
    clip_price: int | None = None,
    mark: str | None = None,
) -> Job:
    """Reopen a job in the same round, so no more may be spent than before.

    `max_cost` and `clip_price` replace those of the job, unless they are None. `mark` is as for `start_job`.

    Raises OverBudget if its unsent scenes cost too much and none of its clips is open. Raises Conflict if the session
    is archived and none of its clips is open.
    """
    max_cost = job.max_cost if max_cost is None else max_cost
    clip_price = job.clip_price if clip_price is None else clip_price
    job = job.model_copy(update={"max_cost": max_cost, "clip_price": clip_price})
    recorded, missing = _plan_takes(records, settings, job)
    only_downloads = _only_downloads(records, recorded, missing)
    named, planned = _with_inputs(records, job, missing)
    holds = hold_job(records, named, [*recorded, *planned], settings.attempts * job.rounds, request=request, mark=mark)

    def reopen(latest: Job | None) -> Job | None:
        reopened = {
            "ended_at": None,
            "cancelled_at": None,
            "changes": named.changes,
            "runner": runner,
            "max_cost": max_cost,
            "clip_price": clip_price,
        }
        if latest is None or all(getattr(latest, name) == value for name, value in reopened.items()):
            return None
        return latest.model_copy(update=reopened)

    with released_on_error(records, holds):
        resumed = records.update_job(job.job_id, reopen)
        if resumed is None:
            raise NotFound(f"job {job.job_id!r} was removed meanwhile: see `adreel status {job.session_id}`")
        _save_planned(records, resumed, planned)
    return _in_memory(resumed, holds, mark, only_downloads=only_downloads)


def end_job(records: Records, job: Job, *, cancelled: bool = False, takes: Iterable[Take] = ()) -> Job | None:
    """Account for its costs and record the end of a job, unless another run has started it meanwhile.

    Returns the job; None if it is gone. `takes` are those of the job that the caller has read: the record names the
    stored ones, so that a resume need not read them.

    A run that still works on a `cancelled` job sends no more tasks for it, and ends soon.
    """

    def end(latest: Job | None) -> Job | None:
        if latest is None or latest.rounds > job.rounds or (cancelled and latest.ended_at is not None):
            return None
        cancelled_at = utc_now() if cancelled else latest.cancelled_at
        update = {"ended_at": utc_now(), "cancelled_at": cancelled_at, "runner": None}
        return latest.model_copy(update={**update, "stored": {**latest.stored, **stored}})

    stored = {
        take.scenario: to_micros(take.cost)
        for take in takes
        if take.is_stored and take.job_id == job.job_id and take.cost is not None
    }
    ended = records.update_job(job.job_id, end)
    Budgets(records).settle(job)
    return ended


def cancel_job(records: Records, job: Job) -> None:
    """Record that a person has cancelled a job, and account for its costs, which its run may not be able to do."""
    end_job(records, job, cancelled=True)
    _reconcile(records, [job.job_id])


def end_jobs_of_run(records: Records, run_id: str, target: str = ALL, *, cancelled: bool = False) -> None:
    """End the open jobs of a run that can't do it; `target` is a job, a session or `all`."""

    def end(job_id: str) -> bool:
        job = records.job(job_id)
        is_open = job is not None and job.run_id == run_id and job.ended_at is None
        if job is not None and is_open:
            end_job(records, job, cancelled=cancelled)
        return is_open

    job_ids = _job_ids(records, target)
    job_ids = job_ids if target in {ALL, *job_ids} else [target, *job_ids]
    ended = records.map(end, job_ids)
    _reconcile(records, [job_id for job_id, is_ended in zip(job_ids, ended, strict=True) if is_ended])


def _reconcile(records: Records, job_ids: list[str]) -> None:
    # The jobs have ended, whatever happens to their money: the next reconciliation of all budgets tries again.
    with suppress(AdreelError):
        if job_ids:
            Budgets(records).reconcile(broken=[], jobs=job_ids)


def _job_ids(records: Records, target: str) -> list[str]:
    """Return the ids of all jobs, or of those that have a take of a session."""
    return records.job_ids() if target == ALL else records.job_ids_of(target)


async def buy_scene(
    records: Records,
    settings: Settings,
    job: Job,
    scenario: Part,
    *,
    slot: AcquireSlot = nullcontext,
    report: ReportProgress = lambda _take, _text: None,
    draws_poster: bool = True,
    on_poster: Callable[[bytes], None] = lambda _poster: None,
) -> Take:
    """Buy and store one part of a started job; a stored take is returned at once.

    `slot` is held while Runware renders, `report` is called after each step, and `on_poster` with a drawn poster.
    Without `draws_poster`, the poster is drawn when it is first asked for.
    """
    take = records.own_take(job.session_id, scenario, job.job_id)
    # A take that this process has just planned needs no read: the next record is refused if the take has changed.
    if take is None or (take.attempts and not take.is_stored):
        take = await asyncio.to_thread(records.take, job.session_id, scenario, job.job_id)
    if take is None:
        raise NotFound(f"{label_of(scenario)}: job {job.job_id} has no take of it")
    if take.is_stored:
        report(take, "stored already")
        return take

    async def check_wanted() -> None:
        if job.only_downloads:
            await asyncio.to_thread(lambda: records.session(job.session_id).check_buyable())
        await watch.check()

    async with shared_client(settings) as client, watch_job(records, job.job_id) as watch:
        purchase = Purchase(
            take,
            records=records,
            client=client,
            rules=DownloadRules.from_settings(settings, client.url),
            settings=settings,
            slot=slot,
            attempts_allowed=settings.attempts * job.rounds,
            report=report,
            draws_poster=draws_poster,
            check_wanted=check_wanted,
            hold=partial(hold_attempt, records, job),
            mark=job.mark or new_mark(),
            on_poster=on_poster,
        )
        return await purchase.run()


def record_failure(records: Records, job: Job, scenario: Part, error: BaseException) -> None:
    """Record why a job ends without this scene; an open take can still be resumed."""
    found = records.take(job.session_id, scenario, job.job_id)
    if found is not None and not found.is_stored:
        take = found.model_copy(update={"problem": Problem.of(error), "updated_at": utc_now()})
        if take.attempts and isinstance(error, NoCredits | BuyingStopped):
            take.attempts = [*take.attempts[:-1], take.attempts[-1].without_sender(job.mark)]
        # A changed record belongs to another runner of the scene.
        records.update_take(take, lambda latest: latest != found)


def _only_downloads(records: Records, recorded: list[Take], missing: list[Take]) -> bool:
    """Whether the session of a recorded job is archived. Raises Conflict if the job would buy and download nothing."""
    is_done = not missing and all(take.is_stored for take in recorded)
    # A resume needs the takes alone.
    with suppress(NotFound, BadRecord):
        session = records.session((recorded or missing)[0].session_id)
        if session.archived_at is not None:
            if not is_done and not any(take.is_open or take.is_in_doubt for take in recorded):
                session.check_buyable()
            return True
    return False


def _in_memory(job: Job, holds: Holds | None, mark: str | None, *, only_downloads: bool) -> Job:
    held = holds.mark if holds else mark or new_mark()
    return job.model_copy(update={"holds": holds, "mark": held, "only_downloads": only_downloads})


def _plan_takes(
    records: Records, settings: Settings, job: Job, session: Session | None = None
) -> tuple[list[Take], list[Take]]:
    """Return the recorded takes of a job, and takes for its other scenes. One listing tells them apart."""
    listed = records.take_ids(job.session_id)
    recorded = [
        take
        for scenario in job.scenarios
        if job.job_id in listed[scenario] and (take := records.take(job.session_id, scenario, job.job_id))
    ]
    missing = [scenario for scenario in job.scenarios if scenario not in {take.scenario for take in recorded}]
    if not missing:
        return recorded, []
    session, changes = session or records.session(job.session_id), job.changes or SceneChanges()
    now = utc_now()
    requests = plan_requests(session, missing, settings, records.storage, changes)
    for part, request in requests.items():
        for _, image in request.named_images():
            if INPUT_PATTERN.fullmatch(image) and not has_input(records.storage, job.session_id, image):
                raise InputError(
                    f"{label_of(part)}: the image {display_name(image)!r} is not in the folder of session"
                    f" {job.session_id!r}: name its file or https URL again"
                )
    planned = [
        Take(
            session_id=job.session_id,
            scenario=part,
            job_id=job.job_id,
            campaign=job.campaign,
            number=records.next_take_number(job.session_id, part, listed[part]),
            created_at=now,
            updated_at=now,
            scene=changes.applied_to(session.scene(scenario)) if (scenario := scenario_of(part)) else None,
            request=request,
            price=price(request, records.storage, given=job.clip_price),
        )
        for part, request in requests.items()
    ]
    return recorded, planned


def _with_inputs(records: Records, job: Job, planned: list[Take]) -> tuple[Job, list[Take]]:
    """Copy the local images of planned takes into the session's folder, and refer to the copies in all records.

    They are copied before the job is recorded, so a resume on any machine finds them in the storage.
    """
    images: dict[str, InputImage] = {}
    for take in planned:
        try:
            images |= read_images(take.request.named_images(), images)
        except InputError as error:
            raise InputError(f"{label_of(take.scenario)}: {error}", error.fields) from None
    if not images:
        return job, planned
    copies = {file: copy_input(records.storage, job.session_id, image) for file, image in images.items()}

    def with_copies(session: Session) -> Session:
        scenes = [scene.with_images(copies) for scene in session.scene_descriptions]
        return session.with_images(copies).model_copy(update={"scene_descriptions": scenes})

    records.update_session(job.session_id, with_copies)
    if job.changes is not None:
        job = job.model_copy(update={"changes": job.changes.with_images(copies)})
    takes = [
        take.model_copy(
            update={
                "scene": take.scene and take.scene.with_images(copies),
                "request": take.request.with_images(copies),
            }
        )
        for take in planned
    ]
    return job, takes


def _save_planned(records: Records, job: Job, planned: list[Take]) -> None:
    for take in planned:
        # A scene that was pruned meanwhile is no longer in the job.
        if take.scenario in job.scenarios:
            records.save_take(take, is_new=True)
    records.announce_start(job)

"""A job from its first record to its last: what it will buy, one scene at a time, and how it ended."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import TypeVar

from adreel.downloads import DownloadRules
from adreel.errors import AdreelError, InputError, NotFound
from adreel.inputs import copy_input, display_name, has_input, read_image
from adreel.prompts import clip_request
from adreel.purchase import Purchase, Report, Slot
from adreel.records import Records
from adreel.runware_client import shared_client
from adreel.scenarios import Scenario
from adreel.sessions import INPUT_PATTERN, SceneChanges, SceneDescription, Session, check_words, is_local_file
from adreel.settings import Settings
from adreel.takes import ClipRequest, Job, Problem, Take, utc_now

ALL = "all"

AnyScene = TypeVar("AnyScene", SceneDescription, SceneChanges, ClipRequest)


def start_job(
    records: Records,
    settings: Settings,
    job_id: str,
    session_id: str,
    *,
    scenarios: list[Scenario] | None = None,
    changes: SceneChanges | None = None,
) -> Job:
    """Record a job and its planned takes; a job that was recorded before is taken up as it was planned.

    `changes` apply to the session's description of each scene. InputError before anything is written.
    """
    found = records.job(job_id)
    if found is None:
        if changes is not None:
            if changes.model_extra:
                raise InputError(f"no such field of a scene: {', '.join(changes.model_extra)}")
            check_words(changes)
        session = records.session(session_id)
        chosen = session.choose(scenarios)
        found = Job(job_id=job_id, session_id=session_id, scenarios=chosen, changes=changes, created_at=utc_now())
    new, planned = _with_inputs(records, found, _missing_takes(records, settings, found))

    def start(latest: Job | None) -> Job | None:
        if latest is None:
            return new
        if latest.ended_at is None:
            return None
        # Somebody started an ended job again: what failed may be bought anew, within the limit for each round.
        return latest.model_copy(update={"rounds": latest.rounds + 1, "ended_at": None, "changes": new.changes})

    job = records.update_job(job_id, start) or new
    _save_planned(records, job, planned)
    return job


def open_scenes(
    records: Records, settings: Settings, target: str, broken: list[AdreelError] | None = None
) -> list[tuple[Job, list[Scenario]]]:
    """Return the jobs that left scenes open, with these: of one session, one job, or of `all`; writes nothing.

    Left alone are scenes that are stored, and those that have failed and may not be bought again. What keeps a job
    from being taken up, such as a BadRecord, goes into `broken` and the job is left out; without a list it is raised.
    """
    found = []
    for job in _jobs_of(records, target, broken):
        with collecting(broken):
            scenes = _open_in(records, settings, job)
            if scenes:
                found.append((job, scenes))
    return found


@contextmanager
def collecting(broken: list[AdreelError] | None) -> Iterator[None]:
    """Put an error of the block into a list, so that one job's trouble is not another's; without a list, raise it."""
    try:
        yield
    except AdreelError as error:
        if broken is None:
            raise
        broken.append(error)


def _open_in(records: Records, settings: Settings, job: Job) -> list[Scenario]:
    takes = {scenario: records.take(job.session_id, scenario, job.job_id) for scenario in job.scenarios}
    if None in takes.values():
        _missing_takes(records, settings, job)  # Raises if resume_job could not plan them.
    allowed = settings.attempts * job.rounds
    return [scenario for scenario, take in takes.items() if take is None or take.can_go_on(allowed)]


def _jobs_of(records: Records, target: str, broken: list[AdreelError] | None) -> list[Job]:
    if target != ALL and (job := records.job(target)):
        return [job]
    jobs = []
    for job_id in records.job_ids():
        with collecting(broken):
            job = records.job(job_id)
            if job and target in {ALL, job.session_id}:
                jobs.append(job)
    # One that can't be read may be of this session too: it has been named.
    if not jobs and target != ALL and not broken:
        raise NotFound(f"{target!r} is neither a job nor a session with jobs in {records.storage.url}")
    return sorted(jobs, key=lambda job: (job.created_at, job.job_id))


def resume_job(records: Records, settings: Settings, job: Job) -> Job:
    """Record that somebody works on a job again, in the same round: nothing more may be spent than before."""
    named, planned = _with_inputs(records, job, _missing_takes(records, settings, job))

    def reopen(latest: Job | None) -> Job | None:
        if latest is None or (latest.ended_at is None and latest.changes == named.changes):
            return None
        return latest.model_copy(update={"ended_at": None, "changes": named.changes})

    resumed = records.update_job(job.job_id, reopen)
    if resumed is None:
        raise NotFound(f"job {job.job_id!r} was removed meanwhile: see `adreel status {job.session_id}`")
    _save_planned(records, resumed, planned)
    return resumed


def end_job(records: Records, job: Job) -> None:
    """Record that nobody works on a job any more, unless somebody has started it again meanwhile."""

    def end(latest: Job | None) -> Job | None:
        if latest is None or latest.rounds > job.rounds:
            return None
        return latest.model_copy(update={"ended_at": utc_now()})

    records.update_job(job.job_id, end)


async def produce_scene(
    records: Records,
    settings: Settings,
    job: Job,
    scenario: Scenario,
    *,
    slot: Slot = nullcontext,
    report: Report = lambda _take, _text: None,
) -> Take:
    """Bring one scene of a started job home; what is stored already is returned at once.

    `slot` is held while Runware works on it, `report` hears of each step.
    """
    take = await asyncio.to_thread(records.take, job.session_id, scenario, job.job_id)
    if take is None:
        raise NotFound(f"scene {scenario}: job {job.job_id} has planned no such take")
    if take.is_stored:
        report(take, "stored already")
        return take
    async with shared_client(settings) as client:
        purchase = Purchase(
            take,
            records=records,
            client=client,
            rules=DownloadRules.of(settings, client.url),
            settings=settings,
            slot=slot,
            attempts_allowed=settings.attempts * job.rounds,
            report=report,
        )
        return await purchase.run()


def give_up(records: Records, job: Job, scenario: Scenario, error: BaseException) -> None:
    """Record why a job ends without this scene; an open take stays open and can be taken up again."""
    found = records.take(job.session_id, scenario, job.job_id)
    if found is not None and not found.is_stored:
        take = found.model_copy(update={"problem": Problem.of(error), "updated_at": utc_now()})
        # If the record has moved on meanwhile, another runner works on the scene: its word stands.
        records.update_take(take, lambda latest: latest != found)


def _missing_takes(records: Records, settings: Settings, job: Job) -> list[Take]:
    missing = [scenario for scenario in job.scenarios if records.take(job.session_id, scenario, job.job_id) is None]
    if not missing:
        return []
    session, changes = records.session(job.session_id), job.changes or SceneChanges()
    now = utc_now()
    scenes = [changes.applied_to(session.scene(scenario)) for scenario in missing]
    for scene in scenes:
        frame = scene.first_frame
        if frame and INPUT_PATTERN.fullmatch(frame) and not has_input(records.storage, job.session_id, frame):
            raise InputError(
                f"scene {scene.scenario}: the image {display_name(frame)!r} is not in the folder of session"
                f" {job.session_id!r}: name its file or https URL again"
            )
    return [_new_take(job, session, scene, settings, now) for scene in scenes]


def _with_inputs(records: Records, job: Job, planned: list[Take]) -> tuple[Job, list[Take]]:
    """Copy the local images of planned takes into the session's folder, and name the copies in all its records.

    They are copied before the job is recorded: whoever takes it up, anywhere, finds them in the storage.
    """
    images = {}
    for take in planned:
        file = take.request.first_frame
        if file and is_local_file(file):
            try:
                images[file] = read_image(file)
            except InputError as error:
                raise InputError(f"scene {take.scenario}: {error}") from None
    if not images:
        return job, planned
    copies = {file: copy_input(records.storage, job.session_id, image) for file, image in images.items()}

    def renamed(scene: AnyScene) -> AnyScene:
        frame = scene.first_frame
        return scene.model_copy(update={"first_frame": copies[frame]}) if frame in copies else scene

    def with_copies(session: Session) -> Session:
        return session.model_copy(update={"scene_descriptions": [*map(renamed, session.scene_descriptions)]})

    records.update_session(job.session_id, with_copies)
    if job.changes is not None:
        job = job.model_copy(update={"changes": renamed(job.changes)})
    takes = [
        take.model_copy(update={"scene": renamed(take.scene), "request": renamed(take.request)}) for take in planned
    ]
    return job, takes


def _save_planned(records: Records, job: Job, planned: list[Take]) -> None:
    for take in planned:
        # A scene that was pruned meanwhile is no scene of the job any more.
        if take.scenario in job.scenarios:
            take.number = records.next_take_number(take.session_id, take.scenario)
            records.save_take(take)


def _new_take(job: Job, session: Session, scene: SceneDescription, settings: Settings, now: datetime) -> Take:
    request: ClipRequest = clip_request(session, scene, settings)
    return Take(
        session_id=job.session_id,
        scenario=scene.scenario,
        job_id=job.job_id,
        created_at=now,
        updated_at=now,
        scene=scene,
        request=request,
    )

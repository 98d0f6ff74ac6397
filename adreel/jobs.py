"""A job from its first record to its last: what it will buy, one scene at a time, and how it ended."""

import asyncio
from contextlib import nullcontext
from datetime import datetime

from adreel.downloads import DownloadRules
from adreel.errors import NotFound
from adreel.prompts import clip_request
from adreel.purchase import Purchase, Report, Slot
from adreel.records import Records
from adreel.runware_client import shared_client
from adreel.scenarios import Scenario
from adreel.sessions import SceneChanges, SceneDescription, Session
from adreel.settings import Settings
from adreel.takes import ClipRequest, Job, Problem, Take, utc_now


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
    job = records.job(job_id)
    if job is None:
        session = records.session(session_id)
        chosen = session.choose(scenarios)
        job = Job(job_id=job_id, session_id=session_id, scenarios=chosen, created_at=utc_now())
    elif job.ended_at is not None:
        # Somebody started an ended job again: what failed may be bought anew, within the limit for each round.
        job = job.model_copy(update={"rounds": job.rounds + 1, "ended_at": None})
    planned = _missing_takes(records, settings, job, changes or SceneChanges())
    records.save_job(job)
    for take in planned:
        records.save_take(take)
    return job


def end_job(records: Records, job: Job) -> None:
    """Record that nobody works on a job any more."""
    records.save_job(job.model_copy(update={"ended_at": utc_now()}))


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
    take = records.take(job.session_id, scenario, job.job_id)
    if take is not None and not take.is_stored:
        take.problem = Problem.of(error)
        take.updated_at = utc_now()
        records.save_take(take)


def _missing_takes(records: Records, settings: Settings, job: Job, changes: SceneChanges) -> list[Take]:
    missing = [scenario for scenario in job.scenarios if records.take(job.session_id, scenario, job.job_id) is None]
    if not missing:
        return []
    session = records.session(job.session_id)
    now = utc_now()
    return [_new_take(job, session, changes.applied_to(session.scene(scenario)), settings, now) for scenario in missing]


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

"""Prefect events for other systems: a scene is stored or has failed, a job has finished, a budget is nearly used up.

An event is a notification. Nothing waits for it, and the records hold the same facts.
"""

from typing import Any

from prefect.events import emit_event

from adreel.models.parts import Part, kind_of
from adreel.models.spend import to_usd
from adreel.models.takes import Job, Problem, Take
from adreel.records import Records
from adreel.records.views import JobView, video_url
from adreel.spend.notices import Reached


def scene_stored(records: Records, take: Take) -> None:
    """Emit `adreel.scene.stored` with the location, the duration and the cost of a clip, voice, music or still."""
    clip = take.clip
    emit_event(
        "adreel.scene.stored",
        _resource(take.session_id, take.scenario),
        # The same id each time, so that a resumed run does not repeat the event.
        id=take.attempts[-1].uuid,
        payload={
            **_ids(take.session_id, take.scenario, take.job_id),
            "take": take.short_id,
            "video_url": video_url(take),
            "location": records.storage.location(clip.file) if clip else None,
            "duration": clip.duration if clip else None,
            "cost": take.cost,
        },
    )


def scene_failed(job: Job, scenario: Part, error: BaseException) -> None:
    """Emit `adreel.scene.failed` with the reason."""
    problem = Problem.of(error)
    payload = {**_ids(job.session_id, scenario, job.job_id), "code": problem.code, "error": problem.message}
    emit_event("adreel.scene.failed", _resource(job.session_id, scenario), payload=payload)


def job_finished(view: JobView) -> None:
    """Emit `adreel.job.finished` with the state of each scene and the cost."""
    scenes = [
        {"scenario": scene.scenario, "status": scene.status, "video_url": scene.video_url, "error": scene.error}
        for scene in view.scenes
    ]
    payload = {"session_id": view.session_id, "job_id": view.job_id, "overall_status": view.overall_status}
    resource = {"prefect.resource.id": f"adreel.job.{view.job_id}", "adreel.status": view.overall_status.value}
    emit_event("adreel.job.finished", resource, payload={**payload, "cost": view.cost, "scenes": scenes})


def budget_reached(notice: Reached) -> None:
    """Emit `adreel.budget.reached`: 70, 90 or 100 % of a cap are spent or held, each once in a period. Sums are USD."""
    left = max(0, notice.cap - notice.spent - notice.held)
    sums = {"cap": notice.cap, "spent": notice.spent, "held": notice.held, "left": left}
    payload = {"budget": notice.budget, "period": notice.period, "percent": notice.percent}
    emit_event(
        "adreel.budget.reached",
        {"prefect.resource.id": f"adreel.budget.{notice.budget}", "adreel.percent": str(notice.percent)},
        payload={**payload, **{name: to_usd(amount) for name, amount in sums.items()}},
    )


def _resource(session_id: str, scenario: Part) -> dict[str, str]:
    return {"prefect.resource.id": f"adreel.scene.{session_id}.{scenario.value}", "adreel.session": session_id}


def _ids(session_id: str, scenario: Part, job_id: str) -> dict[str, Any]:
    return {"session_id": session_id, "scenario": scenario.value, "kind": kind_of(scenario), "job_id": job_id}

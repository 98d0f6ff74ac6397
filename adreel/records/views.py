"""Views of sessions, jobs and scenes, derived from the records and never stored."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from adreel.errors import AdreelError, InputError, NotFound
from adreel.models.api import (
    WITHOUT_CLIP,
    ClipWarning,
    SceneVideo,
    SessionSummary,
    State,
    TakeView,
    VideoSceneStatus,
    VideoStatusResponse,
)
from adreel.models.cut_recipes import make_recipe
from adreel.models.cuts import Cut, CutFileView, CutView
from adreel.models.parts import PARTS, Addition, Part, kind_of, label_of
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.models.spend import to_usd
from adreel.models.takes import Choices, Job, Take, VoiceRequest, sum_costs
from adreel.records import Records, StoredSession


@dataclass(frozen=True)
class SceneView:
    """The status of a scene with its clip, and in USD its cost, estimate and the bills that are known so far.

    `location` is the clip's place in storage, `take` its short id.
    """

    scenario: Part
    status: State
    progress: int
    video_url: str | None
    location: str | None
    duration: float | None
    cost: float | None
    seed: int | None
    take: str
    error: str | None
    warnings: list[ClipWarning] = field(default_factory=list)
    estimate: float | None = None
    billed: float = 0


@dataclass(frozen=True)
class JobView:
    """The status of a job with its cost in USD; None is unknown."""

    job_id: str
    session_id: str
    overall_status: State
    cost: float | None
    scenes: list[SceneView]
    campaign: str | None = None
    billed: float = 0


def warning_lines(named: Iterable[tuple[str, Iterable[ClipWarning]]]) -> list[str]:
    """Return each warning once, as a line that begins with the names of all scenes that it concerns."""
    names: dict[str, list[str]] = {}
    for name, warnings in named:
        for warning in warnings:
            names.setdefault(warning.message, []).append(name)
    return [f"{', '.join(concerned)}: {message}" for message, concerned in names.items()]


def failure_lines(scenes: Iterable[SceneView]) -> list[str]:
    """Return each reason of scenes without a clip once, as a line that begins with the names of these scenes."""
    names: dict[str, list[Part]] = {}
    for scene in scenes:
        reason = (scene.error or "no reason was recorded").removeprefix(f"{label_of(scene.scenario)}: ")
        names.setdefault(reason, []).append(scene.scenario)
    lines = []
    for reason, failed in names.items():
        is_of_one_ad = len(set(failed)) == len(failed)
        concerned = f"{len(failed)} scenes"
        if is_of_one_ad:
            clips = [part for part in failed if isinstance(part, Scenario)]
            others = [label_of(part) for part in failed if not isinstance(part, Scenario)]
            scenes_named = [f"scene{'s' if clips[1:] else ''} {', '.join(clips)}"] if clips else []
            concerned = ", ".join([*scenes_named, *others])
        lines.append(f"{concerned}: {reason}")
    return lines


def combine(states: Iterable[State | None]) -> State:
    """Derive the state of a job or session from those of its scenes; None is a scene without takes."""
    all_states = list(states)
    if State.GENERATING in all_states:
        return State.GENERATING
    completed = all_states.count(State.COMPLETED)
    if completed and completed == len(all_states):
        return State.COMPLETED
    if completed:
        return State.PARTIAL
    return State.CANCELLED if State.CANCELLED in all_states and State.FAILED not in all_states else State.FAILED


def job_status(records: Records, job_id: str) -> VideoStatusResponse:
    """Return the status of a job and its scenes, or raise NotFound."""
    scenes = [scene_status(job, take, scenario) for job, take, scenario in _scenes(records, job_id)]
    return VideoStatusResponse(job_id=job_id, overall_status=combine(scene.status for scene in scenes), scenes=scenes)


def job_view(records: Records, job_id: str, known: Job | None = None, takes: Collection[Take] = ()) -> JobView:
    """Return the status of a job with clips and costs, or raise NotFound.

    The record of a `known` job is not read, and neither are `takes` of it that the caller has just read.
    """
    found = _scenes(records, job_id, known, takes)
    views = []
    for job, take, scenario in found:
        clip = take.clip if take and take.is_stored else None
        view = SceneView(
            **dict(scene_status(job, take, scenario)),
            location=records.storage.location(clip.file) if clip else None,
            duration=clip.duration if clip else None,
            cost=take.cost if take else None,
            seed=take.attempts[-1].seed if take and take.attempts else None,
            take=take.short_id if take else "",
            estimate=take.estimate if take else None,
            billed=to_usd(take.billed) if take else 0,
        )
        views.append(view)
    return JobView(
        job_id=job_id,
        session_id=found[0][0].session_id,
        overall_status=combine(view.status for view in views),
        cost=total_cost(take for _, take, _ in found if take),
        scenes=views,
        campaign=found[0][0].campaign,
        billed=total_billed(take for _, take, _ in found if take),
    )


def readable_takes(records: Records, job: Job) -> list[Take]:
    """Return the takes of a job that can be read."""
    found: list[Take | None] = []
    for scenario in job.scenarios:
        with suppress(AdreelError):
            found.append(records.final_take(job.session_id, scenario, job.job_id))
    return [take for take in found if take]


def _scenes(
    records: Records, job_id: str, known: Job | None = None, takes: Collection[Take] = ()
) -> list[tuple[Job, Take | None, Part]]:
    job = known or records.job(job_id)
    if job is None:
        raise NotFound(f"no job {job_id!r} in {records.place}")
    by_scene = {take.scenario: take for take in takes}
    return [
        (job, by_scene.get(scenario) or records.final_take(job.session_id, scenario, job_id), scenario)
        for scenario in job.scenarios
    ]


def scene_status(job: Job, take: Take | None, scenario: Part) -> VideoSceneStatus:
    """Return the status of one scene of a job; the take is None until it is recorded."""
    state = take.state if take else State.GENERATING
    error = take.problem.clean_message if take and take.problem else None
    if state == State.GENERATING and job.ended_at is not None:
        # Without this, a scene that its ended job left open would stay busy for ever.
        state = State.CANCELLED if job.cancelled_at else State.FAILED
        ended = "was cancelled" if job.cancelled_at else "ended"
        error = f"its job {ended} before this scene was finished: `adreel resume` continues it"
    return VideoSceneStatus(
        scenario=scenario,
        status=state,
        progress=take.progress if take else 0,
        video_url=video_url(take) if take else None,
        error=error,
        warnings=take.warnings if take else [],
    )


def session_view(records: Records, session_id: str) -> SessionSummary:
    """Return a session with the current clips of its scenes, or raise NotFound."""
    session = records.session(session_id)
    choices = records.choices(session_id)
    takes = records.takes_by_part(session_id)

    return summarize(session, choices, takes, records.job)


def summarize(
    session: StoredSession,
    choices: Choices,
    takes: Mapping[Part, list[Take]],
    find_job: Callable[[str], Job | None],
) -> SessionSummary:
    """Sum up a session and its takes by scene, from old to new. `find_job` is called for the job of an open take."""
    states: list[State | None] = []
    videos: dict[Part, SceneVideo] = {}
    parts: list[Part] = [*session.scenarios, *(part for part in Addition if takes.get(part))]
    for part in parts:
        of_part = takes.get(part, [])
        state = scene_state(of_part)
        if state == State.GENERATING and (job := find_job(of_part[-1].job_id)) and job.ended_at is not None:
            earlier = scene_state(of_part[:-1])
            ended = State.CANCELLED if job.cancelled_at else State.FAILED
            state = ended if earlier is None or earlier in WITHOUT_CLIP else earlier
        if of_part:
            videos[part] = scene_video(current_take(of_part, choices) or of_part[-1], state)
        # An ad is complete without stills, and stills alone are no ad yet.
        if kind_of(part) != "still" or state == State.GENERATING:
            states.append(state)
    every = [take for part in PARTS if part in videos for take in takes[part]]
    return SessionSummary(
        session_id=session.session_id,
        product_name=session.product_name,
        campaign=session.campaign,
        state=combine(states) if any(states) else None,
        cost=total_cost(every),
        billed=total_billed(every),
        updated_at=max((take.updated_at for take in every), default=None),
        archived_at=session.archived_at,
        scene_videos=[video for part, video in videos.items() if isinstance(part, Scenario)],
        additions=[video for part, video in videos.items() if isinstance(part, Addition)],
    )


def current_take(takes: list[Take], choices: Choices) -> Take | None:
    """Return the take of a scene that a person has chosen, else the newest stored one."""
    stored = [take for take in takes if take.is_stored]
    chosen = [take for take in stored if choices.takes.get(take.scenario) == take.job_id]
    candidates = chosen or stored
    return candidates[-1] if candidates else None


def current_takes(records: Records, session_id: str) -> dict[Part, Take]:
    """Return the current take of each part that has a stored one, in the order of an ad."""
    return choose_currents(records.takes_by_part(session_id), records.choices(session_id))


def choose_currents(takes_by_part: Mapping[Part, list[Take]], choices: Choices) -> dict[Part, Take]:
    """Return the current take of each part that has a stored one, from all takes and a person's choices."""
    found = {scenario: current_take(takes, choices) for scenario, takes in takes_by_part.items()}
    return {scenario: take for scenario, take in found.items() if take and take.clip}


def has_all_clips(records: Records, session_id: str) -> bool:
    """Whether each of the four scenes of a session has a clip."""
    return current_takes(records, session_id).keys() >= set(Scenario)


def is_stale(session: Session, takes: Mapping[Part, Take], cut: Cut) -> bool:
    """Whether a current take or a setting of the session has changed since a cut was made."""
    try:
        return make_recipe(session, takes, cut.options, cut.renderer).digest != cut.digest
    except InputError:
        return True


def cut_views(records: Records, session: Session | str) -> list[CutView]:
    """Return the cuts of a stored session, or of the session with that id, the newest first; raises NotFound."""
    session = records.session(session) if isinstance(session, str) else session
    cuts = records.cuts(session.session_id)
    if not cuts:
        return []
    choices, takes = records.choices(session.session_id), records.takes_by_part(session.session_id)
    return views_of_cuts(session, choices, takes, cuts)


def views_of_cuts(
    session: Session, choices: Choices, takes: Mapping[Part, list[Take]], cuts: list[Cut]
) -> list[CutView]:
    """Return the cuts of a session, the newest first, by its takes, the oldest first."""
    current = choose_currents(takes, choices)
    return [cut_view(cut, is_stale=is_stale(session, current, cut)) for cut in reversed(cuts)]


def current_cut(records: Records, session_id: str) -> Cut | None:
    """Return the newest cut that is not stale, else the newest."""
    cuts = records.cuts(session_id)[::-1]
    if not cuts:
        return None
    session, takes = records.session(session_id), current_takes(records, session_id)
    return next((cut for cut in cuts if not is_stale(session, takes, cut)), cuts[0])


def cut_view(cut: Cut, *, is_stale: bool) -> CutView:
    """Return a cut with the addresses of its files."""
    files = [
        CutFileView(
            **file.model_dump(),
            url=f"/outputs/{file.file}",
            poster_url=f"/outputs/{file.poster}" if file.poster else None,
            captions_url=f"/outputs/{file.captions}" if file.captions else None,
        )
        for file in cut.files
    ]
    return CutView(
        session_id=cut.session_id,
        cut_id=cut.cut_id,
        created_at=cut.created_at,
        state="stale" if is_stale else "current",
        inputs=cut.inputs,
        additions=cut.additions,
        files=files,
        warnings=cut.warnings,
    )


def scene_state(takes: list[Take]) -> State | None:
    """Return the state of a scene: that of its newest take, but completed if any is stored and none is being made."""
    if not takes:
        return None
    newest = takes[-1].state
    return State.COMPLETED if newest in WITHOUT_CLIP and any(take.is_stored for take in takes) else newest


def scene_video(take: Take, status: State | None = None) -> SceneVideo:
    """Return the clip of a take for the API and the pages."""
    return SceneVideo(
        scenario=take.scenario,
        video_url=video_url(take),
        duration=take.clip.duration if take.is_stored and take.clip else None,
        status=status or take.state,
        created_at=take.created_at,
        cost=take.cost,
        billed=to_usd(take.billed),
        estimate=take.estimate,
        seed=take.attempts[-1].seed if take.attempts else None,
        poster_url=f"/outputs/{take.clip.poster}" if take.is_stored and take.clip and take.clip.poster else None,
        take=take.job_id,
        warnings=take.warnings,
    )


def take_view(take: Take, *, is_current: bool) -> TakeView:
    """Return a take for the API."""
    return TakeView(
        **scene_video(take).model_dump(exclude={"take"}),
        take=take.short_id,
        job_id=take.job_id,
        progress=take.progress,
        is_current=is_current,
        updated_at=take.updated_at,
        error=take.problem.clean_message if take.problem else None,
        aside_url=f"/outputs/{take.aside.file}" if take.aside else None,
        scene=take.scene,
        text=words_of(take) if kind_of(take.scenario) in {"voice", "music"} else "",
    )


def words_of(take: Take) -> str:
    """Return the words of a narration, the prompt of music, or what a clip or a still shows."""
    request = take.request
    if isinstance(request, VoiceRequest):
        return request.text
    return take.scene.visual_description if take.scene else request.prompt


def input_url(session_id: str, reference: str) -> str:
    """Return the URL path of an input of a session."""
    return f"/api/sessions/{session_id}/{reference.partition('#')[0]}"


def video_url(take: Take) -> str | None:
    """Return the URL path of a take's clip, once it is stored."""
    return f"/outputs/{take.clip.file}" if take.is_stored and take.clip else None


def total_cost(takes: Iterable[Take]) -> float | None:
    """Return the cost of takes in USD, 0 if nothing was sent; None without takes or with an unknown cost."""
    return sum_costs([take.cost if any(each.state != "planned" for each in take.attempts) else 0.0 for take in takes])


def total_billed(takes: Iterable[Take]) -> float:
    """Return the bills of takes that are known so far, in USD."""
    return to_usd(sum(take.billed for take in takes))

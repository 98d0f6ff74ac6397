"""What the records say of scenes, jobs and sessions."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adreel.campaigns import Tally
from adreel.errors import InputError, NotFound
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Choices, Job, Problem, Take
from adreel.purchase.jobs import start_job
from adreel.records import Records
from adreel.records.choosing import choose_take
from adreel.records.views import (
    combine,
    current_take,
    job_status,
    job_view,
    scene_state,
    scene_video,
    session_view,
    total_cost,
)
from adreel.settings import Settings
from tests.factories import NOW, make_session, make_take, save_job

GENERATING, COMPLETED, FAILED, PARTIAL, CANCELLED = State
HOOK, PROBLEM, SOLUTION, CTA = Scenario
STORED, ACCEPTED = AttemptState.STORED, AttemptState.ACCEPTED


def a_job(*scenarios: Scenario, ended: bool = False) -> Job:
    return Job(
        job_id="job-1",
        session_id="ad",
        scenarios=list(scenarios or Scenario),
        created_at=NOW,
        ended_at=NOW if ended else None,
    )


def good(job_id: str, minute: int) -> Take:
    return make_take(STORED, job_id=job_id, minute=minute)


def failed(job_id: str, minute: int) -> Take:
    return make_take(AttemptState.FAILED, job_id=job_id, minute=minute, problem="broke")


def cancelled(job_id: str, minute: int) -> Take:
    take = make_take(ACCEPTED, job_id=job_id, minute=minute)
    take.problem = Problem(code="cancelled", message="cancelled")
    return take


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ([COMPLETED] * 4, COMPLETED),
        ([FAILED] * 4, FAILED),
        ([GENERATING] * 4, GENERATING),
        ([COMPLETED, COMPLETED, COMPLETED, FAILED], PARTIAL),
        ([COMPLETED, FAILED, FAILED, FAILED], PARTIAL),
        ([COMPLETED, FAILED, FAILED, GENERATING], GENERATING),
        ([None, None, COMPLETED, COMPLETED], PARTIAL),
        ([None, None, None, FAILED], FAILED),
        ([None, None, None, GENERATING], GENERATING),
        ([None, None, CANCELLED, CANCELLED], CANCELLED),
        ([CANCELLED, CANCELLED, CANCELLED, FAILED], FAILED),
        ([CANCELLED, FAILED, CANCELLED, COMPLETED], PARTIAL),
        ([CANCELLED, CANCELLED, CANCELLED, GENERATING], GENERATING),
    ],
    ids=lambda value: ",".join(str(state or "untried") for state in value) if isinstance(value, list) else str(value),
)
def test_the_state_of_a_whole_follows_from_its_scenes_in_any_order(states: list[State | None], whole: State) -> None:
    assert {combine(order) for order in permutations(states)} == {whole}


@given(st.lists(st.sampled_from([GENERATING, COMPLETED, FAILED, CANCELLED, None]), min_size=1))
def test_a_whole_is_completed_only_if_every_scene_is(states: list[State | None]) -> None:
    assert (combine(states) == COMPLETED) == (set(states) == {COMPLETED})


def test_a_whole_without_scenes_is_not_completed() -> None:
    assert combine([]) != COMPLETED


@pytest.mark.parametrize(
    ("takes", "chosen", "current"),
    [
        pytest.param([], None, None, id="none yet"),
        pytest.param([failed("a", 1)], None, None, id="none stored"),
        pytest.param([good("a", 1), good("b", 2)], None, "b", id="the newest"),
        pytest.param([good("a", 1), failed("b", 2)], None, "a", id="the newest that is stored"),
        pytest.param([good("a", 1), make_take(ACCEPTED, job_id="b", minute=2)], None, "a", id="while another renders"),
        pytest.param([good("a", 1), good("b", 2)], "a", "a", id="the chosen one"),
        pytest.param([good("a", 1), good("b", 2), failed("c", 3)], "c", "b", id="chosen, but not stored"),
        pytest.param([good("a", 1), good("b", 2)], "gone", "b", id="chosen, but gone"),
    ],
)
def test_the_current_take_is_the_chosen_or_the_newest_stored(
    takes: list[Take], chosen: str | None, current: str | None
) -> None:
    take = current_take(takes, Choices(takes={HOOK: chosen} if chosen else {}))
    assert (take.job_id if take else None) == current


@pytest.mark.parametrize(
    ("takes", "state"),
    [
        pytest.param([], None, id="untried"),
        pytest.param([make_take(ACCEPTED)], GENERATING, id="the first one renders"),
        pytest.param([failed("a", 1)], FAILED, id="failed"),
        pytest.param([good("a", 1)], COMPLETED, id="stored"),
        pytest.param([good("a", 1), failed("b", 2)], COMPLETED, id="a regenerate failed after a good take"),
        pytest.param([good("a", 1), make_take(ACCEPTED, job_id="b", minute=2)], GENERATING, id="a regenerate renders"),
        pytest.param([failed("a", 1), good("b", 2)], COMPLETED, id="good at last"),
        pytest.param([failed("a", 1), failed("b", 2)], FAILED, id="failed twice"),
        pytest.param([failed("a", 1), cancelled("b", 2)], CANCELLED, id="cancelled"),
        pytest.param([cancelled("a", 1), failed("b", 2)], FAILED, id="failed after a cancel"),
        pytest.param([good("a", 1), cancelled("b", 2)], COMPLETED, id="a regenerate was cancelled"),
    ],
)
def test_the_state_of_a_scene_follows_from_its_takes(takes: list[Take], state: State | None) -> None:
    assert scene_state(takes) == state


@pytest.mark.parametrize("name", ["job-1-abc", "job-1", "HANDLE"], ids=["job id", "start of it", "handle"])
def test_a_take_is_chosen_by_any_of_its_names(records: Records, name: str) -> None:
    older = good("job-1-abc", 1)
    for take in (older, good("other", 2)):
        records.save_take(take)
    assert choose_take(records, "ad", HOOK, name.replace("HANDLE", older.short_id)) == older
    assert current_take(records.takes("ad", HOOK), records.choices("ad")) == older


def test_a_whole_job_id_is_chosen_though_it_starts_another(records: Records) -> None:
    for take in (good("job", 1), good("job-2", 2)):
        records.save_take(take)
    assert choose_take(records, "ad", HOOK, "job").job_id == "job"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("job", "matches several takes"),
        ("nope", "is not a stored take"),
        ("", "is not a stored take"),
        ("bad", "not a stored"),
    ],
    ids=["ambiguous", "unknown", "empty", "failed"],
)
def test_a_take_that_cannot_be_told_is_named_and_nothing_chosen(records: Records, name: str, why: str) -> None:
    takes = [good("job-1", 1), good("job-2", 2)]
    for take in (*takes, failed("bad", 3)):
        records.save_take(take)
    offered = ", ".join(take.short_id for take in takes)
    with pytest.raises(NotFound, match=rf"'{name}' .*{why}.* of ad hook: choose one of {offered}$"):
        choose_take(records, "ad", HOOK, name)
    assert records.choices("ad") == Choices(takes={})


def test_a_choice_leaves_those_of_other_scenes(records: Records) -> None:
    for scenario in (HOOK, CTA):
        records.save_take(make_take(scenario=scenario))
        choose_take(records, "ad", scenario, "job-1")
    assert records.choices("ad").takes == {HOOK: "job-1", CTA: "job-1"}


def test_an_unknown_job_is_not_found(records: Records) -> None:
    for view in (job_status, job_view):
        with pytest.raises(NotFound, match="no job 'job-1'"):
            view(records, "job-1")


def test_a_job_id_that_is_none_is_bad_input(records: Records) -> None:
    with pytest.raises(InputError, match="job_id"):
        job_status(records, "../ad")


def test_an_unknown_session_is_not_found(records: Records) -> None:
    with pytest.raises(NotFound, match="no session 'ad'"):
        session_view(records, "ad")


def test_a_job_shows_each_of_its_scenes(records: Records) -> None:
    save_job(records, a_job())
    for take in (
        make_take(STORED, scenario=HOOK),
        make_take(ACCEPTED, scenario=PROBLEM),
        make_take(AttemptState.FAILED, scenario=SOLUTION, problem="the prompt was refused"),
    ):
        records.save_take(take)
    status = job_status(records, "job-1")
    assert status.overall_status == GENERATING
    assert [(scene.scenario, scene.status, scene.progress, scene.error) for scene in status.scenes] == [
        (HOOK, COMPLETED, 100, None),
        (PROBLEM, GENERATING, 30, None),
        (SOLUTION, FAILED, 0, "the prompt was refused"),
        (CTA, GENERATING, 0, None),
    ]
    assert [bool(scene.video_url) for scene in status.scenes] == [True, False, False, False]


def test_a_job_is_about_its_own_takes_alone(records: Records) -> None:
    save_job(records, a_job(HOOK))
    records.save_take(good("another", 1))
    assert job_status(records, "job-1").overall_status == GENERATING


def test_a_job_that_ended_before_a_take_began_has_failed(records: Records) -> None:
    save_job(records, a_job(HOOK, ended=True))
    status = job_status(records, "job-1")
    assert status.overall_status == FAILED
    assert status.scenes[0].error == "its job ended before this scene was finished: `adreel resume` continues it"


@pytest.mark.parametrize("reached", [None, ACCEPTED], ids=["planned", "accepted"])
def test_a_job_that_ended_is_not_busy(records: Records, reached: AttemptState | None) -> None:
    save_job(records, a_job(HOOK, ended=True))
    records.save_take(make_take(reached))
    assert job_status(records, "job-1").overall_status != GENERATING


def test_a_job_view_sums_up_what_its_scenes_are_and_cost(records: Records) -> None:
    save_job(records, a_job(HOOK, CTA))
    take = make_take(STORED, scenario=HOOK, cost=0.25)
    records.save_take(take)
    view = job_view(records, "job-1")
    hook, cta = view.scenes
    assert (view.session_id, view.overall_status, view.cost) == ("ad", GENERATING, 0.25)
    assert hook.location == records.storage.location(f"ad_hook_{take.short_id}.mp4")
    assert (hook.duration, hook.cost, hook.seed, hook.take) == (5, 0.25, 42, take.short_id)
    assert (cta.location, cta.duration, cta.cost, cta.seed, cta.take) == (None, None, None, None, "")


def test_jobs_and_takes_of_an_ad_belong_to_its_campaign(records: Records) -> None:
    records.save_session(make_session(), "spring")
    start_job(records, Settings(), "job-2", "ad")
    take = records.take("ad", HOOK, "job-2")
    assert take is not None
    assert take.campaign == job_view(records, "job-2").campaign == "spring"


@pytest.mark.parametrize(
    ("costs", "total"),
    [([], 0), ([0.1, 0.2], 0.3), ([0.1, None], None), ([0.0], 0.0)],
    ids=["nothing sent", "known", "one unknown", "free"],
)
def test_a_total_is_null_as_soon_as_one_paid_take_is_unknown(costs: list[float | None], total: float | None) -> None:
    takes = [make_take(STORED, cost=cost) for cost in costs]
    assert total_cost([*takes, make_take(None), make_take(AttemptState.PLANNED)]) == total
    assert total_cost([]) is None


def test_a_session_shows_its_current_clips_and_what_all_takes_cost(records: Records) -> None:
    records.save_session(make_session())
    for scenario in Scenario:
        records.save_take(make_take(STORED, scenario=scenario, cost=0.1))
    newer = make_take(STORED, job_id="job-2", minute=5, cost=0.1)
    records.save_take(newer)
    view = session_view(records, "ad")
    assert (view.state, view.cost, view.updated_at) == (COMPLETED, 0.5, newer.updated_at)
    assert [video.take for video in view.scene_videos] == ["job-2", "job-1", "job-1", "job-1"]
    assert view.scene_videos[0].video_url == f"/outputs/ad_hook_{newer.short_id}.mp4"
    assert view.scene_videos[0].poster_url == f"/outputs/ad_hook_{newer.short_id}.jpg"


def test_a_session_before_its_first_job_has_no_state(records: Records) -> None:
    records.save_session(make_session())
    view = session_view(records, "ad")
    assert (view.state, view.cost, view.scene_videos, view.updated_at) == (None, None, [], None)


def test_a_session_of_which_one_scene_was_made_is_partial(records: Records) -> None:
    records.save_session(make_session())
    records.save_take(make_take(STORED))
    assert session_view(records, "ad").state == PARTIAL


def test_a_good_clip_stays_in_sight_while_the_scene_is_made_anew(records: Records) -> None:
    records.save_session(make_session())
    records.save_take(make_take(STORED))
    records.save_take(make_take(ACCEPTED, job_id="job-2", minute=5))
    (video,) = session_view(records, "ad").scene_videos
    assert (video.take, video.status, bool(video.video_url)) == ("job-1", GENERATING, True)


def test_a_take_that_is_not_stored_has_no_clip_to_show() -> None:
    video = scene_video(make_take(AttemptState.RENDERED))
    assert (video.video_url, video.poster_url, video.duration, video.status) == (None, None, None, GENERATING)


def test_a_session_is_not_busy_with_a_scene_whose_job_has_ended(records: Records) -> None:
    records.save_session(make_session())
    save_job(records, a_job(HOOK, ended=True))
    records.save_take(make_take(ACCEPTED))
    assert session_view(records, "ad").state == FAILED
    save_job(records, a_job(HOOK, ended=True).model_copy(update={"cancelled_at": NOW}))
    assert session_view(records, "ad").state == CANCELLED
    assert job_status(records, "job-1").overall_status == CANCELLED
    records.save_take(good("earlier", -1))
    assert session_view(records, "ad").state == PARTIAL


def test_an_ad_that_sent_nothing_leaves_the_cost_of_its_campaign_known(records: Records) -> None:
    tally = Tally(2)
    for job_id, take in (("job-1", make_take(None, problem="no free slot")), ("job-2", make_take(job_id="job-2"))):
        save_job(records, a_job(HOOK).model_copy(update={"job_id": job_id}))
        records.save_take(take)
        tally.add(job_view(records, job_id))
    assert tally.money == "USD 0.11"

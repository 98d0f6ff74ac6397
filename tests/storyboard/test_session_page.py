"""The page of a session, and the orders that a person gives there: each is carried out once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from adreel.models.api import ClipWarning
from adreel.models.scenarios import Scenario
from adreel.models.takes import AsideFile, AttemptState, Problem
from adreel.purchase.jobs import end_job
from adreel.records import Records
from tests.factories import make_session, make_take
from tests.storyboard.conftest import AWAY, Orders, Visitor
from tests.storyboard.reading import COMMANDS
from tests.storyboard.stories import failed, generating, stored, with_job

AD = "/sessions/ad"


def page_progress(visitor: Visitor, path: str) -> list[str]:
    return [each["value"] for each in visitor.read(path).all("progress")]


def test_a_new_session_is_generated_once_from_however_many_pages(visitor: Visitor, orders: Orders) -> None:
    for _ in range(2):
        form = visitor.read(AD).form(f"{AD}/generate", "Generate the 4 clips")
        page = visitor.press(form, "Generate the 4 clips")
    assert orders.parameters == [{"session_id": "ad", "scenarios": list(Scenario)}]
    assert page.text.count("Waiting to start") == 4
    assert page.by_id("jobs")["data-jobs"] == next(iter(orders.runs.values())).run_id


def test_a_run_that_died_before_it_began_is_told_and_can_be_ordered_anew(visitor: Visitor, orders: Orders) -> None:
    form = visitor.read(AD).form(f"{AD}/generate", "Generate the 4 clips")
    visitor.press(form, "Generate the 4 clips")
    dead = next(iter(orders.runs.values())).run_id
    orders.end(dead, "Crashed")
    page = visitor.read(f"{AD}?job={dead}")
    assert "its run ended as Crashed before it bought anything" in page.text
    visitor.press(page.form(f"{AD}/scenes/hook/retry", "Retry"), "Retry")
    assert orders.parameters[1:] == [{"session_id": "ad", "scenario": "hook"}]


def test_no_scene_looks_unordered_while_its_job_is_being_recorded(visitor: Visitor, records: Records) -> None:
    with_job(records)
    for scenario in (Scenario.SOLUTION, Scenario.CTA):
        records.storage.remove(f"sessions/ad/takes/{scenario}/job-1.json")
    for path in (AD, f"{AD}?job=job-1"):
        assert not [form for form in visitor.read(path).forms if form.action.startswith(f"{AD}/generate")]
    assert page_progress(visitor, f"{AD}?job=job-1") == ["0"] * 4


def test_the_job_of_another_session_is_not_shown(visitor: Visitor, records: Records) -> None:
    records.save_session(make_session(session_id="other"))
    page = visitor.press(
        visitor.read("/sessions/other").form("/sessions/other/generate", "Generate the 4 clips"), "Generate the 4 clips"
    )
    assert "Waiting to start" not in visitor.read(f"{AD}?job={page.by_id('jobs')['data-jobs']}").text


def test_each_scene_shows_its_progress_in_words(visitor: Visitor, records: Records) -> None:
    with_job(records)
    generating(records, Scenario.HOOK, AttemptState.SUBMITTED)
    generating(records, Scenario.PROBLEM, AttemptState.ACCEPTED)
    generating(records, Scenario.SOLUTION, AttemptState.RENDERED)
    page = visitor.read(AD)
    assert page_progress(visitor, AD) == ["10", "30", "70", "0"]
    for words in (
        "Sent to Runware",
        "Rendering",
        "Rendered, being downloaded",
        "Waiting to start",
        "Refresh",
        "Cost not known yet",
    ):
        assert words in page.text
    assert page.by_id("jobs")["data-jobs"] == "job-1"
    assert not any("Regenerate" in form.buttons for form in page.forms)


def test_a_warning_stands_beside_the_clip_that_it_is_about(visitor: Visitor, records: Records) -> None:
    with_job(records)
    take = stored(records, Scenario.HOOK)
    assert take.clip
    take.clip.warnings = [ClipWarning(code="shorterThanAsked", message="it lasts 4.40 s instead of <5> s")]
    take.clip.poster = None
    records.storage.remove("sessions/ad/takes/hook/job-1.json")
    records.save_take(take)
    page = visitor.read(AD)
    assert "Warning: it lasts 4.40 s instead of <5> s" in page.text
    [video] = page.all("video")
    assert (video["src"], video.get("poster")) == (f"/outputs/{take.clip.file}", None)


def test_a_file_that_was_kept_aside_can_be_saved_from_the_page(visitor: Visitor, records: Records) -> None:
    with_job(records)
    generating(records, Scenario.HOOK, AttemptState.FAILED)
    take = records.take("ad", Scenario.HOOK, "job-1")
    assert take
    take.attempts[-1].aside = AsideFile(file="ad_hook_0123abcd.aside.webm", sha256="0" * 64, size=9, reason="WebM")
    records.save_take(take)
    failed(records, Scenario.HOOK, "paid, but no playable MP4: kept aside as ad_hook_0123abcd.aside.webm")
    page = visitor.read(AD)
    assert "kept aside as ad_hook_0123abcd.aside.webm" in page.text
    assert "/outputs/ad_hook_0123abcd.aside.webm" in [link["href"] for link in page.all("a")]
    assert "This buys a new clip." in page.text


def test_each_scene_plays_its_current_take(visitor: Visitor, records: Records) -> None:
    with_job(records)
    takes = [stored(records, scenario) for scenario in Scenario]
    page = visitor.read(AD)
    assert [(video["src"], video["poster"], video["preload"]) for video in page.all("video")] == [
        (f"/outputs/{take.clip.file}", f"/outputs/{take.clip.poster}", "none") for take in takes if take.clip
    ]
    assert "Cost $0.44" in page.text


def test_a_failed_scene_says_why_and_can_be_resumed_once(visitor: Visitor, records: Records, orders: Orders) -> None:
    with_job(records)
    for scenario in Scenario:
        stored(records, scenario)
    with_job(records, "job-2")
    for scenario in Scenario:
        take = make_take(None, scenario=scenario, job_id="job-2", minute=1, problem="no credits left")
        records.save_take(take)
    job = records.job("job-2")
    assert job is not None
    end_job(records, job)
    page = visitor.read(AD)
    assert page.text.count("The newest take failed: no credits left") == 4
    assert "Nothing was bought: this buys the clip. It also buys problem, solution and call to action." in page.text
    for _ in range(2):
        visitor.press(page.form(f"{AD}/jobs/job-2/resume", "Resume"), "Resume")
    assert orders.parameters == [{"target": "job-2"}]


def test_what_an_empty_account_refused_is_not_called_ordered(visitor: Visitor, records: Records) -> None:
    with_job(records)
    for scenario in Scenario:
        generating(records, scenario, AttemptState.ACCEPTED if scenario == Scenario.CTA else AttemptState.SUBMITTED)
        failed(records, scenario, "no credits left")
    text = visitor.read(AD).text
    assert text.count("Nothing was bought: this buys the clip. It also buys") == 3
    assert text.count("It is ordered already") == 1
    assert text.count("It also downloads call to action.") == 3
    assert "It also buys hook, problem and solution." in text


def test_a_rendered_clip_is_resumed_although_another_scene_can_t_be_planned(visitor: Visitor, records: Records) -> None:
    with_job(records)
    generating(records, Scenario.HOOK, AttemptState.RENDERED)
    failed(records, Scenario.HOOK, "disk full")
    records.storage.remove("sessions/ad/takes/cta/job-1.json")
    records.save_session(make_session(scene_descriptions=make_session().model_dump()["scene_descriptions"][:3]))
    page = visitor.read(AD)
    assert "The clip is rendered and paid: this downloads it and buys nothing." in page.text
    assert page.form(f"{AD}/jobs/job-1/resume", "Resume")


def test_what_was_never_bought_has_no_cost_and_what_is_unknown_is_not_zero(visitor: Visitor, records: Records) -> None:
    with_job(records)
    failed(records, Scenario.HOOK, "no credits left")
    assert "Nothing bought yet" in visitor.read(AD).text
    records.save_take(make_take(AttemptState.ACCEPTED, cost=None))
    assert "Cost not known yet" in visitor.read(AD).text
    stored(records, Scenario.CTA, "job-2")
    assert "Cost at least $0.11" in visitor.read(AD).text
    assert "$0.00" not in visitor.read(AD).text


def test_a_scene_is_regenerated_once_with_the_words_that_were_typed(
    visitor: Visitor, records: Records, orders: Orders
) -> None:
    stored(records, Scenario.HOOK)
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Regenerate")
    for _ in range(2):
        page = visitor.press(form, "Regenerate", visual_description="a moth", seed="7")
    assert len(orders.parameters) == 1
    changes = orders.parameters[0]["changes"]
    assert (changes["visual_description"], changes["seed"]) == ("a moth", 7)
    assert records.session("ad").scene(Scenario.HOOK).visual_description == "a moth"
    assert page.form(f"{AD}/scenes/hook", "Save").fields["visual_description"] == "a moth"


def test_the_same_form_with_other_words_buys_nothing(visitor: Visitor, records: Records, orders: Orders) -> None:
    stored(records, Scenario.HOOK)
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Regenerate")
    visitor.press(form, "Regenerate", visual_description="a moth")
    page = visitor.press(form, "Regenerate", 422, visual_description="a bat")
    assert "this key was used before" in page.text
    assert len(orders.parameters) == 1
    again = page.form(f"{AD}/scenes/hook", "Save").fields
    assert again["visual_description"] == "a bat"
    assert again["token"] != form.fields["token"]


def test_an_order_that_may_have_arrived_keeps_its_token(visitor: Visitor, records: Records, orders: Orders) -> None:
    stored(records, Scenario.HOOK)
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Regenerate")
    orders.is_away = True
    page = visitor.press(form, "Regenerate", 503, visual_description="a moth")
    assert "Prefect returned no usable response" in page.text
    assert page.form(f"{AD}/scenes/hook", "Regenerate").fields["token"] == form.fields["token"]


def test_an_order_without_its_token_buys_nothing(visitor: Visitor, records: Records, orders: Orders) -> None:
    stored(records, Scenario.HOOK)
    answer = visitor.client.post(f"{AD}/scenes/hook", data={"action": "regenerate", "visual_description": "a moth"})
    assert answer.status_code == 422
    assert orders.parameters == []


def test_saving_buys_nothing_and_takes_optional_fields_away(visitor: Visitor, records: Records, orders: Orders) -> None:
    records.save_session(make_session())
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Save")
    page = visitor.press(form, "Save", visual_description="a moth", seed="9", camera_work="low")
    assert "Saved." in page.text
    assert records.session("ad").scene(Scenario.HOOK).seed == 9
    visitor.press(page.form(f"{AD}/scenes/hook", "Save"), "Save", seed="", camera_work="", visual_description="a lamp")
    scene = records.session("ad").scene(Scenario.HOOK)
    assert (scene.seed, scene.camera_work, scene.visual_description) == (None, "", "a lamp")
    assert orders.parameters == []


@pytest.mark.parametrize("action", ["save", "regenerate"])
def test_a_form_that_has_a_field_twice_is_refused(
    visitor: Visitor, records: Records, orders: Orders, action: str
) -> None:
    stored(records, Scenario.HOOK)
    before = records.session("ad")
    sent = {"token": "a", "action": action, "visual_description": ["a moth", "a bat"]}
    answer = visitor.client.post(f"{AD}/scenes/hook", data=sent)
    assert answer.status_code == 422
    assert "The form has &#39;visual_description&#39; twice" in answer.text
    assert (records.session("ad"), orders.parameters) == (before, [])


@pytest.mark.parametrize("button", ["Save", "Regenerate"])
def test_two_people_change_two_fields_of_one_scene_in_forms_of_the_same_age(
    visitor: Visitor, records: Records, orders: Orders, button: str
) -> None:
    stored(records, Scenario.HOOK)
    ours, theirs = (visitor.read(AD).form(f"{AD}/scenes/hook", button) for _ in range(2))
    visitor.press(theirs, "Save", lighting="dawn", seed="9")
    visitor.press(ours, button, camera_work="low")
    scene = records.session("ad").scene(Scenario.HOOK)
    assert (scene.camera_work, scene.lighting, scene.seed) == ("low", "dawn", 9)
    # A take is bought as its form shows it.
    bought = [(each["changes"]["camera_work"], each["changes"]["lighting"]) for each in orders.parameters]
    assert bought == [("low", "")] * (button != "Save")


def test_a_form_that_comes_back_with_an_error_still_sends_only_what_was_changed(
    visitor: Visitor, records: Records
) -> None:
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Save")
    visitor.press(visitor.read(AD).form(f"{AD}/scenes/hook", "Save"), "Save", lighting="dawn")
    page = visitor.press(form, "Save", 422, camera_work="low", seed="many")
    visitor.press(page.form(f"{AD}/scenes/hook", "Save"), "Save", seed="7")
    scene = records.session("ad").scene(Scenario.HOOK)
    assert (scene.camera_work, scene.lighting, scene.seed) == ("low", "dawn", 7)


@pytest.mark.parametrize(
    ("frame", "shown"), [("/srv/lamp.png", "/srv/lamp.png"), (f"inputs/{'0' * 64}.png#lamp.png", "lamp.png")]
)
def test_a_first_frame_that_is_a_file_is_shown_and_left_as_it_is(
    visitor: Visitor, records: Records, frame: str, shown: str
) -> None:
    session = make_session()
    session.scene_descriptions[0].first_frame = frame
    records.save_session(session)
    page = visitor.read(AD)
    assert page.by_id("hook-first_frame")["value"] == shown
    visitor.press(page.form(f"{AD}/scenes/hook", "Save"), "Save", visual_description="a moth")
    assert records.session("ad").scene(Scenario.HOOK).first_frame == frame


@pytest.mark.parametrize(
    ("typed", "place", "words"),
    [
        ({"visual_description": ""}, "hook-visual_description", "Please fill this in."),
        ({"first_frame": "file:///etc/passwd"}, "hook-first_frame", "begins with https://"),
        ({"duration": "-1"}, "hook-duration", "greater than 0"),
    ],
    ids=["empty", "no https", "negative"],
)
def test_a_wrong_description_comes_back_with_its_error(
    visitor: Visitor, records: Records, typed: dict[str, str], place: str, words: str
) -> None:
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Save")
    page = visitor.press(form, "Save", 422, **typed)
    assert "aria-invalid" in page.by_id(place)
    assert words in page.text
    assert page.form(f"{AD}/scenes/hook", "Save").fields[next(iter(typed))] == next(iter(typed.values()))


def test_an_older_take_is_chosen_and_the_newer_one_stays(visitor: Visitor, records: Records) -> None:
    older = stored(records, Scenario.HOOK)
    newer = stored(records, Scenario.HOOK, "job-2", minute=1)
    assert older.clip is not None
    assert newer.clip is not None
    page = visitor.read(AD)
    assert page.all("video")[0]["src"] == f"/outputs/{newer.clip.file}"
    page = visitor.press(page.form(f"{AD}/scenes/hook/current", "Use take 1"), "Use take 1")
    assert page.all("video")[0]["src"] == f"/outputs/{older.clip.file}"
    assert "Use take 2" in page.form(f"{AD}/scenes/hook/current", "Use take 2").buttons


def test_a_take_that_does_not_exist_is_refused_on_the_page(visitor: Visitor) -> None:
    answer = visitor.client.post(f"{AD}/scenes/hook/current", data={"take": "nothing"})
    assert answer.status_code == 404
    assert "is not a stored take" in answer.text


def test_a_running_job_can_be_cancelled(visitor: Visitor, orders: Orders) -> None:
    page = visitor.press(visitor.read(AD).form(f"{AD}/generate", "Generate the 4 clips"), "Generate the 4 clips")
    job_id = page.by_id("jobs")["data-jobs"]
    page = visitor.press(page.form(f"{AD}/jobs/{job_id}/cancel", "Cancel"), "Cancel")
    assert "Nothing more is bought" in page.text
    assert next(iter(orders.runs.values())).state == "Cancelled"


def test_a_cancelled_job_has_one_notice_and_one_button(visitor: Visitor, records: Records, orders: Orders) -> None:
    with_job(records)
    generating(records, Scenario.HOOK, AttemptState.ACCEPTED)
    generating(records, Scenario.PROBLEM, AttemptState.SUBMITTED)
    stored(records, Scenario.CTA, "job-0", minute=-1)
    page = visitor.press(visitor.read(AD).form(f"{AD}/jobs/job-1/cancel", "Cancel"), "Cancel")
    resume = page.form(f"{AD}/jobs/job-1/resume", "Resume")
    assert [form for form in page.forms if form.action.startswith(f"{AD}/jobs/")] == [resume]
    assert (
        "Cancelled: hook, problem, solution and call to action. Ordered already, so a resume downloads: hook."
        " May be ordered already, so a resume looks first: problem."
        " Not bought yet, so a resume buys: solution and call to action." in page.text
    )
    assert "Cancelled. Nothing more is bought" not in page.text
    chips = [each["class"] for each in page.all("span") if each.get("class", "").startswith("chip ")]
    assert chips == ["chip chip-partial", *["chip chip-cancelled"] * 3, "chip chip-completed"]
    for _ in range(2):
        visitor.press(resume, "Resume")
    assert orders.parameters == [{"target": "job-1"}]


def test_a_page_outlives_prefect(
    visitor: Visitor, records: Records, orders: Orders, caplog: pytest.LogCaptureFixture
) -> None:
    stored(records, Scenario.HOOK)
    orders.is_away = True
    page = visitor.read(f"{AD}?job=job-9")
    assert "Your last orders may be missing here: Prefect returned no usable response" in page.text
    # Where Prefect is and what it says is for the log alone.
    assert AWAY not in page.text
    assert AWAY in caplog.text
    assert len(page.all("video")) == 1


def test_the_second_of_two_clicks_gets_the_answer_to_the_first(
    visitor: Visitor, records: Records, orders: Orders
) -> None:
    stored(records, Scenario.HOOK)
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Regenerate")
    orders.seconds = 0.3
    with ThreadPoolExecutor() as clicks:
        pages = list(clicks.map(lambda _: visitor.press(form, "Regenerate"), range(2)))
    assert [page.by_id("jobs")["data-jobs"] for page in pages] == [next(iter(orders.runs.values())).run_id] * 2
    assert len(orders.parameters) == 1


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("Runware says unsupportedDuration: no (parameter duration); allowed: 6", "duration"),
        ("Runware says invalidProviderContent: no", "visual_description"),
        ("Runware says invalidModel: no such model (parameter model)", "model"),
    ],
)
def test_a_refusal_marks_its_field_and_offers_no_retry_until_it_is_changed(
    visitor: Visitor, records: Records, message: str, field: str
) -> None:
    with_job(records)
    generating(records, Scenario.HOOK, AttemptState.FAILED)
    take = records.take("ad", Scenario.HOOK, "job-1")
    assert take
    take.attempts[-1].problem = Problem(code="sceneRefused", message=message)
    records.save_take(take)
    failed(records, Scenario.HOOK, message)
    page = visitor.read(AD)
    assert page.by_id(f"hook-{field}")["aria-invalid"] == "true"
    assert not [form for form in page.forms if "Retry" in form.buttons]
    page = visitor.press(page.form(f"{AD}/scenes/hook", "Save"), "Save", visual_description="a moth")
    assert "aria-invalid" not in page.by_id(f"hook-{field}")
    assert page.form(f"{AD}/scenes/hook/retry", "Retry")


def test_no_page_names_a_command_a_setting_or_a_pattern(visitor: Visitor, records: Records, orders: Orders) -> None:
    for message in (
        "scene hook: still rendering after 9 s (ADREEL_DEADLINE) as task 1; nothing is lost: `adreel resume` continues",
        "scene hook: failed (2 attempts were made, as many as ADREEL_ATTEMPTS allows)",
        "scene hook: no such image. Nothing was bought: name one with `adreel regenerate ad hook` and --first-frame",
        "scene hook: cancelled; Runware keeps rendering the clip: `adreel resume` downloads it",
    ):
        with_job(records)
        generating(records, Scenario.HOOK, AttemptState.FAILED)
        failed(records, Scenario.HOOK, message)
        pages = [visitor.read(path) for path in (AD, "/", "/new")]
        assert [COMMANDS.findall(page.text) for page in pages] == [[], [], []]
        records.storage.remove("sessions/ad/takes/hook/job-1.json")
    form = visitor.read(AD).form(f"{AD}/scenes/hook", "Save")
    page = visitor.press(form, "Save", 422, size="big", model="x y", seed="1.5")
    assert not COMMANDS.search(page.text)
    assert not COMMANDS.search(visitor.read("/sessions/no.id", 422).text)
    assert not COMMANDS.search(visitor.read("/sessions/nothing", 404).text)

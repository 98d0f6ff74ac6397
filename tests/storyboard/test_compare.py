"""The page that compares two takes, as a person without script uses it."""

from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState, Take
from adreel.records import Records
from adreel.web.pages.comparison import word_pieces
from tests.factories import make_session, make_take
from tests.storyboard.conftest import Visitor

AD = "/sessions/ad"
COMPARE = f"{AD}/scenes/hook/compare"


def two_takes(records: Records) -> tuple[Take, Take]:
    older, newer = make_take(cost=0.11), make_take(job_id="job-2", minute=1, cost=0.25)
    assert newer.scene
    assert older.scene
    newer.scene.visual_description = "A moth circles the lamp, then lands."
    older.scene.visual_description = "A moth circles the old lamp."
    newer.request = newer.request.model_copy(update={"duration": 8, "sound": True})
    for take in (older, newer):
        records.save_take(take)
    return older, newer


def marked(text: str, other: str) -> list[str]:
    return [piece.words for piece in word_pieces(text, other)[0] if piece.is_changed]


def test_two_takes_are_compared_by_word_and_one_is_chosen(visitor: Visitor, records: Records) -> None:
    older, newer = two_takes(records)
    assert {"id": "hook-compare", "class": "quiet", "href": COMPARE} in visitor.read(AD).all("a")
    page = visitor.read(f"{COMPARE}?a={older.short_id}&b={newer.job_id}")
    clips = [f"/outputs/{take.clip.file}" for take in (older, newer) if take.clip]
    assert [video["src"] for video in page.all("video")] == clips
    assert all("controls" in video and video["preload"] == "none" for video in page.all("video"))
    for words in ("A Take 1 5 s", "$0.11", "B Take 2 5 s", "$0.25", "Current", "The same in both: Model, Size, Seed"):
        assert words in page.text
    assert page.text.partition("What differs")[2].split("The same")[0].strip() == (
        "What the viewer sees A A moth circles the old lamp. B A moth circles the lamp , then lands . "
        "Seconds A 5 B 8 Sound A Model's default B On"
    )
    page = visitor.press(page.form(f"{AD}/scenes/hook/current", "Use this one (take 1)"), "Use this one (take 1)")
    assert "Take 1 is now used." in page.text
    assert page.all("video")[0]["src"] == clips[0]


def test_of_three_takes_two_are_chosen_in_a_form(visitor: Visitor, records: Records) -> None:
    two_takes(records)
    newest = make_take(job_id="job-3", minute=2)
    records.save_take(newest)
    records.save_take(make_take(AttemptState.SUBMITTED, job_id="job-4", minute=3))
    page = visitor.read(COMPARE)
    form = page.form(COMPARE, "Compare these")
    [first, second] = page.all("h2")[:2]
    assert form.fields == {"a": newest.short_id, "b": records.takes("ad", Scenario.HOOK)[1].short_id}
    assert "Take 3, current" in page.text
    assert first != second
    assert "Take 4" not in page.text
    assert "This is the same take twice." in visitor.read(f"{COMPARE}?a={newest.short_id}&b={newest.job_id}").text


def test_without_two_clips_the_page_says_so_and_leads_back(visitor: Visitor, records: Records) -> None:
    back = {"class": "button button-small", "href": f"{AD}#hook"}
    page = visitor.read(COMPARE)
    assert "There is nothing to compare yet" in page.text
    assert back in page.all("a")
    older, _ = two_takes(records)
    page = visitor.read(f"{COMPARE}?a={older.short_id}&b=nothing", 404)
    assert "One of these takes is not there" in page.text
    assert back in page.all("a")
    assert page.form(COMPARE, "Compare these").fields["a"] == older.short_id
    assert "There is no such ad." in visitor.read("/sessions/nothing/scenes/hook/compare", 404).text
    records.save_session(make_session(session_id="other"))
    assert visitor.client.get("/sessions/other/scenes/outro/compare").status_code == 422


def test_whole_words_are_marked_in_any_script() -> None:
    assert marked("A moth, small.", "A moth small.") == [","]
    assert marked("दीपक जलता है", "दीपक बुझता है") == ["जलता"]
    assert marked("same  words\nhere", "same words here") == []
    assert marked("", "anything") == []
    # Many equal words in long texts take no longer than others.
    assert len(word_pieces("a b " * 1000, "b c " * 1000)[0]) > 0

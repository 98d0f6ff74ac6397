"""The strip of a scene's takes: a choice is confirmed there, and the scene gets the words of a take back."""

from adreel.models.scenarios import Scenario
from adreel.records import Records
from tests.factories import make_take
from tests.storyboard.conftest import Orders, Visitor

AD = "/sessions/ad"
CURRENT, WORDS = f"{AD}/scenes/hook/current", f"{AD}/scenes/hook/words"


def two_takes(records: Records) -> None:
    older = make_take(job_id="old")
    assert older.scene
    older.scene.visual_description, older.scene.lighting, older.scene.duration = "a moth", "candles", 6
    records.save_take(older)
    records.save_take(make_take(job_id="new", minute=1))


def test_a_choice_is_confirmed_beside_the_open_strip(visitor: Visitor, records: Records) -> None:
    two_takes(records)
    page = visitor.read(AD)
    assert "open" not in page.by_id("hook-takes-list")
    page = visitor.press(page.form(CURRENT, "Use take 1"), "Use take 1")
    assert "Take 1 is now used." in page.text
    assert "open" in page.by_id("hook-takes-list")
    assert "is now used" not in visitor.read(f"{AD}?said=chosen&scene=hook&take=nothing").text


def test_the_only_take_is_shown_once_its_words_differ(visitor: Visitor, records: Records) -> None:
    records.save_take(make_take())
    page = visitor.read(AD)
    assert not [each for each in page.all("details") if each.get("id") == "hook-takes-list"]
    page = visitor.press(page.form(f"{AD}/scenes/hook", "Save"), "Save", visual_description="a moth")
    name = "Use its description (take 1)"
    page = visitor.press(page.form(WORDS, name), name)
    assert records.session("ad").scene(Scenario.HOOK).visual_description == "a lamp in the hook"
    assert not [each for each in page.all("details") if each.get("id") == "hook-takes-list"]


def test_a_scene_gets_the_words_of_a_take_back_and_buys_nothing(
    visitor: Visitor, records: Records, orders: Orders
) -> None:
    two_takes(records)
    page = visitor.read(AD)
    assert "Lighting candles" in page.text
    before = records.session("ad").scene(Scenario.HOOK)
    # The scene still has the words of take 2.
    assert [each.action for each in page.forms if each.action == WORDS] == [WORDS]
    name = "Use its description (take 1)"
    page = visitor.press(page.form(WORDS, name), name)
    assert "The scene has the description of take 1 again." in page.text
    assert "open" in page.by_id("hook-takes-list")
    words = {"visual_description": "a moth", "lighting": "candles", "duration": 6}
    assert records.session("ad").scene(Scenario.HOOK) == before.model_copy(update=words)
    assert records.choices("ad").takes == {}
    assert orders.parameters == []
    assert page.form(WORDS, "Use its description (take 2)")
    answer = visitor.client.post(WORDS, data={"take": "00000000"})
    assert (answer.status_code, "is not a take of this scene: reload the page" in answer.text) == (404, True)

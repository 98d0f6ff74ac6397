"""Ads are archived, restored and deleted, and the facts of their products edited, without script."""

from adreel.models.scenarios import Scenario
from adreel.models.takes import AttemptState
from adreel.records import Records
from tests.factories import make_session
from tests.storyboard.conftest import Visitor
from tests.storyboard.reading import PageReader
from tests.storyboard.stories import generating, stored, with_job

AD = "/sessions/ad"


def ads(page: PageReader) -> list[str]:
    return [link["href"] for link in page.all("a") if link.get("class") == "session"]


def test_an_ad_is_archived_in_the_list_and_an_undo_brings_it_back(visitor: Visitor, records: Records) -> None:
    records.save_session(make_session(session_id="other", product_name="Lamp two"))
    page = visitor.read("/?q=lamp")
    assert len(ads(page)) == 2
    page = visitor.press(page.form(f"{AD}/archive", "Archive Lamp"), "Archive Lamp")
    assert "Lamp is archived." in page.text
    assert (ads(page), page.by_id("q")["value"]) == (["/sessions/other"], "lamp")
    assert ads(visitor.read("/?state=archived")) == [AD]
    page = visitor.press(page.form(f"{AD}/restore", "Undo"), "Undo")
    assert "Lamp is in the list again." in page.text
    assert ads(page) == ["/sessions/other", AD]
    assert "is archived" not in visitor.read("/?said=archived&ad=ad").text


def test_the_page_of_an_archived_ad_offers_no_purchase(visitor: Visitor, records: Records) -> None:
    for scenario in (Scenario.HOOK, Scenario.PROBLEM, Scenario.SOLUTION):
        stored(records, scenario)
    open_page = visitor.read(AD)
    assert "Generate" in open_page.text
    page = visitor.press(open_page.form(f"{AD}/archive", "Archive"), "Archive")
    assert "This ad is archived" in page.text
    buttons = {words for form in page.forms for words in form.buttons}
    assert not [words for words in buttons if words.startswith(("Generate", "Regenerate", "Retry", "Resume"))]
    # A page that was open before refuses by name.
    page = visitor.press(open_page.form(f"{AD}/generate", "Generate call to action"), "Generate call to action", 409)
    assert "ad 'ad' is archived, so nothing is bought for it" in page.text
    assert "adreel archive" not in page.text
    page = visitor.press(page.form(f"{AD}/restore", "Restore"), "Restore")
    assert "Generate call to action" in page.form(f"{AD}/generate", "Generate call to action").buttons


def test_the_facts_of_an_ad_change_what_is_bought_later(visitor: Visitor, records: Records) -> None:
    records.update_session("ad", lambda session: session.model_copy(update={"brand_tone": "calm"}))
    with_job(records)
    generating(records, Scenario.HOOK, AttemptState.ACCEPTED)
    [clip] = records.takes("ad", Scenario.HOOK)
    clip.advance(AttemptState.STORED)
    clip.clip = stored(records, Scenario.CTA, "job-2").clip
    records.save_take(clip)
    address = visitor.read(AD).by_id("edit-facts")["href"]
    page = visitor.read(address)
    assert "Made from other facts: the clip of call to action." in page.text
    form = page.form(f"{AD}/facts", "Save the facts")
    assert form.fields["brand_tone"] == "calm"
    page = visitor.press(
        form, "Save the facts", brand_tone="", main_benefit="light\r\nat night", brand_colors="red, #fff"
    )
    assert "Saved. What is bought from now on is made from these facts" in page.text
    assert "Made from other facts: the clips of hook and call to action." in page.text
    session = records.session("ad")
    assert (session.brand_tone, session.brand_colors) == ("", ["red", "#fff"])
    assert records.take("ad", Scenario.HOOK, "job-1") == clip


def test_facts_that_were_changed_meanwhile_are_not_overwritten(visitor: Visitor, records: Records) -> None:
    form = visitor.read(f"{AD}/facts").form(f"{AD}/facts", "Save the facts")
    records.update_session("ad", lambda session: session.model_copy(update={"category": "lamps"}))
    page = visitor.press(form, "Save the facts", 409, brand_tone="witty")
    assert "was changed meanwhile: nothing is saved yet" in page.text
    form = page.form(f"{AD}/facts", "Save the facts")
    assert (form.fields["category"], form.fields["brand_tone"], records.session("ad").brand_tone) == (
        "lamps",
        "witty",
        "",
    )
    visitor.press(form, "Save the facts")
    assert (records.session("ad").category, records.session("ad").brand_tone) == ("lamps", "witty")
    page = visitor.press(
        visitor.read(f"{AD}/facts").form(f"{AD}/facts", "Save the facts"), "Save the facts", 422, product_name=" "
    )
    assert "aria-invalid" in page.by_id("product_name")


def test_an_ad_that_was_never_bought_is_deleted_after_a_question(visitor: Visitor, records: Records) -> None:
    page = visitor.read(visitor.read(AD).by_id("delete")["href"])
    assert "No clip was ever ordered for it." in page.text
    form = page.form(f"{AD}/delete", "Delete the ad")
    page = visitor.press(form, "Delete the ad")
    assert "ad is deleted." in page.text
    visitor.read(AD, 404)
    assert visitor.client.post("/example").url.path == "/sessions/glowcap"

    records.save_session(make_session())
    stored(records, Scenario.HOOK)
    assert not [link for link in visitor.read(AD).all("a") if link.get("id") == "delete"]
    page = visitor.press(form, "Delete the ad", 409)
    assert "ad 'ad' can't be deleted: clips of it were ordered. Archive it instead" in page.text
    assert records.session("ad").deleted_at is None

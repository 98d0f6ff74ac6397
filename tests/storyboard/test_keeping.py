"""Ads are archived and restored, without script."""

from adreel.models.scenarios import Scenario
from adreel.records import Records
from tests.factories import make_session
from tests.storyboard.conftest import Visitor
from tests.storyboard.reading import PageReader
from tests.storyboard.stories import stored

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

"""The pages in a real browser, with a stand-in where Prefect is asked: what they load, show and play."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from adreel.cli.app import app
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.purchase.jobs import end_job
from adreel.purchase.probe.decoding import draw_poster
from adreel.records import Records
from adreel.spend.budgets import Budgets
from tests.cut.stored_ads import store_ad, store_cut
from tests.factories import make_take, write_film
from tests.storyboard.conftest import Orders, Visitor
from tests.storyboard.stories import with_job
from tests.storyboard.test_in_chromium import CHROMIUM, page

pytest.importorskip("playwright", reason="playwright is not installed")
from playwright.sync_api import Dialog, Page, expect

__all__ = ["page"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")]


def url(visitor: Visitor, path: str = "/sessions/ad") -> str:
    return str(visitor.client.base_url.join(path))


def test_opening_an_ad_fetches_posters_and_no_clip(
    visitor: Visitor, records: Records, page: Page, tmp_path: Path
) -> None:
    store_ad(records, tmp_path)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(url(visitor), wait_until="networkidle")
    assert sum(each.endswith(".jpg") for each in requested) == 4
    assert not [each for each in requested if each.endswith(".mp4")]


def test_opening_an_ad_with_four_large_clips_moves_less_than_300_kb(
    visitor: Visitor, records: Records, page: Page, tmp_path: Path
) -> None:
    store_ad(records, tmp_path, scenarios=[])
    film = write_film(tmp_path / "large.mp4", 1.5, size=(1280, 720))
    assert film.stat().st_size > 12_000_000
    draw_poster(film, tmp_path / "poster.jpg")
    takes = [make_take(scenario=scenario) for scenario in Scenario]
    for take in takes:
        assert take.clip
        for source, name in ((film, take.clip.file), (tmp_path / "poster.jpg", take.clip.poster)):
            records.storage.write(name or "", source.read_bytes())
        take.clip.size = film.stat().st_size
        records.save_take(take)
    store_cut(records, tmp_path)
    moved: dict[str, int] = {}
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda ended: moved.update({ended["requestId"]: ended["encodedDataLength"]}))
    page.goto(url(visitor), wait_until="networkidle")
    expect(page.locator("#cut-player video")).to_be_visible()
    assert len(moved) > len(takes)
    assert sum(moved.values()) < 300_000


def test_one_clip_plays_at_a_time(visitor: Visitor, records: Records, page: Page, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    page.goto(url(visitor))
    videos = page.locator(".stage video")
    for number in (0, 1):
        videos.nth(number).evaluate("video => { video.muted = video.loop = true; return video.play() }")
    page.wait_for_function("document.querySelector('#hook-stage video').paused")
    assert not videos.nth(1).evaluate("video => video.paused")


@pytest.mark.parametrize("shape", ["16:9", "9:16"])
def test_scenes_stand_in_one_two_or_four_columns(visitor: Visitor, records: Records, page: Page, shape: str) -> None:
    records.update_session("ad", lambda session: Session.model_validate({**session.model_dump(), "aspect": shape}))
    page.goto(url(visitor))
    columns = []
    for width in range(320, 2000, 80):
        page.set_viewport_size({"width": width, "height": 900})
        tops = page.locator(".scene").evaluate_all("cards => cards.map(card => card.getBoundingClientRect().top)")
        columns.append(tops.count(tops[0]))
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert len(tops) == len(Scenario)
    assert columns == sorted(columns)
    assert set(columns) == {1, 2, 4}


def test_times_are_those_of_the_reader(visitor: Visitor, records: Records, page: Page, tmp_path: Path) -> None:
    store_ad(records, tmp_path)
    assert page.context.browser is not None
    with page.context.browser.new_context(timezone_id="Asia/Kolkata") as context:
        abroad = context.new_page()
        abroad.goto(url(visitor, "/"))
        time = abroad.locator("time")
        assert time.get_attribute("datetime") == "2026-11-23T12:00:00+00:00"
        assert time.text_content() == "23 Nov 2026, 17:30"
        assert time.get_attribute("title") == "23 Nov 2026, 12:00 UTC"


def test_a_product_in_arabic_is_written_from_right_to_left(visitor: Visitor, records: Records, page: Page) -> None:
    records.update_session("ad", lambda session: session.model_copy(update={"product_name": "مصباح"}))
    page.goto(url(visitor))
    assert page.locator("h1").evaluate("heading => heading.matches(':dir(rtl)')")
    assert page.locator("#hook-visual_description").evaluate("field => field.matches(':dir(ltr)')")


def test_an_ad_that_is_made_counts_in_its_title_and_tells_of_its_end(
    visitor: Visitor, records: Records, page: Page
) -> None:
    with_job(records)
    page.context.grant_permissions(["notifications"])
    page.add_init_script("""
        window.told = [];
        const Shown = Notification;
        window.Notification = class extends Shown {
          constructor(title, options) { super(title, options); window.told.push(`${title}: ${options.body}`); }
        };
    """)
    page.goto(url(visitor))
    expect(page).to_have_title("(0/4) Lamp · adreel")
    expect(page.locator("#hook-state .wait")).to_contain_text(" s so far")
    page.get_by_role("button", name="Tell me when it is ready").click()
    expect(page.get_by_role("button", name="You will be told")).to_have_attribute("aria-pressed", "true")
    for number, scenario in enumerate(Scenario, 1):
        take = make_take(scenario=scenario)
        assert take.clip is not None
        take.clip.poster = None
        records.save_take(take)
        if number < len(Scenario):
            expect(page).to_have_title(f"({number}/4) Lamp · adreel")
    job = records.job("job-1")
    assert job is not None
    end_job(records, job)
    expect(page).to_have_title("✓ Lamp · adreel")
    page.wait_for_function("window.told.length")
    assert page.evaluate("window.told") == ["Lamp is ready: 4 of 4 clips are stored."]
    expect(page.locator("#tell")).to_be_hidden()


def test_over_budget_the_button_says_so_until_the_budget_is_raised(
    visitor: Visitor, records: Records, orders: Orders, page: Page
) -> None:
    Budgets(records).set("month", 300_000)
    page.goto(url(visitor))
    button = page.get_by_role("button", name="Generate the 4 clips")
    expect(button).to_be_disabled()
    expect(button).to_have_accessible_description("Needs $2.52; this month's budget has $0.30 left.")
    page.locator("#hook-visual_description").fill("a moth")
    raised = CliRunner().invoke(app, ["budget", "set", "month", "2.60"], catch_exceptions=False)
    assert raised.exit_code == 0, raised.output
    page.locator("#hook-save").click()
    expect(button).to_be_enabled()
    page.get_by_label("Spend at most").fill("2")
    button.click()
    expect(page.locator("#said")).to_contain_text("Needs $2.52; your limit has $2.00 left. Nothing was bought.")
    expect(page.get_by_label("Spend at most")).to_have_value("2")
    page.get_by_label("Spend at most").fill("")
    button.click()
    expect(page).to_have_title("(0/4) Lamp · adreel")
    assert [order["session_id"] for order in orders.parameters] == ["ad"]


def test_a_new_ad_that_is_not_saved_survives_a_reload(visitor: Visitor, records: Records, page: Page) -> None:
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(url(visitor, "/new"))
    expect(page.get_by_text("Not saved yet")).to_be_hidden()
    page.locator("#product_name").fill("Dewdrop")
    page.get_by_text("Serums, creams and cosmetics").click()
    page.get_by_role("button", name="Write the scenes").click()
    expect(page.locator("#compose-said")).to_contain_text("The scenes are written")
    page.locator("#hook-visual_description").fill("One drop.")
    page.locator("#hook-duration").select_option("7")
    page.reload()
    for name, text in (("product_name", "Dewdrop"), ("hook-visual_description", "One drop."), ("hook-duration", "7")):
        expect(page.locator(f"#{name}")).to_have_value(text)
    expect(page.locator("#solution-dialog_narration")).to_have_value("Dewdrop: skin that feels calm all day.")
    page.goto(url(visitor, "/new?from=ad"))
    expect(page.locator("#product_name")).to_have_value("")
    page.goto(url(visitor, "/new"))
    page.locator("#session_id").evaluate("field => { field.value = 'dew' }")
    page.get_by_role("button", name="Create the ad").click()
    expect(page.get_by_role("heading", name="Dewdrop", level=1)).to_be_visible()
    assert records.session("dew").scene(Scenario.HOOK).visual_description == "One drop."
    page.goto(url(visitor, "/new"))
    expect(page.locator("#product_name")).to_have_value("")
    page.locator("#product_name").fill("Nothing")
    page.get_by_role("button", name="Discard it").click()
    expect(page.locator("#product_name")).to_have_value("")
    expect(page.get_by_text("Not saved yet")).to_be_hidden()


def test_typing_in_three_scenes_and_saving_one_loses_nothing(visitor: Visitor, records: Records, page: Page) -> None:
    page.goto(url(visitor))
    page.evaluate("window.isTheSamePage = true")
    for scenario in ("hook", "problem", "solution"):
        page.locator(f"#{scenario}-visual_description").fill(f"a moth in the {scenario}")
    expect(page.get_by_text("Not saved yet").locator("visible=true")).to_have_count(3)
    page.locator("#hook-save").click()
    expect(page.locator("#hook-said")).to_contain_text("Saved.")
    expect(page.locator("#hook-save")).to_be_focused()
    expect(page.get_by_text("Not saved yet").locator("visible=true")).to_have_count(2)
    assert page.evaluate("window.isTheSamePage")
    assert records.session("ad").scene(Scenario.HOOK).visual_description == "a moth in the hook"
    assert records.session("ad").scene(Scenario.PROBLEM).visual_description == "a lamp in the problem"

    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    page.reload()
    assert asked == ["beforeunload"]
    for scenario in ("hook", "problem", "solution"):
        expect(page.locator(f"#{scenario}-visual_description")).to_have_value(f"a moth in the {scenario}")
    expect(page.get_by_text("Not saved yet").locator("visible=true")).to_have_count(2)

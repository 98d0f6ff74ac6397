"""The pages of campaigns as a person without script uses them."""

from pathlib import Path

from adreel.models.spend import to_micros
from adreel.models.takes import AttemptState
from adreel.records import Records
from adreel.spend.budgets import Budgets
from tests.index.test_campaigns import store_ad
from tests.storyboard.conftest import Orders, Visitor, visiting
from tests.storyboard.reading import Form, PageReader

STORED, ACCEPTED, FAILED = AttemptState.STORED, AttemptState.ACCEPTED, AttemptState.FAILED


def store_spring(records: Records) -> None:
    """Store a campaign of three products in two variants, with failures, and one ad that is still to come."""
    for session_id, *states in (
        ("fan-day", STORED, STORED),
        ("fan-night", STORED, STORED),
        ("lamp-day", STORED, STORED),
        ("lamp-night", FAILED, FAILED),
        ("mug-day", STORED, ACCEPTED),
    ):
        store_ad(records, session_id, *states, variant=session_id.partition("-")[2])


def links(page: PageReader, start: str) -> list[str]:
    return [link["href"] for link in page.all("a") if link["href"].startswith(start)]


def test_a_page_without_campaigns_says_what_one_is(records: Records, orders: Orders) -> None:
    with visiting(orders) as client:
        visitor = Visitor(client)
        page = visitor.read("/campaigns")
        assert "A campaign makes an ad of each product in each variant" in page.text
        assert {"href": "/campaigns", "aria-current": "page"} in page.all("a")
        assert "There is no such campaign." in visitor.read("/campaigns/spring", 404).text
        visitor.read("/campaigns/spring?state=lost", 422)


def test_a_campaign_shows_states_costs_posters_and_links_failed_ones_first(visitor: Visitor, records: Records) -> None:
    store_spring(records)
    Budgets(records).set("campaign:spring", to_micros(5))
    store_ad(records, "other", STORED, STORED, campaign="winter", minute=-60)
    listed, _ = links(visitor.read("/campaigns"), "/campaigns/")
    page = visitor.read(listed)
    assert links(page, "/sessions/") == [
        f"/sessions/{each}" for each in ("lamp-day", "lamp-night", "mug-day", "fan-day", "fan-night")
    ]
    assert "hook was refused" in page.text
    assert "night Not started yet" in page.text
    assert "4 of 5 started ads have ended" in page.text
    assert "Left for campaign spring: $" in page.text
    assert len([image for image in page.all("img") if image["src"].startswith("/outputs/")]) == 4
    failed = visitor.read("/campaigns/spring?state=failed")
    assert links(failed, "/sessions/") == ["/sessions/lamp-night"]


def test_the_ads_of_a_campaign_are_paged(visitor: Visitor, records: Records) -> None:
    for number in range(13):
        store_ad(records, f"p{number:02}-day", STORED, STORED, variant="day")
        store_ad(records, f"many-{number:02}", STORED, STORED, campaign="flat")
    for name, most in (("spring", 12), ("flat", 13)):
        first = visitor.read(f"/campaigns/{name}")
        found = links(first, "/sessions/")
        assert len(found) == most
        for following in [link["href"] for link in first.all("a") if link.get("rel") == "next"]:
            found += links(visitor.read(following), "/sessions/")
        assert len(set(found)) == 13


FILE = (Path(__file__).parents[2] / "examples" / "campaigns" / "spring.yaml").read_text()


def form_of(visitor: Visitor, page: PageReader | None = None) -> Form:
    return (page or visitor.read("/new-campaign")).form("/new-campaign", "Check and show the price")


def test_a_campaign_is_started_from_a_file_with_its_price_on_the_button(
    visitor: Visitor, records: Records, orders: Orders
) -> None:
    upload = {"file": ("spring.yaml", FILE.encode())}
    answer = visitor.client.post("/new-campaign", data={**form_of(visitor).fields, "action": "check"}, files=upload)
    checked = PageReader(answer.text)
    assert "4 ads to start, about $10.08" in checked.text
    assert not orders.runs
    assert records.campaign("spring") is None

    form = form_of(visitor, checked)
    page = visitor.press(form, "Generate 4 ads")
    assert orders.parameters == [{"source": "campaign:spring", "campaign": "spring"}]
    assert "Waiting for a worker: 0 of 4 ads have ended" in page.text
    visitor.press(form, "Generate 4 ads")
    assert len(orders.runs) == 1, "a second click is the same order"
    assert "No ad is started yet" in visitor.read("/campaigns").text

    visitor.press(page.form("/campaigns/spring/cancel", "Stop the campaign"), "Stop the campaign")
    rest = visitor.read("/campaigns/spring/resume")
    assert "4 ads to start, about $10.08" in rest.text
    visitor.press(rest.form("/campaigns/spring/resume", "Continue"), "Continue")
    assert len(orders.runs) == 2


def test_a_button_buys_only_what_was_shown(visitor: Visitor, orders: Orders) -> None:
    form = form_of(visitor)
    shown = visitor.press(form, "Check and show the price", 422, text=FILE, name="a b")
    assert "Letters, digits, - and _ only" in shown.text
    checked = PageReader(
        visitor.client.post("/new-campaign", data={**form.fields, "text": FILE, "name": "spring"}).text
    )
    changed = form_of(visitor, checked).fields | {"text": FILE.replace("hushfan", "quiet"), "action": "start"}
    assert "has changed: look at it again" in PageReader(visitor.client.post("/new-campaign", data=changed).text).text
    assert not orders.runs


def test_what_is_wrong_in_a_file_is_named_by_line_and_field(visitor: Visitor, orders: Orders) -> None:
    form = form_of(visitor)
    wrong = FILE.replace("brand_tone: brisk", "brand_tone: brisk\n    colour: red").replace(
        "duration: 5", "duration: 99", 1
    )
    page = visitor.press(form, "Check and show the price", 422, text=wrong, name="spring")
    assert "Line 19, variants.0.hook.duration: Input should be less than or equal to 60" in page.text
    assert "variants.1.colour: there is no such field" in page.text
    assert form_of(visitor, page).fields["text"] == wrong, "nothing that was typed is lost"
    page = visitor.press(form, "Check and show the price", 422, text="products: [", name="spring")
    assert "The file is not valid YAML: line 2" in page.text
    assert not orders.runs


def test_a_campaign_without_money_is_refused_on_its_page(visitor: Visitor, records: Records, orders: Orders) -> None:
    Budgets(records).set("campaign:spring", to_micros(1))
    fields = {**form_of(visitor).fields, "text": FILE, "name": "spring"}
    checked = PageReader(visitor.client.post("/new-campaign", data=fields).text)
    assert "The tightest budget has $1.00 left: enough for 0 of 4 ads" in checked.text
    refused = visitor.press(form_of(visitor, checked), "Generate 4 ads", 402)
    assert "the budget of campaign spring has $1.00 left. Nothing was bought." in refused.text
    assert not orders.runs
    assert records.campaign("spring") is None

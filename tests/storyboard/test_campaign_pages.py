"""The pages of campaigns as a person without script uses them."""

from adreel.models.spend import to_micros
from adreel.models.takes import AttemptState
from adreel.records import Records
from adreel.spend.budgets import Budgets
from tests.index.test_campaigns import store_ad
from tests.storyboard.conftest import Orders, Visitor, visiting
from tests.storyboard.reading import PageReader

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

"""Campaigns by the index: what their ads are, and that their numbers are those of the records."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adreel.campaigns import campaign_job_id
from adreel.cli.app import app
from adreel.errors import InputError, NotFound, StorageUnavailable
from adreel.index import SessionIndex, list_campaigns, read_campaign, read_grid
from adreel.index.campaigns import MAX_VARIANTS, states_of_newest
from adreel.models.api import State
from adreel.models.scenarios import Scenario
from adreel.models.spend import Price
from adreel.models.spend_groups import Group
from adreel.models.takes import AttemptState, Job, Take
from adreel.records import Records
from adreel.spend.reports import build_report
from adreel.storage import Storage
from tests.factories import NOW, make_session, make_take, save_job

SCENES = [Scenario.HOOK, Scenario.CTA]
STORED, ACCEPTED, FAILED = AttemptState.STORED, AttemptState.ACCEPTED, AttemptState.FAILED


def store_ad(
    records: Records, session_id: str, *states: AttemptState, campaign: str = "spring", minute: int = 0, **changes: str
) -> str:
    """Store an ad of a campaign with a state for each of two scenes, and return the id of its job."""
    records.save_session(make_session(session_id=session_id, product_name=f"The {session_id}", **changes), campaign)
    job_id = campaign_job_id(campaign, session_id)
    at = NOW + timedelta(minutes=minute)
    job = Job(job_id=job_id, session_id=session_id, scenarios=SCENES, created_at=at, campaign=campaign)
    save_job(records, job.model_copy(update={"ended_at": None if ACCEPTED in states else at}))
    for scenario, state in zip(SCENES, states, strict=True):
        records.save_take(take_of(job, scenario, state))
    return job_id


def take_of(job: Job, scenario: Scenario, state: AttemptState, number: int = 0) -> Take:
    problem = f"{scenario} was refused" if state == FAILED else None
    take = make_take(state, scenario=scenario, job_id=job.job_id, session_id=job.session_id, problem=problem)
    take.campaign, take.number = job.campaign, number
    take.price = Price(amount=150_000, source="listed")
    return take


@pytest.fixture
def index(records: Records, tmp_path: Path) -> SessionIndex:
    """Give the index of a campaign with an ad in each state, and of another one that began earlier."""
    store_ad(records, "done", STORED, STORED)
    store_ad(records, "part", STORED, FAILED)
    store_ad(records, "lost", FAILED, FAILED)
    store_ad(records, "busy", STORED, ACCEPTED)
    store_ad(records, "again", STORED, STORED, campaign="winter", minute=-60)
    records.save_session(make_session(session_id="single"))
    index = SessionIndex(records, tmp_path / "index")
    index.update()
    return index


def test_a_campaign_shows_its_ads_failed_ones_first(index: SessionIndex, records: Records) -> None:
    page = read_campaign(index, "spring")
    assert [(ad.session_id, ad.state, ad.error) for ad in page.ads] == [
        ("lost", State.FAILED, "hook was refused"),
        ("part", State.PARTIAL, "cta was refused"),
        ("busy", State.GENERATING, None),
        ("done", State.COMPLETED, None),
    ]
    assert page.ads[0].product_name == "The lost"
    assert page.campaign.states == {State.FAILED: 1, State.PARTIAL: 1, State.GENERATING: 1, State.COMPLETED: 1}
    spend = build_report(records, Group.CAMPAIGN).money.by_name["spring"]
    found = page.campaign
    assert (found.ads, found.unknown_bills) == (spend.ads, spend.unknown) == (4, 1)
    assert (round(found.billed * 1e6), round(found.estimated * 1e6)) == (spend.billed, spend.estimated)
    assert read_campaign(index, "spring", state=State.PARTIAL).ads == [page.ads[1]]
    with pytest.raises(NotFound, match="no campaign 'summer'"):
        read_campaign(index, "summer")


def test_a_campaign_of_variants_shows_products_with_failures_first(index: SessionIndex, records: Records) -> None:
    assert read_grid(index, "spring") is None
    for product, variant, *states in (
        ("fan", "day", STORED, STORED),
        ("fan", "late-night", STORED, STORED),
        ("lamp", "day", STORED, STORED),
        ("lamp", "late-night", STORED, FAILED),
        ("mug", "day", ACCEPTED, STORED),
    ):
        store_ad(records, f"{product}-{variant}", *states, campaign="grid", variant=variant)
    index.update()
    first = read_grid(index, "grid", limit=2)
    assert first is not None
    assert first.variants == ["day", "late-night"]
    assert [(each.product, sorted(each.ads)) for each in first.products] == [
        ("lamp", ["day", "late-night"]),
        ("mug", ["day"]),
    ]
    assert first.products[0].ads["late-night"].state == State.PARTIAL
    assert (first.products[0].ads["day"].poster_url or "").startswith("/outputs/lamp-day_hook_")
    assert first.products[1].ads["day"].unknown_bills == 1
    second = read_grid(index, "grid", limit=2, after=first.next)
    assert second is not None
    assert [each.product for each in second.products] == ["fan"]
    assert second.next is None
    for number in range(MAX_VARIANTS):
        store_ad(records, f"fan-v{number}", STORED, STORED, campaign="grid", variant=f"v{number}")
    index.update()
    assert read_grid(index, "grid") is None


def test_campaigns_are_listed_from_new_to_old(index: SessionIndex) -> None:
    listed = list_campaigns(index)
    assert [(each.name, each.ads, each.started_at) for each in listed.campaigns] == [
        ("spring", 4, NOW),
        ("winter", 1, NOW - timedelta(hours=1)),
    ]
    assert (listed.total, listed.next) == (2, None)
    assert states_of_newest(index.database, 1) == {"spring": listed.campaigns[0].states}


def test_pages_of_campaigns_and_ads_lead_to_the_end(index: SessionIndex) -> None:
    first = list_campaigns(index, limit=1)
    second = list_campaigns(index, limit=1, after=first.next)
    assert [each.name for page in (first, second) for each in page.campaigns] == ["spring", "winter"]
    assert second.next is None
    ads, after = [], None
    while True:
        page = read_campaign(index, "spring", limit=1, after=after)
        ads += page.ads
        if (after := page.next) is None:
            break
    assert ads == read_campaign(index, "spring", limit=0).ads
    for wrong in ("no", first.next, "WyJcdWQ4MDAiLCIiXQ", "WzE4NDQ2NzQ0MDczNzA5NTUxNjE2LCIiXQ"):
        with pytest.raises(InputError, match="after is not a cursor"):
            read_campaign(index, "spring", after=f"{wrong}AA" if wrong == first.next else wrong)


def test_a_scene_that_a_later_job_has_bought_counts_for_its_campaign(index: SessionIndex, records: Records) -> None:
    later = NOW + timedelta(minutes=9)
    new = {"session_id": "part", "campaign": "spring", "created_at": later, "ended_at": later}
    job = Job(job_id="job-9", scenarios=[Scenario.CTA], **new)
    save_job(records, job)
    records.save_take(take_of(job, Scenario.CTA, STORED, number=2))
    index.update()
    page = read_campaign(index, "spring")
    assert page.campaign.states == {State.FAILED: 1, State.GENERATING: 1, State.COMPLETED: 2}
    assert [ad.session_id for ad in page.ads] == ["lost", "busy", "done", "part"]


def test_a_session_has_an_ad_in_each_campaign_that_bought_it(index: SessionIndex, records: Records) -> None:
    store_ad(records, "done", STORED, FAILED, campaign="autumn", minute=5)
    index.update()
    assert read_campaign(index, "autumn").campaign.states == {State.PARTIAL: 1}
    assert read_campaign(index, "spring").campaign.states[State.COMPLETED] == 1
    records.storage.remove("sessions/done/session.json")
    index.refresh(["done"])
    assert [each.name for each in list_campaigns(index).campaigns] == ["spring", "winter"]


def test_an_unknown_campaign_may_be_in_the_part_that_is_not_read_yet(index: SessionIndex) -> None:
    index.database.remember(complete="")
    with pytest.raises(StorageUnavailable, match=r"not known yet.*being built"):
        read_campaign(index, "summer")
    assert read_campaign(index, "spring").notice


@pytest.fixture
def adreel() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


def test_the_command_shows_campaigns_and_their_ads(adreel: Callable[..., Result]) -> None:
    assert adreel("campaigns").stdout.startswith("no campaigns in ")
    records = Records(Storage("outputs"))
    store_ad(records, "done", STORED, STORED)
    store_ad(records, "lost", FAILED, FAILED)
    lines = adreel("campaigns").stdout.splitlines()
    assert " ".join(lines[1].split()) == "spring 2 $0.22 2026-11-23 12:00 1 completed, 1 failed"
    shown = adreel("campaigns", "spring", "--limit", "1").stdout.splitlines()
    assert " ".join(shown[1].split()) == "lost failed $0.00 The lost hook was refused"
    assert shown[2] == "the first 1 ads; --limit 0 shows all"
    assert shown[3].startswith("campaign spring: 2 ads: 1 completed, 1 failed; billed $0.22 (expected $")
    [spring] = json.loads(adreel("campaigns", "--json").stdout)
    page = json.loads(adreel("campaigns", "spring", "--json", "--state", "failed").stdout)
    assert page["campaign"] == spring
    assert [ad["session_id"] for ad in page["ads"]] == ["lost"]
    for words in (("--state", "failed"), ("spring", "--state", "gone")):
        with pytest.raises(InputError, match="--state"):
            adreel("campaigns", *words)

"""Shares and reviews in the storage: links that no record tells, and words that no other word overwrites."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adreel.cli.app import app
from adreel.errors import Conflict, InputError, NotFound
from adreel.models.scenarios import Scenario
from adreel.models.shares import Review, ReviewKind, Right, Share, ShareCreate, time_label
from adreel.models.takes import Choices, Job, utc_now
from adreel.records import Records, sharing
from adreel.records.sharing import (
    add_review,
    create_share,
    film_of,
    find_share,
    list_reviews,
    list_shares,
    record_visit,
    revoke_share,
)
from adreel.records.verification import verify
from tests.cut.stored_ads import store_cut
from tests.factories import NOW, make_session, make_take, save_choices, save_job, store_take


def share(records: Records, *rights: Right) -> tuple[Share, str]:
    made = create_share(
        records, "ad", ShareCreate(rights=list(rights or Right)), lambda path: f"https://ads.example{path}"
    )
    token = made.url.rpartition("/")[2]
    found = find_share(records, token)
    assert found is not None
    return found, token


def review(records: Records, found: Share, kind: ReviewKind = ReviewKind.APPROVAL, key: str = "1") -> Review:
    return add_review(records, found, film_of(records, "ad"), kind, author="Anna", key=key)


def store_clips(records: Records, folder: Path) -> None:
    records.save_session(make_session())
    save_job(records, Job(job_id="job-1", session_id="ad", scenarios=list(Scenario), created_at=NOW, ended_at=NOW))
    for scenario in Scenario:
        store_take(records, make_take(scenario=scenario), folder)


def state(records: Records) -> str:
    return list_reviews(records, "ad").state


def test_a_link_is_found_by_its_secret_and_told_by_no_record(records: Records) -> None:
    records.save_session(make_session())
    found, token = share(records, Right.DOWNLOAD)
    assert found.rights == [Right.VIEW, Right.DOWNLOAD]
    secret = token.partition(".")[2]
    assert len(secret) * 4 >= 128
    stored = records.storage.read(f"sessions/ad/shares/{found.share_id}.json")
    assert secret.encode() not in stored
    records.save_session(make_session(session_id="other"))
    wrong = [
        secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        found.share_id,
        found.secret_sha256,
        secret.upper() + "x",
    ]
    for text in [*(f"ad.{each}" for each in wrong), f"other.{secret}", f"../ad.{secret}", secret, "", f"ad.{secret}\n"]:
        assert find_share(records, text) is None
    # A record under the same id, but of another secret, opens nothing.
    records.update_share("ad", found.share_id, lambda _: found.model_copy(update={"secret_sha256": "0" * 64}))
    assert find_share(records, token) is None


def test_a_share_ends_by_its_date_or_by_a_revocation_for_good(records: Records) -> None:
    records.save_session(make_session())
    found, _ = share(records)
    now = utc_now()
    assert (found.state(now), found.state(now + timedelta(days=14))) == ("open", "expired")
    assert revoke_share(records, "ad", found.share_id).state == "revoked"
    first = records.share("ad", found.share_id)
    revoke_share(records, "ad", found.share_id)
    assert records.share("ad", found.share_id) == first
    with pytest.raises(NotFound, match="adreel shares ad"):
        revoke_share(records, "ad", "0" * 16)
    with pytest.raises(NotFound):
        create_share(records, "nobody", ShareCreate(), lambda _: None)


def test_a_visit_is_recorded_now_and_then(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    records.save_session(make_session())
    found, _ = share(records)
    record_visit(records, found)
    [seen] = list_shares(records, "ad").shares
    assert seen.last_seen_at
    record_visit(records, found)
    assert list_shares(records, "ad").shares == [seen]
    monkeypatch.setattr(sharing, "SEEN_EVERY", timedelta(0))
    record_visit(records, found)
    assert list_shares(records, "ad").shares != [seen]


def test_no_word_is_lost_to_another_and_a_double_click_is_one(records: Records, tmp_path: Path) -> None:
    store_clips(records, tmp_path)
    found, _ = share(records)
    film = film_of(records, "ad")

    def say(number: int) -> None:
        words = f"word {number // 2}"
        add_review(records, found, film, ReviewKind.COMMENT, author="Anna", text=words, key=words)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(say, range(40)))
    assert sorted(each.text for each in list_reviews(records, "ad").reviews) == sorted(f"word {n}" for n in range(20))
    assert verify(records, checksums=False) == []


def test_too_many_words_are_refused(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store_clips(records, tmp_path)
    found, _ = share(records)
    monkeypatch.setattr(sharing, "MAX_REVIEWS", 1)
    review(records, found)
    with pytest.raises(Conflict, match="1 comments already"):
        review(records, found, key="2")
    assert len(list_reviews(records, "ad").reviews) == 1


def test_an_approval_of_clips_is_stale_after_a_new_take_and_holds_again_with_the_old_one(
    records: Records, tmp_path: Path
) -> None:
    store_clips(records, tmp_path)
    found, _ = share(records)
    assert state(records) == "none"
    review(records, found, ReviewKind.COMMENT, "0")
    assert state(records) == "none"
    review(records, found)
    assert state(records) == "approved"
    store_take(records, make_take(job_id="job-2", minute=1), tmp_path)
    assert state(records) == "stale"
    save_choices(records, "ad", Choices(takes={Scenario.HOOK: "job-1"}))
    assert state(records) == "approved"
    review(records, found, ReviewKind.CHANGE_REQUEST, "2")
    assert state(records) == "changes_requested"


def test_an_approval_of_some_clips_is_stale_once_there_is_another(records: Records, tmp_path: Path) -> None:
    records.save_session(make_session())
    store_take(records, make_take(), tmp_path)
    found, _ = share(records)
    review(records, found)
    store_take(records, make_take(scenario=Scenario.CTA), tmp_path)
    assert state(records) == "stale"


def test_an_approval_of_an_ad_outlives_another_format_but_not_a_new_take(records: Records, tmp_path: Path) -> None:
    store_clips(records, tmp_path)
    found, _ = share(records)
    review(records, found)
    store_cut(records, tmp_path)
    assert state(records) == "stale", "the guest has seen the clips and not the finished ad"
    review(records, found, key="2")
    assert state(records) == "approved"
    store_cut(records, tmp_path, "1:1", minute=1)
    assert state(records) == "approved"
    assert [each.name for each in film_of(records, "ad").files] == ["1:1", "16:9"]
    store_take(records, make_take(job_id="job-2", minute=1), tmp_path)
    assert state(records) == "stale"
    assert not film_of(records, "ad").is_cut


def test_a_damaged_share_or_review_is_named_and_hides_no_other(records: Records, tmp_path: Path) -> None:
    store_clips(records, tmp_path)
    found, _ = share(records)
    review(records, found)
    records.storage.write("sessions/ad/shares/broken.json", b"{")
    records.storage.write("sessions/ad/reviews/broken.json", b"{")
    shares, reviews = list_shares(records, "ad"), list_reviews(records, "ad")
    assert (len(shares.shares), len(reviews.reviews)) == (1, 1)
    assert all("broken.json is not a valid record" in each for each in (*shares.unreadable, *reviews.unreadable))
    unreadable = {finding.path for finding in verify(records, checksums=False) if finding.kind == "unreadable"}
    assert unreadable == {"sessions/ad/shares/broken.json", "sessions/ad/reviews/broken.json"}


@pytest.fixture
def adreel(monkeypatch: pytest.MonkeyPatch, records: Records) -> Callable[..., Result]:
    monkeypatch.setenv("ADREEL_STORAGE", records.storage.url)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_the_commands_make_list_and_end_links_and_show_what_was_said(
    records: Records, tmp_path: Path, adreel: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    store_clips(records, tmp_path)
    assert "no shares of ad" in adreel("shares", "ad").output
    made = adreel("share", "ad", "--rights", "download, comment", "--days", "3", "--label", "Client")
    assert "set ADREEL_PUBLIC_URL" in made.stderr
    monkeypatch.setenv("ADREEL_PUBLIC_URL", "https://ads.example/x")
    link = json.loads(adreel("share", "ad", "--json").stdout)["url"]
    assert link.startswith("https://ads.example/x/share/ad.")
    share = find_share(records, made.stdout.strip().removeprefix("/share/"))
    assert share is not None
    assert (share.rights, share.label) == ([Right.VIEW, Right.COMMENT, Right.DOWNLOAD], "Client")
    shown = adreel("shares", "ad").stdout
    assert f"ad.{share.share_id}  open" in shown
    assert "never" in shown

    assert "nobody has said anything" in adreel("reviews", "ad").output
    film = film_of(records, "ad")
    add_review(
        records,
        share,
        film,
        ReviewKind.COMMENT,
        author="Anna",
        text="Too\ndark",
        moment=66,
        scenario=Scenario.CTA,
        key="0",
    )
    review(records, share)
    shown = adreel("reviews", "ad").stdout
    assert re.search(r"Anna +comment +current +cta 1:06 +Too dark\n", shown)
    assert "ad: approved" in shown
    assert json.loads(adreel("reviews", "ad", "--json").stdout)["state"] == "approved"

    assert "is revoked" in adreel("unshare", f"ad.{share.share_id}").stdout
    assert "is revoked" in adreel("unshare", link).stdout
    assert [each.state for each in list_shares(records, "ad").shares] == ["revoked", "revoked"]
    for words in (("unshare", "nothing"), ("unshare", "../x.y"), ("share", "ad", "--rights", "buy")):
        assert isinstance(adreel(*words).exception, InputError), words
    assert isinstance(adreel("share", "nobody").exception, NotFound)
    assert list_shares(records, "ad").shares[2:] == []


@pytest.mark.parametrize(
    ("seconds", "label"), [(None, ""), (0, "0:00"), (6, "0:06"), (62.54, "1:02.5"), (59.97, "1:00")]
)
def test_a_moment_is_shown_as_minutes_and_seconds(seconds: float | None, label: str) -> None:
    assert time_label(seconds) == label

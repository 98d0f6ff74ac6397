"""Guests of an ad, over a real socket: what a link opens, what it does not, and what its guests say."""

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from adreel.client import ApiError, Client
from adreel.models.scenarios import Scenario
from adreel.models.shares import ReviewKind, Right, Share, ShareCreate
from adreel.models.takes import utc_now
from adreel.records import Records
from adreel.records.sharing import create_share, film_of, find_share
from adreel.web import guests
from adreel.web.middleware.auth import is_open
from adreel.web.wrong_keys import BURST
from tests.api.serving import KEY, KEYS, served
from tests.api.test_security import every_route
from tests.cut.stored_ads import store_cut
from tests.factories import make_session, make_take, store_take
from tests.storyboard.conftest import Visitor
from tests.storyboard.reading import PageReader
from tests.test_triggers import receiver
from tests.workers import until

ALL = ("comment", "approve", "download")


@pytest.fixture
def server(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """Serve two ads with four clips each, to people with keys and to guests."""
    for session_id in ("ad", "other"):
        records.save_session(make_session(session_id=session_id, product_name=f"Lamp <b>{session_id}</b>"))
        for scenario in Scenario:
            store_take(records, make_take(scenario=scenario, session_id=session_id, job_id=f"{session_id}-1"), tmp_path)
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)
    with served() as client:
        client.follow_redirects = True
        yield client


@pytest.fixture
def owner(server: httpx.Client) -> Iterator[Client]:
    with Client(str(server.base_url), key=KEY) as client:
        yield client


@pytest.fixture
def visitor(server: httpx.Client) -> Visitor:
    return Visitor(server)


def opened(records: Records, path: str) -> Share:
    share = find_share(records, path.rpartition("/")[2])
    assert share is not None
    return share


def files_of(page: PageReader) -> list[str]:
    return [each["src"] for each in page.all("video")]


def say(visitor: Visitor, page: PageReader, button: str = "Approve", status: int = 200, /, **typed: str) -> PageReader:
    [form] = page.forms
    return visitor.press(form, button, status, **{"author": "Anna", **typed})


def test_a_guest_watches_comments_and_approves_until_a_take_changes(
    owner: Client, visitor: Visitor, records: Records, tmp_path: Path
) -> None:
    path = owner.create_share("ad", label="The client").url
    page = visitor.read(path)
    assert "Lamp <b>ad</b>" in page.text
    assert "The client" not in page.text
    assert len(files_of(page)) == 4
    page = say(visitor, page, "Send the comment", text="Too dark.\n<script>", moment="0:06,5", scenario="hook")
    assert "Your comment was sent" in page.text
    assert "Hook at 0:06.5 Too dark. <script>" in page.text
    assert not [each for each in page.all("script") if "src" not in each]
    [link] = [each for each in page.all("a") if "data-moment" in each]
    assert link["href"] == f"{files_of(page)[0]}#t=6.5"
    assert page.by_id("author")["value"] == "Anna", "the name is asked for once"
    page = say(visitor, page, text="Well done")
    assert owner.reviews("ad").state == "approved"

    takes, choices = records.takes("ad", Scenario.HOOK), records.choices("ad")
    store_take(records, make_take(job_id="ad-2", minute=1), tmp_path)
    assert owner.reviews("ad").state == "stale"
    refused = say(visitor, page, "Approve", 409, text="Still good")
    assert "The ad has changed since you opened this page" in refused.text
    assert refused.forms[0].fields["text"] == "Still good", "no word is lost"
    say(visitor, refused, "Request changes", 200)
    found = owner.reviews("ad")
    assert [(each.kind, each.state, each.author) for each in found.reviews] == [
        ("change_request", "current", "Anna"),
        ("approval", "stale", "Anna"),
        ("comment", "stale", "Anna"),
    ]
    assert found.state == "changes_requested"
    clip = takes[0].clip
    assert clip is not None
    assert found.reviews[1].files[0].sha256 == clip.sha256
    assert records.choices("ad") == choices, "a guest selects nothing"
    assert records.takes("ad", Scenario.HOOK)[:1] == takes


def test_a_guest_watches_the_finished_ad_by_ranges(
    owner: Client, visitor: Visitor, records: Records, tmp_path: Path
) -> None:
    cut = store_cut(records, tmp_path)
    page = visitor.read(owner.create_share("ad", ALL).url)
    [film] = files_of(page)
    assert film.endswith(cut.files[0].file)
    whole, part = (visitor.client.get(film, headers=headers) for headers in ({}, {"Range": "bytes=4-7"}))
    assert (part.status_code, part.content) == (206, whole.content[4:8])
    assert part.headers["Cache-Control"].startswith("private")
    head = visitor.client.head(film)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(whole.content)))
    assert visitor.client.get(film, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    saved = visitor.client.get(f"{film}?download=true")
    assert saved.headers["Content-Disposition"] == f'attachment; filename="{cut.files[0].file}"'
    assert "SRT" in page.text
    poster = page.all("video")[0]["poster"]
    assert visitor.client.get(poster).headers["Content-Type"] == "image/jpeg"


def test_a_right_that_was_not_given_is_neither_shown_nor_granted(owner: Client, visitor: Visitor) -> None:
    shown = {
        "view": [],
        "comment": ["Send the comment"],
        "approve": ["Request changes", "Approve"],
        "download": [],
    }
    kinds = {"comment": {"comment"}, "approve": {"approval", "change_request"}}
    sent = {"author": "Anna", "text": "words", "version": "0" * 16, "key": "1"}
    for right, buttons in shown.items():
        path = owner.create_share("ad", [right]).url
        page = visitor.read(path)
        assert [button for form in page.forms for button in form.buttons] == buttons
        for kind in ("comment", "approval", "change_request"):
            answer = visitor.client.post(f"{path}/reviews", data=sent | {"kind": kind})
            # With the right, it is refused for the version alone.
            assert answer.status_code == (409 if kind in kinds.get(right, ()) else 403), (right, kind)
        film = files_of(page)[0]
        assert visitor.client.get(film).status_code == 200
        allowed = 200 if right == "download" else 403
        assert visitor.client.get(f"{film}?download=true").status_code == allowed
        assert ("Download" in page.text) == (allowed == 200)
    assert owner.reviews("ad").reviews == []


def test_each_right_opens_its_own_routes_and_no_other(
    owner: Client, server: httpx.Client, records: Records, tmp_path: Path
) -> None:
    store_cut(records, tmp_path)
    film = film_of(records, "ad")
    ad = film.files[0].file
    words = {"author": "Anna", "text": "Darker, please", "version": film.version}
    routes: dict[str, tuple[Right, httpx.Request]] = {}
    for method, query, right in (
        ("GET", "", Right.VIEW),
        ("HEAD", "", Right.VIEW),
        ("GET", "?download=true", Right.DOWNLOAD),
        ("HEAD", "?download=true", Right.DOWNLOAD),
    ):
        for ranged in ({}, {"Range": "bytes=0-9"}):
            request = server.build_request(method, f"/files/{ad}{query}", headers=ranged)
            routes[f"{method} {ranged} {query}"] = right, request
    routes["page"] = Right.VIEW, server.build_request("GET", "")
    for kind in ReviewKind:
        routes[kind] = kind.right, server.build_request("POST", "/reviews", data={**words, "kind": kind, "key": kind})
    for right in Right:
        link = owner.create_share("ad", rights=[right]).url
        for name, (needed, request) in routes.items():
            sent = server.build_request(
                request.method, f"{link}{request.url.raw_path.decode().rstrip('/')}", content=request.content
            )
            sent.headers.update(
                {key: request.headers[key] for key in ("range", "content-type") if key in request.headers}
            )
            status = server.send(sent, follow_redirects=False).status_code
            allowed = {200, 206, 303} if needed in {right, Right.VIEW} else {403}
            assert status in allowed, (right, name, status)
        archive = server.get(f"{link}/clips.zip")
        assert archive.status_code == 404, "a guest has no archive"
    assert server.get("/api/sessions/ad/clips.zip").status_code == 401
    assert len(records.reviews("ad")) == len(ReviewKind)


def test_a_scene_is_approved_alone_until_its_own_clip_changes(
    owner: Client, visitor: Visitor, server: httpx.Client, records: Records, tmp_path: Path
) -> None:
    page = visitor.read(owner.create_share("ad", label="The client").url)
    page = say(visitor, page, scenario="hook")
    page = say(visitor, page, scenario="cta")
    assert owner.reviews("ad").state == "none"
    store_take(records, make_take(job_id="ad-2", minute=1), tmp_path)
    found = owner.reviews("ad")
    assert found.scenes == {Scenario.HOOK: "stale", Scenario.CTA: "approved"}
    page = visitor.read(owner.create_share("ad").url)
    say(visitor, page, "Request changes", scenario="hook", text="Darker", moment="0:02")
    found = owner.reviews("ad")
    assert (found.state, found.scenes[Scenario.HOOK]) == ("changes_requested", "changes_requested")

    server.headers["Authorization"] = f"Bearer {KEY}"
    shown = visitor.read("/sessions/ad")
    assert "The client Open view, comment, approve" in shown.text
    assert "Changes requested" in shown.text
    assert {"data-of": "hook", "data-moment": "2.0"}.items() <= next(
        link.items() for link in shown.all("a") if "data-moment" in link
    )
    assert "hook" in [video.get("data-film") for video in shown.all("video")]


@pytest.mark.parametrize("carried", ["in the path", "as a key", "as a cookie"])
def test_a_guest_of_one_ad_gets_nothing_of_another_and_nothing_else(
    owner: Client, server: httpx.Client, records: Records, carried: str
) -> None:
    path = owner.create_share("ad", ALL).url
    token = path.rpartition("/")[2]
    other = owner.create_share("other", ALL).url.rpartition(".")[2]
    headers = {"as a key": {"Authorization": f"Bearer {token}"}, "as a cookie": {"Cookie": f"adreel={token}"}}
    for method, route in every_route():
        # The parameters of these paths are the other ad.
        for target in (route.replace("/ad", "/other"), route):
            if not is_open(target):
                answer = server.request(method, target, headers=headers.get(carried), follow_redirects=False)
                assert answer.status_code in {401, 429}, target
    if carried == "in the path":
        own = {name for each in Scenario for name in _files(records, "ad", each)}
        foreign = [name for each in Scenario for name in _files(records, "other", each)]
        names = [*foreign, "..%2Fsessions%2Fad%2Fsession.json", "session.json", "ad_hook_00000000.mp4", "%00"]
        for name in names:
            assert server.get(f"{path}/files/{name}").status_code == 404, name
        assert all(server.get(f"{path}/files/{name}").status_code == 200 for name in own)
        for wrong in (f"other.{token.partition('.')[2]}", f"ad.{other}", f"{token}x", "ad.", token.upper()):
            assert server.get(f"/share/{wrong}").status_code == 404, wrong


def _files(records: Records, session_id: str, scenario: Scenario) -> list[str]:
    [take] = records.takes(session_id, scenario)
    assert take.clip is not None
    return [take.clip.file, take.clip.poster or ""]


def test_an_earlier_take_is_not_shared(owner: Client, server: httpx.Client, records: Records, tmp_path: Path) -> None:
    path = owner.create_share("ad", ALL).url
    [earlier, _] = _files(records, "ad", Scenario.HOOK)
    assert server.get(f"{path}/files/{earlier}").status_code == 200
    store_take(records, make_take(job_id="ad-2", minute=1), tmp_path)
    assert server.get(f"{path}/files/{earlier}").status_code == 404


@pytest.mark.parametrize("end", ["revoked", "expired", "never was"])
def test_a_link_that_has_ended_opens_a_page_that_says_so(
    owner: Client, visitor: Visitor, records: Records, end: str
) -> None:
    path = owner.create_share("ad", ALL).url
    film = files_of(visitor.read(path))[0]
    share = opened(records, path)
    if end == "revoked":
        assert owner.revoke_share("ad", share.share_id).state == "revoked"
    elif end == "expired":
        past = share.model_copy(update={"expires_at": utc_now() - timedelta(seconds=1)})
        records.update_share("ad", share.share_id, lambda _: past)
    else:
        path, film = path[:-1] + "_", film.replace("/files", "0/files")
    status = 404 if end == "never was" else 410
    page = visitor.read(path, status)
    assert {"revoked": "was withdrawn", "expired": "has expired", "never was": "is not valid"}[end] in page.text
    assert "Sign in" not in page.text
    assert "Lamp" not in page.text
    assert not [each for each in page.all("a") if each["href"] == "/"]
    assert visitor.client.get(film).status_code == status
    sent = {"author": "Anna", "text": "words", "version": "0", "key": "1", "kind": "comment"}
    assert visitor.client.post(f"{path}/reviews", data=sent).status_code == status


def test_the_token_is_in_no_log_and_no_address_that_other_sites_see(
    owner: Client, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        made = owner.create_share("ad", ALL)
        secret = made.url.rpartition(".")[2]
        page = visitor.read(made.url)
        say(visitor, page, "Send the comment", text="words")
        for path in (
            files_of(page)[0],
            f"{made.url}/nothing/here",
            made.url.replace("/share", "/%73hare"),
            f"{made.url}x",
        ):
            visitor.client.get(path)
        headers = visitor.client.get(made.url).headers
        owner.revoke_share("ad", made.share_id)
        visitor.read(made.url, 410)
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert not [line for line in lines if secret in line]
    assert any("GET /share/{token} 200" in line and f"caller=share-{made.share_id}" in line for line in lines)
    assert any("GET /share/{token}/files/{file} 200" in line for line in lines)
    assert headers["Referrer-Policy"] == "strict-origin"
    assert "noindex" in headers["X-Robots-Tag"]
    assert headers["Cache-Control"] == "no-store"
    assert all(each["href"].startswith(("/", "#")) for each in page.all("a"))
    assert secret not in owner.shares("ad").model_dump_json()


def test_words_that_can_t_be_stored_come_back_with_advice(owner: Client, visitor: Visitor) -> None:
    form = visitor.read(owner.create_share("ad", ALL).url).forms[0]
    for name, typed, said in (
        ("text", "", "Please write what you think"),
        ("text", "x" * 2001, "At most 2000 characters"),
        ("text", "a bell \a", "control character U+0007"),
        ("author", "", "Please fill this in"),
        ("author", "x" * 81, "At most 80 characters"),
        ("moment", "soon", "Use minutes and seconds, such as 0:06"),
        ("moment", "1e9", "Use minutes and seconds"),
        ("scenario", "other", "Input should be"),
        ("kind", "purchase", "Input should be"),
        ("key", "", "Please fill this in"),
    ):
        sent = {**form.fields, "author": "Anna", "text": "so <b>many</b> words", "kind": "comment", name: typed}
        answer = visitor.client.post(form.action, data=sent)
        page = PageReader(answer.text)
        assert (answer.status_code, said in page.text) == (422, True), (name, page.text)
        assert page.forms[0].fields["text"] == sent["text"]
    assert owner.reviews("ad").reviews == []


def test_a_double_click_is_one_comment(owner: Client, visitor: Visitor) -> None:
    page = visitor.read(owner.create_share("ad").url)
    for _ in range(2):
        say(visitor, page, "Send the comment", text="Once")
    assert [each.text for each in owner.reviews("ad").reviews] == ["Once"]


def test_the_owner_is_told_once_of_each_word(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records.save_session(make_session())
    store_take(records, make_take(), tmp_path)
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)
    with receiver() as told:
        monkeypatch.setenv("ADREEL_NOTIFY_URL", f"http://127.0.0.1:{told.server_port}/notices")
        monkeypatch.setenv("ADREEL_PUBLIC_URL", "https://ads.example")
        link = create_share(records, "ad", ShareCreate(), lambda _path: None).url
        with served() as server:
            server.headers["Host"] = "ads.example"
            words = {
                "author": "Anna",
                "text": "Too <dark> @all",
                "moment": "0:06",
                "version": film_of(records, "ad").version,
            }
            for kind, key in (("comment", "1"), ("comment", "1"), ("approval", "2")):
                answer = server.post(f"{link}/reviews", data={**words, "kind": kind, "key": key})
                assert answer.status_code == 303, answer.text
            until(lambda: len(told.notices) >= 2, "two notices")
    assert sorted(notice["kind"] for notice in told.notices) == ["approval", "comment"]
    [comment] = [notice for notice in told.notices if notice["kind"] == "comment"]
    assert (
        comment["text"]
        == "Anna comments on ad at 0:06: Too &lt;dark&gt; @\u200ball\nhttps://ads.example/sessions/ad/share"
    )
    assert (comment["words"], comment["moment"], comment["session_id"]) == ("Too <dark> @all", 6.0, "ad")


def test_guests_of_another_link_are_not_shown(owner: Client, visitor: Visitor) -> None:
    anna, ben = (owner.create_share("ad").url for _ in range(2))
    say(visitor, visitor.read(anna), "Send the comment", text="From Anna")
    assert "From Anna" not in visitor.read(ben).text


def test_another_site_can_t_speak_for_a_guest(owner: Client, server: httpx.Client) -> None:
    path = owner.create_share("ad").url
    sent = {"author": "Anna", "text": "words", "version": "0", "key": "1", "kind": "comment"}
    answer = server.post(f"{path}/reviews", data=sent, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_wrong_links_are_limited_and_then_cost_the_storage_nothing(
    owner: Client, server: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = owner.create_share("ad").url
    assert server.get(path).status_code == 200
    looked_up: list[str] = []

    def find(records: Records, token: str) -> Share | None:
        looked_up.append(token)
        return find_share(records, token)

    monkeypatch.setattr(guests, "find_share", find)
    codes = [server.get(f"/share/ad.{number:040x}").status_code for number in range(BURST + 5)]
    assert codes[:BURST] == [404] * BURST
    assert 429 in codes[BURST:]
    assert len(looked_up) < BURST + 5
    assert server.get(path).status_code == 200, "a neighbour's guess locks no guest out"


def test_each_link_has_a_rate_for_writes(owner: Client, server: httpx.Client) -> None:
    path = owner.create_share("ad").url
    codes = [
        server.post(f"{path}/reviews", data={"kind": "x"}).status_code for _ in range(guests.WRITES_PER_MINUTE + 2)
    ]
    assert (codes[0], codes[-1]) == (422, 429)
    assert server.get(path).status_code == 200
    assert server.get(owner.create_share("ad").url).status_code == 200


def test_the_owner_makes_and_withdraws_links_and_reads_all_words(
    owner: Client, visitor: Visitor, records: Records
) -> None:
    visitor.client.headers["Authorization"] = f"Bearer {KEY}"
    page = visitor.read("/sessions/ad/share")
    form = page.form("/sessions/ad/share", "Make the link")
    wrong = visitor.press(form, "Make the link", 422, days="0", label="Client & Co")
    assert "At least 1, please." in wrong.text
    assert wrong.by_id("label")["value"] == "Client & Co"
    answer = visitor.client.post(form.action, data=form.fields | {"days": "7", "label": "Client & Co"})
    made = PageReader(answer.text)
    link = made.by_id("link")["value"]
    assert re.fullmatch(r"http://localhost:\d+/share/ad\.[0-9a-f]{40}", link)
    share = opened(records, link)
    assert (share.created_by, share.label, share.expires_at - share.created_at) == (
        "shop",
        "Client & Co",
        timedelta(days=7),
    )
    assert link not in visitor.read("/sessions/ad/share").text
    del visitor.client.headers["Authorization"]
    say(visitor, visitor.read(link), "Approve", author="<Anna>")
    visitor.client.headers["Authorization"] = f"Bearer {KEY}"
    page = visitor.read("/sessions/ad/share")
    assert "<Anna> Approved" in page.text
    assert "last seen" in page.text
    revoke = f"/sessions/ad/shares/{share.share_id}/revoke"
    page = visitor.press(page.form(revoke, "Withdraw the link Client & Co"), "Withdraw the link Client & Co")
    assert "The link was withdrawn" in page.text
    assert opened(records, link).revoked_at
    assert "<Anna> Approved" in page.text, "what was said stays"
    assert "/sessions/ad/share" in [each["href"] for each in visitor.read("/sessions/ad").all("a")]


def test_a_share_that_makes_no_sense_is_refused(owner: Client, server: httpx.Client) -> None:
    for body in ({"rights": ["buy"]}, {"days": 0}, {"days": 366}, {"label": "\a"}, {"hours": 3}):
        answer = server.post("/api/sessions/ad/shares", json=body, headers={"Authorization": f"Bearer {KEY}"})
        [problem] = answer.json()["errors"]
        assert (answer.status_code, problem["field"].partition(".")[0]) == (422, next(iter(body)))
    assert owner.shares("ad").shares == []
    for call in (owner.shares, owner.reviews, owner.create_share):
        with pytest.raises(ApiError, match="404"):
            call("nobody")
    with pytest.raises(ApiError, match="404"):
        owner.revoke_share("ad", "0" * 16)


def test_a_link_has_the_public_address(records: Records, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    records.save_session(make_session())
    store_take(records, make_take(), tmp_path)
    with served(ADREEL_PUBLIC_URL="https://ads.example/adreel") as server, Client(str(server.base_url)) as owner:
        url = owner.create_share("ad").url
        assert url.startswith("https://ads.example/adreel/share/ad.")
        page = PageReader(server.get(url.removeprefix("https://ads.example")).text)
        assert all(each.startswith("/adreel/share/") for each in [*files_of(page), page.forms[0].action])
        assert server.get(files_of(page)[0]).status_code == 200

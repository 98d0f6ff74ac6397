"""Proxies in front of the server: another name, TLS, a path, nginx's default Host, an untrusted address."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest

from adreel.errors import InputError
from adreel.models.cuts import Cut
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.settings import Settings
from adreel.web.public_address import PublicAddress
from tests.api.serving import BEARER, KEY, KEYS, served
from tests.factories import make_session, write_image
from tests.storyboard.conftest import Orders
from tests.storyboard.reading import PageReader
from tests.storyboard.stories import stored, with_job

ROOT = "/shop/ads"
PUBLIC = f"https://ads.example{ROOT}"
OWN = {"Origin": "https://ads.example"}
LINKING = ("href", "src", "action", "poster", "data-page")


@pytest.fixture(autouse=True)
def _keys(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    records.save_session(make_session())
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)


@contextmanager
def proxied(public_url: str, **headers: str) -> Iterator[httpx.Client]:
    with patch("adreel.web.app.Runs", Orders), served(ADREEL_PUBLIC_URL=public_url) as client:
        client.headers.update(headers)
        yield client


@pytest.mark.parametrize("trusted", [["127.0.0.1"], ["10.0.0.0/8", "127.0.0.0/8"], ["10.0.0.0/8"], ["192.0.2.1"]])
def test_the_forwarded_scheme_and_address_count_from_trusted_proxies_alone(trusted: list[str]) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9", "Sec-Fetch-Site": "same-origin"}
    with served(ADREEL_TRUSTED_PROXIES=",".join(trusted)) as client:
        answer = client.post("/sign-in", data={"key": KEY}, headers=forwarded)
    believed = any(each.startswith("127.") for each in trusted)
    assert ("; Secure" in answer.headers["Set-Cookie"]) is believed
    assert ("Strict-Transport-Security" in answer.headers) is believed


@pytest.mark.parametrize("text", ["proxy", "*", "10.0.0.1/8", "127.0.0.1:80"])
def test_a_proxy_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ADREEL_TRUSTED_PROXIES", text)
    with pytest.raises(InputError, match="ADREEL_TRUSTED_PROXIES"):
        Settings.load()


def test_the_public_address_makes_cookies_secure_without_a_word_of_the_proxy() -> None:
    with proxied("https://ads.example", Host="ads.example") as client:
        answer = client.post("/sign-in", data={"key": KEY}, headers=OWN)
        assert "; Secure" in answer.headers["Set-Cookie"]
        assert answer.headers["Strict-Transport-Security"]
    with proxied("https://ads.example") as client:
        answer = client.post("/sign-in", data={"key": KEY}, headers={"Sec-Fetch-Site": "same-origin"})
        assert "; Secure" not in answer.headers["Set-Cookie"], "it was asked as localhost: the browser would drop it"


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "adreel_upstream", "adreel-serve:8000"])
def test_a_proxy_that_hides_the_host_is_named_and_the_public_address_is_the_way_out(host: str) -> None:
    sent = {"Origin": "http://ads.internal", "Host": host}
    with served() as client:
        refused = client.post("/sign-in", data={"key": KEY}, headers=sent)
    assert refused.status_code == 403
    for words in ("http://ads.internal", host, "proxy_set_header Host", "ADREEL_PUBLIC_URL"):
        assert words in refused.json()["detail"]
    with proxied("http://ads.internal") as client:
        assert client.post("/sign-in", data={"key": KEY}, headers=sent).status_code == 303
        evil = client.post("/sign-in", data={"key": KEY}, headers={**sent, "Origin": "http://evil.example"})
        assert evil.status_code == 403


def test_without_keys_the_refusal_of_a_name_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADREEL_API_KEYS")
    with served() as client:
        refused = client.get("/", headers={"Host": "ads.internal"})
    assert refused.status_code == 421
    assert "ADREEL_API_KEYS" in refused.json()["detail"]
    assert "ads.internal" in refused.json()["detail"]


def signed_in(client: httpx.Client, prefix: str) -> None:
    """Sign in through the proxy, and keep the cookie."""
    led = client.get(f"{prefix}/sessions/ad", headers={"Accept": "text/html"})
    assert led.headers["Location"] == f"{ROOT}/sign-in?next=%2Fsessions%2Fad"
    form = PageReader(client.get(f"{prefix}/sign-in?next=/sessions/ad").text).forms[0]
    assert form.action == f"{ROOT}/sign-in"
    answer = client.post(f"{prefix}/sign-in", data=form.fields | {"key": KEY}, headers=OWN)
    assert answer.headers["Location"] == f"{ROOT}/sessions/ad"
    cookie, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert f"Path={ROOT}" in attributes
    client.headers.update({"Cookie": cookie, "Sec-Fetch-Site": "same-origin"})


@pytest.mark.parametrize("prefix", [ROOT, ""], ids=["the proxy leaves the path", "the proxy takes it off"])
def test_below_a_path_every_link_form_and_redirect_stays_below_it(records: Records, prefix: str) -> None:
    with_job(records)
    take = stored(records, Scenario.HOOK)
    assert take.clip
    records.storage.write(take.clip.file, b"clip")
    with proxied(PUBLIC, Host="ads.example") as client:
        signed_in(client, prefix)
        for path in ("/", "/new", "/sessions/ad", "/sessions/nobody"):
            page = PageReader(client.get(f"{prefix}{path}", headers={"Accept": "text/html"}).text)
            links = {attributes.get(name, "") for _, attributes in page.tags for name in LINKING}
            own = {link for link in links if link.startswith("/")}
            assert len(own) > 4
            assert {link for link in own if not link.startswith(f"{ROOT}/")} == set()
            for link in own:
                if "/static/" in link or link.endswith(".mp4"):
                    assert client.get(prefix + link.removeprefix(ROOT)).status_code == 200, link
        ordered = client.post(f"{prefix}/sessions/ad/generate", data={"token": "t", "scenarios": "cta"})
        assert ordered.headers["Location"].startswith(f"{ROOT}/sessions/ad?job=")
        out = client.post(f"{prefix}/sign-out")
        assert out.headers["Location"] == f"{ROOT}/sign-in"
        assert f"Path={ROOT}" in out.headers["Set-Cookie"].split("; ")


@pytest.mark.parametrize("prefix", [ROOT, ""], ids=["the proxy leaves the path", "the proxy takes it off"])
def test_below_a_path_the_api_names_clips_and_sessions_below_it(records: Records, prefix: str, tmp_path: Path) -> None:
    with_job(records)
    take = stored(records, Scenario.HOOK)
    assert take.clip
    url, poster = f"{ROOT}/outputs/{take.clip.file}", f"{ROOT}/outputs/{take.clip.poster}"
    with proxied(PUBLIC, Host="ads.example", **BEARER) as client:
        session = client.get(f"{prefix}/api/sessions/ad").json()
        assert [session["scene_videos"][0][name] for name in ("video_url", "poster_url")] == [url, poster]
        takes = client.get(f"{prefix}/api/sessions/ad/scenes/hook/takes").json()["takes"]
        assert takes[0]["video_url"] == url
        assert client.get(f"{prefix}/api/videos/status/job-1").json()["scenes"][0]["video_url"] == url
        described = make_session(session_id="new").model_dump(
            mode="json", include={"product_name", "scene_descriptions"}
        )
        made = client.post(f"{prefix}/api/sessions", json={**described, "session_id": "new"})
        assert made.headers["Location"] == f"{ROOT}/api/sessions/new"
        image = write_image(tmp_path / "lamp.png").read_bytes()
        uploaded = client.post(f"{prefix}/api/sessions/new/inputs", content=image).json()
        assert uploaded["url"].startswith(f"{ROOT}/api/sessions/new/inputs/")
        assert client.get(prefix + uploaded["url"].removeprefix(ROOT)).content == image
        own = {"settings": {"url": "/mine", "video_url": "/mine"}}
        assert client.patch(f"{prefix}/api/sessions/new", json=own).json()["settings"] == own["settings"]
        assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": PUBLIC}]
        with client.stream("GET", f"{prefix}/api/videos/events/job-1") as events:
            assert url in next(line for line in events.iter_lines() if line.startswith("data:"))


def test_below_a_path_the_files_of_an_ad_are_named_below_it(records: Records) -> None:
    record = Path(__file__).parents[1] / "fixtures/records/v2/sessions/kettle/cuts/dbbccd5f.json"
    records.save_cut(Cut.model_validate_json(record.read_bytes()).model_copy(update={"session_id": "ad"}))
    with proxied(PUBLIC, Host="ads.example", **BEARER) as client:
        [cut] = client.get("/api/sessions/ad/cuts").json()["cuts"]
    urls = [cut["files"][0][name] for name in ("url", "poster_url", "captions_url")]
    assert urls == [f"{ROOT}/outputs/kettle_cut_dbbccd5f_16x9{suffix}" for suffix in (".mp4", ".jpg", ".srt")]


def test_what_people_write_is_not_taken_for_a_link(records: Records) -> None:
    tricky = 'say "video_url":"/outputs/x" and <a href="/new">'
    with proxied(PUBLIC, Host="ads.example", **BEARER) as client:
        client.patch("/api/sessions/ad/scenes/hook", json={"visual_description": tricky})
        assert client.get("/api/sessions/ad").json()["scene_descriptions"][0]["visual_description"] == tricky
        page = PageReader(client.get("/sessions/ad").text)
        assert page.form(f"{ROOT}/sessions/ad/scenes/hook", "Save").fields["visual_description"] == tricky


@pytest.mark.parametrize("url", ["https://ads.example/api", "https://ads.example/static/x", "https://ads.example/a b"])
def test_a_path_that_can_t_be_told_from_its_own_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="ADREEL_PUBLIC_URL"):
        PublicAddress.of(url)
    assert PublicAddress.of("https://Ads.example/") == PublicAddress("https://ads.example", "")

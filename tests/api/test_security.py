"""Who may call, from where, and how much: every route, by a real socket."""

import http.client
import logging
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from starlette.routing import Mount

from adreel.errors import InputError
from adreel.records import Records
from adreel.settings import Settings
from adreel.web.keys import COOKIE, COOKIE_SECONDS, Caller, Keys
from adreel.web.middleware.auth import is_open
from adreel.web.middleware.limits import RateLimiter
from adreel.web.routes.sign_in import local_target
from tests.api import raw
from tests.api.serving import BEARER, KEY, KEYS, NOWHERE, OTHER_KEY, served
from tests.factories import make_session


def every_route() -> list[tuple[str, str]]:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from adreel.web.app import build_app

    with temporary_settings(updates={PREFECT_API_URL: NOWHERE}):
        app = build_app(Settings())
    routes: list[Any] = []
    paths: list[tuple[str, str]] = []
    for route in app.routes:
        included = getattr(route, "original_router", None)
        if isinstance(route, Mount):
            paths.append(("GET", f"{route.path}/storyboard.css"))
        else:
            routes += included.routes if isinstance(included, APIRouter) else [route]
    paths += [(method, route.path) for route in routes for method in sorted(route.methods)]
    assert len(paths) > 20
    return [(method, path.format_map(Anything())) for method, path in paths]


class Anything(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "hook" if name == "scenario" else "ad"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-key-0123456789"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \xff\xfe"},
        {"Cookie": f"{COOKIE}=shop.99999999999.{'0' * 64}"},
        {"Cookie": f"{COOKIE}={KEY}"},
        {"Cookie": "adreel=x; adreel=y; =;;,"},
        {"Authorization": "Bearer wrong-key-0123456789", "Cookie": "GOOD"},
    ],
    ids=lambda headers: ",".join(headers) or "none",
)
def test_no_route_answers_to_a_wrong_or_missing_key(guarded: httpx.Client, headers: dict[str, str]) -> None:
    good = Keys(Settings().api_keys).cookie(Caller("shop"), 2**33)
    sent = {name: f"{COOKIE}={good}" if value == "GOOD" else value for name, value in headers.items()}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
    for number, (method, path) in enumerate(every_route()):
        # Each key comes from its own address, because too many wrong keys from one address are refused.
        answer = guarded.request(method, path, headers=[*raw, (b"X-Forwarded-For", b"192.0.2.%d" % number)])
        if is_open(path):
            assert answer.status_code != 401, path
        else:
            assert (answer.status_code, answer.headers.get("WWW-Authenticate")) == (401, "Bearer"), path
    assert guarded.get("/nothing/here", headers=raw).status_code == 401


@pytest.mark.parametrize("host", ["localhost", "x/healthz?", "x/static/#", "healthz", "[::1", "x:/healthz", "a b", ""])
@pytest.mark.parametrize(
    "path", ["/api/sessions/ad", "/healthz%3F", "/static/%23/..", "/healthz%23/api", "/sign-in%3F"]
)
def test_neither_host_nor_quoting_moves_a_path_past_the_gate(guarded: httpx.Client, path: str, host: str) -> None:
    sent = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    status = raw.ask(guarded, sent).split(b" ")[1]
    assert status in ({b"401"} if not path.startswith("/static/") else {b"404"}), status


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_every_key_opens_the_api(guarded: httpx.Client, key: str) -> None:
    assert guarded.get("/api/sessions/ad", headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize("signs_in", [False, True], ids=["by its key", "by a cookie"])
def test_a_key_that_only_views_reads_everything_and_changes_nothing(
    records: Records, monkeypatch: pytest.MonkeyPatch, *, signs_in: bool
) -> None:
    records.save_session(make_session())
    before = records.session("ad")
    monkeypatch.setenv("ADREEL_API_KEYS", f"shop:{KEY},board/view:{OTHER_KEY}")
    with served() as client:
        own = {"Origin": str(client.base_url).rstrip("/")}
        headers = own if signs_in else {"Authorization": f"Bearer {OTHER_KEY}"}
        if signs_in:
            sign_in(client, OTHER_KEY)
        for method, path in every_route():
            if method in {"POST", "PUT", "PATCH", "DELETE"} and not is_open(path) and path != "/sign-out":
                answer = client.request(method, path, json={"visual_description": "changed"}, headers=headers)
                assert (answer.status_code, answer.json()["type"]) == (403, "urn:adreel:problem:role"), path
                assert "'board' has the role view" in answer.json()["detail"]
        assert client.get("/api/sessions/ad", headers=headers).status_code == 200
        assert client.patch("/api/sessions/ad", json={"seed": 1}, headers=BEARER).status_code == 200
        records.save_session(before)
        assert client.post("/sign-out", headers=headers).status_code == 303
    assert records.session("ad") == before


def test_a_page_has_no_form_that_the_role_of_a_key_does_not_allow(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.save_session(make_session())
    keys = {"view": OTHER_KEY, "buy": KEY, "": "owner-key-0123456789"}
    monkeypatch.setenv("ADREEL_API_KEYS", f"board/view:{OTHER_KEY},shop/buy:{KEY},owner:{keys['']}")
    with served() as client:
        for role, key in keys.items():
            headers = {"Authorization": f"Bearer {key}", "Accept": "text/html"}
            forms: set[str] = set()
            for path in ("/", "/campaigns", "/spend", "/sessions/ad", "/sessions/ad/share"):
                tags = re.findall(r"<form\b[^>]*>", client.get(path, headers=headers).text)
                forms |= {tag for tag in tags if 'method="post"' in tag and "<form hidden" not in tag}
            found = {action.split("/")[-1] for tag in forms for action in re.findall(r'action="([^"?]*)', tag)}
            assert ("generate" in found, "archive" in found, "share" in found) == (
                role != "view",
                role != "view",
                not role,
            )
            new = client.get("/new", headers=headers)
            assert new.status_code == (403 if role == "view" else 200)
            made = client.post("/sessions/ad/share", data={"days": "3"}, headers=headers)
            assert made.status_code == (200 if not role else 403)
            removed = client.delete("/api/sessions/ad/shares/nothing", headers=headers)
            assert removed.status_code == (404 if not role else 403)
            if role == "view":
                assert forms == set()
                refused = client.post("/sessions/ad/generate", data={"token": "1"}, headers=headers)
                assert (refused.status_code, "The key &#39;board&#39; has the role view" in refused.text) == (403, True)
                assert "a lamp in the hook" in client.get("/sessions/ad", headers=headers).text


def test_a_person_without_a_key_is_led_to_the_sign_in(guarded: httpx.Client) -> None:
    answer = guarded.get("/api/sessions?limit=3", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=%2Fapi%2Fsessions%3Flimit%3D3")


def sign_in(client: httpx.Client, key: str = KEY, **fields: str) -> httpx.Response:
    same = {"Origin": str(client.base_url).rstrip("/")}
    return client.post("/sign-in", data={"key": key, **fields}, headers=same)


def test_signing_in_gives_a_cookie_that_pages_can_t_read_and_other_sites_can_t_send(guarded: httpx.Client) -> None:
    assert 'name="key"' in guarded.get("/sign-in").text
    answer = sign_in(guarded, next="/api/sessions")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/api/sessions")
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={COOKIE_SECONDS}"} <= set(cookie.split("; "))
    assert KEY not in cookie
    assert guarded.get("/api/sessions/ad").status_code == 200
    guarded.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"})
    assert guarded.get("/api/sessions/ad").status_code == 401


def test_a_wrong_key_signs_nobody_in(guarded: httpx.Client) -> None:
    answer = sign_in(guarded, "wrong-key-0123456789", next='/"><script>alert(1)</script>')
    assert (answer.status_code, answer.headers.get("Set-Cookie")) == (403, None)
    assert "not valid" in answer.text
    assert "<script>" not in answer.text


def test_the_cookie_is_for_https_alone_behind_a_proxy_that_has_it(guarded: httpx.Client) -> None:
    headers = {"X-Forwarded-Proto": "https", "Sec-Fetch-Site": "same-origin"}
    answer = guarded.post("/sign-in", data={"key": KEY}, headers=headers)
    assert "; Secure" in answer.headers["Set-Cookie"]
    assert answer.headers["Strict-Transport-Security"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
        {},
    ],
    ids=["another origin", "no origin to name", "another site", "a neighbour", "not said"],
)
def test_a_forged_request_with_a_good_cookie_changes_nothing(
    guarded: httpx.Client, records: Records, headers: dict[str, str]
) -> None:
    sign_in(guarded)
    before = records.session("ad")
    for method, path in every_route():
        if method in {"POST", "PUT", "PATCH", "DELETE"}:
            answer = guarded.request(method, path, json={"visual_description": "forged"}, headers=headers)
            expected = {403, 422} if is_open(path) and not headers else {403}
            assert answer.status_code in expected, path
    assert records.session("ad") == before
    own = {"Origin": str(guarded.base_url).rstrip("/")}
    assert guarded.patch("/api/sessions/ad/scenes/hook", json={"seed": 1}, headers=own).status_code == 200


def test_without_keys_a_page_of_another_site_can_t_reach_the_loopback(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session())
    body = {"visual_description": "forged"}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert api.patch("/api/sessions/ad/scenes/hook", json=body, headers=headers).status_code == 403
    assert api.get("/api/sessions", headers={"Host": "evil.example"}).status_code == 421
    assert api.patch("/api/sessions/ad/scenes/hook", json=body).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])  # noqa: S104
def test_without_keys_it_refuses_every_address_but_loopback(host: str) -> None:
    with pytest.raises(InputError, match="ADREEL_API_KEYS"), served(host=host):
        pass


def test_a_cookie_expires_and_ends_with_its_key() -> None:
    keys = Keys(Settings(ADREEL_API_KEYS=KEYS).api_keys)
    cookie = keys.cookie(Caller("shop"), 1000)
    assert keys.caller_of_cookie(cookie, 1000 + COOKIE_SECONDS - 1) == Caller("shop", by_cookie=True)
    assert keys.caller_of_cookie(cookie, 1000 + COOKIE_SECONDS) is None
    assert keys.caller_of_cookie(cookie.replace("shop", "studio"), 1000) is None
    changed = Keys(Settings(ADREEL_API_KEYS=f"shop:{OTHER_KEY}").api_keys)
    assert changed.caller_of_cookie(cookie, 1000) is None


@pytest.mark.parametrize(
    "text",
    [
        "key-without-name-0123",
        ":0123456789abcdef",
        "a b:0123456789abcdef",
        "shop:short",
        "shop/admin:0123456789abcdef",
        "shop/:0123456789abcdef",
        "shop:0123456789abcdef,shop/view:fedcba9876543210",
    ],
)
def test_keys_that_are_no_good_are_refused_without_showing_them(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ADREEL_API_KEYS", text)
    with pytest.raises(InputError, match=r"^ADREEL_API_KEYS: ") as caught:
        Settings.load()
    assert text.rpartition(":")[2] not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/sessions/ad?x=1", "/sessions/ad?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("", "/"),
    ],
)
def test_the_sign_in_leads_nowhere_else(path: str, target: str) -> None:
    assert local_target(path) == target


def test_no_key_is_in_the_log_or_in_an_answer(guarded: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    wrong = "wrong-key-0123456789"
    with caplog.at_level(logging.DEBUG):
        answers = [
            guarded.get("/api/sessions/ad", headers=BEARER),
            guarded.get("/api/sessions/ad", headers={"Authorization": f"Bearer {wrong}"}),
            guarded.get(f"/api/sessions?after={wrong}", headers=BEARER),
            guarded.post("/api/sessions", headers=BEARER, content=b"{"),
            guarded.post("/api/videos/generate-scenes", headers=BEARER, json={"session_id": "ad"}),
            sign_in(guarded),
            sign_in(guarded, wrong),
        ]
    # The test's own client, in this process, logs the addresses that it asks for.
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    texts = [*lines, *(f"{answer.headers} {answer.text}" for answer in answers)]
    served_log = [record.getMessage() for record in caplog.records if record.name == "adreel.api"]
    assert any("GET /api/sessions/ad 200" in line and "caller=shop" in line for line in served_log)
    assert not any(secret in text for text in texts for secret in (KEY, OTHER_KEY, wrong))


def test_answers_and_log_share_the_request_s_id(guarded: httpx.Client) -> None:
    named = guarded.get("/api/sessions/nobody", headers={**BEARER, "X-Request-ID": "order-17"})
    assert (named.headers["X-Request-ID"], named.json()["request_id"]) == ("order-17", "order-17")
    unfit = guarded.get("/api/sessions/ad", headers={**BEARER, "X-Request-ID": "a b\tc"})
    assert len(unfit.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
@pytest.mark.parametrize("path", ["/api/sessions", "/sign-in", "/api/videos/generate-scenes"])
def test_a_body_that_is_too_large_is_refused(guarded: httpx.Client, path: str, *, chunked: bool) -> None:
    body = b" " * (Settings().max_body_kb * 1024 + 1)
    content = (body[start : start + 65536] for start in range(0, len(body), 65536)) if chunked else body
    headers = {**BEARER, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
    answer = guarded.post(path, content=content, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:adreel:problem:tooLarge")


def test_each_key_has_its_own_limit(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)
    with served(ADREEL_REQUESTS_PER_MINUTE=2) as client:
        codes = [client.get("/api/sessions", headers=BEARER).status_code for _ in range(3)]
        refused = client.get("/api/sessions", headers=BEARER)
        other = client.get("/api/sessions", headers={"Authorization": f"Bearer {OTHER_KEY}"})
        assert client.get("/healthz").status_code == 200
    assert codes == [200, 200, 429]
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert other.status_code == 200


def test_a_bucket_fills_up_again_with_time() -> None:
    now = [0.0]
    limits = RateLimiter(60, lambda: now[0])
    assert [limits.wait("shop") for _ in range(60)] == [0] * 60
    assert limits.wait("shop") == pytest.approx(1)
    now[0] += 1
    assert (limits.wait("shop"), limits.wait("shop") > 0) == (0, True)
    now[0] += 3600
    assert [limits.wait("shop") > 0 for _ in range(61)] == [False] * 60 + [True]


def test_every_answer_keeps_a_browser_safe(guarded: httpx.Client) -> None:
    for path in ("/sign-in", "/api/sessions", "/healthz", "/outputs/x", "/nothing"):
        headers = guarded.get(path, headers=BEARER).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "server" not in headers


def test_other_origins_may_call_with_a_key_only_if_they_are_named(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)
    with served() as closed:
        assert "Access-Control-Allow-Origin" not in closed.options("/api/sessions", headers=asked).headers
    with served(ADREEL_CORS_ORIGINS="https://shop.example") as opened:
        allowed = opened.options("/api/sessions", headers=asked)
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert "Access-Control-Allow-Credentials" not in allowed.headers
        other = opened.options("/api/sessions", headers={**asked, "Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers


ASTRAY = [
    "/outputs/../jobs/job-1.json",
    "/outputs/..%2f..%2fetc%2fpasswd",
    "/outputs/%2e%2e/%2e%2e/etc/passwd",
    "/outputs//etc/passwd",
    "/outputs/%2fetc%2fpasswd",
    "/outputs/....//....//etc/passwd",
    "/outputs/..%5c..%5cwindows",
    "/outputs/sessions",
    "/outputs/sessions%2fad%2fsession.json",
    "/outputs/.tmp",
    "/outputs/secret.mp4",
    "/outputs/ad_hook_00000000.mp4%00.jpg",
    "/outputs/ad_hook_00000000.mp4%0a",
    "/outputs/ad_hook_0000000g.mp4",
    "/outputs/folder_hook_00000000.mp4",
    "/outputs/link_hook_0000000.mp4",
    "/api/sessions/..%2fjobs",
    "/api/videos/status/..%2f..%2fetc",
]


def test_no_path_leads_out_of_the_clips(api: httpx.Client, records: Records) -> None:
    records.save_session(make_session())
    root = Path(records.storage.location(""))
    (root / "secret.mp4").write_text("hidden words")
    (root / "folder_hook_00000000.mp4").mkdir()
    for path in ASTRAY:
        # httpx would tidy the path up: it is sent as it is.
        with closing(http.client.HTTPConnection("localhost", api.base_url.port, timeout=30)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            assert answer.status in {404, 422}, path
            assert b"hidden words" not in answer.read()

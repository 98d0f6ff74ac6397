"""Clips over HTTP: whole, in parts, and known again; from the local disk and from a storage in memory."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from adreel.storage import Storage
from adreel.web.problems import HTTPProblem
from adreel.web.routes.outputs import Part, choose_part
from tests.api.serving import served

FILE, CONTENT = "ad_hook_0123abcd.mp4", bytes(range(256)) * 4000


@pytest.fixture(params=["disk", "memory"])
def api(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    url = "./outputs" if request.param == "disk" else f"memory://{uuid4().hex}"
    storage = Storage(url)
    storage.write(FILE, CONTENT)
    storage.write(FILE.replace(".mp4", ".jpg"), b"picture")
    with served(ADREEL_STORAGE=url) as client:
        yield client


def test_a_clip_comes_whole_with_its_type_and_length(api: httpx.Client) -> None:
    answer = api.get(f"/outputs/{FILE}")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "immutable" in answer.headers["Cache-Control"]
    assert api.get(f"/outputs/{FILE.replace('.mp4', '.jpg')}").headers["Content-Type"] == "image/jpeg"


def test_a_cut_comes_with_its_poster_and_captions() -> None:
    storage = Storage("./outputs")
    types = {".mp4": "video/mp4", ".jpg": "image/jpeg", ".srt": "application/x-subrip"}
    for suffix in types:
        storage.write(f"ad_cut_1f3a9c04_16x9{suffix}", b"content")
    with served() as client:
        for suffix, kind in types.items():
            answer = client.get(f"/outputs/ad_cut_1f3a9c04_16x9{suffix}")
            assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, kind)
            assert "Content-Disposition" not in answer.headers
            saved = client.get(f"/outputs/ad_cut_1f3a9c04_16x9{suffix}", params={"download": True})
            assert saved.headers["Content-Disposition"] == f'attachment; filename="ad_cut_1f3a9c04_16x9{suffix}"'
        assert client.get("/outputs/ad_cut_1f3a9c04.json").status_code == 404


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=1000-700000", 1000, 700000),
        ("bytes=1000-", 1000, len(CONTENT) - 1),
        ("bytes=-10", len(CONTENT) - 10, len(CONTENT) - 1),
        ("bytes=5-99999999999", 5, len(CONTENT) - 1),
    ],
)
def test_a_player_gets_the_range_that_it_asks_for(api: httpx.Client, asked: str, first: int, last: int) -> None:
    answer = api.get(f"/outputs/{FILE}", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "pages=1-2", "bytes=7-3", "bytes=-", "bytes=x-y", "bytes=٣-٤"])
def test_a_range_that_is_none_gets_the_whole_file(asked: str) -> None:
    assert choose_part(asked, 100) == Part(0, 99, 200)


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(asked: str) -> None:
    with pytest.raises(HTTPProblem) as caught:
        choose_part(asked, 100)
    assert (caught.value.status, caught.value.headers) == (416, {"Content-Range": "bytes */100"})


def test_a_clip_that_is_known_is_not_sent_again(api: httpx.Client) -> None:
    etag = api.get(f"/outputs/{FILE}").headers["ETag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        answer = api.get(f"/outputs/{FILE}", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
    assert api.get(f"/outputs/{FILE}", headers={"If-None-Match": '"other"'}).status_code == 200
    part = {"Range": "bytes=0-9"}
    assert api.get(f"/outputs/{FILE}", headers={**part, "If-Range": etag}).status_code == 206
    assert api.get(f"/outputs/{FILE}", headers={**part, "If-Range": '"other"'}).status_code == 200


def test_head_tells_all_but_the_bytes(api: httpx.Client) -> None:
    answer = api.head(f"/outputs/{FILE}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize("extension", ["webm", "bin", "html"])
def test_what_was_kept_aside_is_saved_and_never_shown(extension: str) -> None:
    file = f"ad_hook_0123abcd.aside.{extension}"
    Storage("./outputs").write(file, b"<script>alert(1)</script>")
    with served() as api:
        answer = api.get(f"/outputs/{file}")
        assert (answer.status_code, answer.content) == (200, b"<script>alert(1)</script>")
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{file}"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert api.get("/outputs/ad_hook_0123abcd.aside.").status_code == 404
        assert api.get("/outputs/ad_hook_0123abcd.aside.x.mp4").status_code == 404


def test_a_clip_that_is_not_there_is_not_found(api: httpx.Client) -> None:
    answer = api.get("/outputs/ad_cta_0123abcd.mp4")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_an_object_store_s_own_url_is_given_out_only_if_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storage, "sign", lambda _self, path, seconds: f"https://store.example/{path}?for={seconds}")
    Storage("./outputs").write(FILE, CONTENT)
    with served() as usual:
        assert usual.get(f"/outputs/{FILE}").status_code == 200
    with served(ADREEL_SIGNED_SECONDS=60) as leading:
        answer = leading.get(f"/outputs/{FILE}")
        assert (answer.status_code, answer.headers["Location"]) == (307, f"https://store.example/{FILE}?for=60")
        assert "media-src 'self' https://store.example;" in answer.headers["Content-Security-Policy"]
        assert leading.get("/outputs/ad_cta_0123abcd.mp4").status_code == 404
        aside = "ad_hook_0123abcd.aside.webm"
        Storage("./outputs").write(aside, CONTENT)
        assert leading.get(f"/outputs/{aside}").status_code == 200
        assert leading.get("/outputs/sessions").status_code == 404

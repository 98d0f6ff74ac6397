"""Images that are uploaded to a session, served again, and named by its scenes."""

import hashlib
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adreel.client import Client
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.inputs import MEDIA_TYPES
from adreel.web.bodies import MB, FileField, read_multipart
from adreel.web.problems import HTTPProblem
from tests.api.serving import BEARER, KEYS, served
from tests.factories import make_session, session_data, write_image

INPUTS = "/api/sessions/ad/inputs"


@pytest.fixture(autouse=True)
def _session(records: Records) -> None:
    records.save_session(make_session())


@pytest.mark.parametrize(("kind", "extension"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")])
@pytest.mark.parametrize("form", [False, True], ids=["body", "form"])
def test_an_image_is_stored_by_its_digest_and_served_again(
    api: httpx.Client, records: Records, tmp_path: Path, *, kind: str, extension: str, form: bool
) -> None:
    image = write_image(tmp_path / "a lamp.bin", kind)
    if form:
        answer = api.post(INPUTS, files={"file": (image.name, image.read_bytes())})
    else:
        answer = api.post(INPUTS, params={"name": image.name}, content=image.read_bytes())
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    assert answer.status_code == 201, answer.text
    stored = answer.json()
    assert (stored["input"], stored["url"]) == (
        f"inputs/{digest}.{extension}#a lamp.bin",
        f"{INPUTS}/{digest}.{extension}",
    )
    assert records.storage.read(f"sessions/ad/inputs/{digest}.{extension}") == image.read_bytes()
    served_again = api.get(stored["url"])
    assert (served_again.content, served_again.headers["Content-Type"]) == (
        image.read_bytes(),
        MEDIA_TYPES[extension],
    )
    assert served_again.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in served_again.headers["Content-Security-Policy"]
    assert "immutable" in served_again.headers["Cache-Control"]
    known = {"If-None-Match": served_again.headers["ETag"]}
    assert api.get(stored["url"], headers=known).status_code == 304


def test_a_scene_names_an_uploaded_image(api: httpx.Client, records: Records, tmp_path: Path) -> None:
    stored = api.post(INPUTS, content=write_image(tmp_path / "lamp.png").read_bytes()).json()
    assert (stored["width"], stored["height"]) == (16, 9)
    assert api.patch("/api/sessions/ad/scenes/hook", json={"first_frame": stored["input"]}).status_code == 200
    assert records.session("ad").scene(Scenario.HOOK).first_frame == stored["input"]
    records.save_session(make_session(session_id="other"))
    for path, body in (
        ("/api/sessions/other", {"first_frame": stored["input"]}),
        ("/api/sessions/other/scenes/hook", {"first_frame": stored["input"]}),
    ):
        refused = api.patch(path, json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "first_frame")
        assert "is not among the inputs of this session: upload it first" in refused.json()["detail"]
    new = api.post("/api/sessions", json=session_data(session_id="new", references=[stored["input"]]))
    assert (new.status_code, new.json()["errors"][0]["field"]) == (422, "references.0")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is neither an https URL nor a PNG, JPEG or WebP image"),
        (b"root:x:0:0", "is neither an https URL nor a PNG, JPEG or WebP image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is neither an https URL nor a PNG, JPEG or WebP image"),
        (b"\x89PNG\r\n\x1a\n" + b"secret" * 100, "is neither an https URL nor a PNG, JPEG or WebP image"),
    ],
    ids=["empty", "text", "svg", "half a PNG"],
)
def test_what_is_no_image_is_refused_and_not_stored(
    api: httpx.Client, records: Records, content: bytes, words: str
) -> None:
    for answer in (api.post(INPUTS, content=content), api.post(INPUTS, files={"file": ("../../x.png", content)})):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "file")
        assert words in answer.json()["detail"]
    assert records.storage.names("sessions/ad/inputs") == []


def test_a_damaged_image_is_refused(api: httpx.Client, tmp_path: Path) -> None:
    content = write_image(tmp_path / "lamp.png").read_bytes()
    assert "damaged image" in api.post(INPUTS, content=content[:-30]).json()["detail"]


def test_uploads_have_a_limit_of_their_own(api: httpx.Client, records: Records) -> None:
    assert api.post(INPUTS, content=b"x" * MB).status_code == 422
    for content in (b"x" * (12 * MB + 1), iter([b"x" * MB] * 13)):
        answer = api.post(INPUTS, content=content)
        assert (answer.status_code, answer.json()["status"]) == (413, 413)
        assert "make the images smaller" in answer.json()["detail"]
    assert api.post("/api/sessions", content=b" " * MB).status_code == 413
    assert records.storage.names("sessions/ad/inputs") == []


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("text/html", b"<p>", 415),
        ("multipart/form-data", b"", 422),
        ("multipart/form-data; boundary=x", b"", 422),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf', 422),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno name\r\n--x--", 422),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--x--", 422),
        ("multipart/form-data; boundary=x", b"--x--", 422),
    ],
)
def test_a_body_that_is_no_image_and_no_form_is_refused(
    api: httpx.Client, records: Records, kind: str, body: bytes, status: int
) -> None:
    assert api.post(INPUTS, content=body, headers={"Content-Type": kind}).status_code == status
    assert records.storage.names("sessions/ad/inputs") == []


@pytest.mark.parametrize("file", ["x.png", f"{'0' * 64}.gif", "..%2Fsession.json", "..%2f..%2fad%2fsession.json"])
def test_only_inputs_are_served(api: httpx.Client, file: str) -> None:
    assert api.get(f"{INPUTS}/{file}").status_code in {404, 422}
    assert api.get(f"{INPUTS}/{'0' * 64}.png").status_code == 404


def test_no_input_without_a_session(api: httpx.Client, records: Records, tmp_path: Path) -> None:
    content = write_image(tmp_path / "lamp.png").read_bytes()
    assert api.post("/api/sessions/nobody/inputs", content=content).status_code == 404
    assert records.session_ids() == ["ad"]


def test_uploads_and_inputs_need_a_key_and_no_other_site_sends_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = write_image(tmp_path / "lamp.png")
    files = {"file": (image.name, image.read_bytes())}
    with served() as client:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
            assert client.post(INPUTS, files=files, headers=headers).status_code == 403
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)
    with served() as client:
        assert client.post(INPUTS, files=files).status_code == 401
        stored = client.post(INPUTS, files=files, headers=BEARER).json()
        assert client.get(stored["url"]).status_code == 401
        assert client.get(stored["url"], headers=BEARER).content == image.read_bytes()


def test_the_clients_upload_and_read_images(api: httpx.Client, tmp_path: Path) -> None:
    image = write_image(tmp_path / "lamp.webp", "WEBP")
    with Client(str(api.base_url)) as client:
        stored = client.add_input("ad", image)
        assert stored.input.endswith(".webp#lamp.webp")
        assert client.read_input("ad", stored.input) == client.read_input("ad", stored.url) == image.read_bytes()
        assert client.add_input("ad", image.read_bytes(), name="lamp.webp") == stored
        assert client.change_session("ad", last_frame=stored.input).last_frame == stored.input


NAMES = st.text('ab"\r\n;=é ', min_size=1, max_size=9)


@given(
    st.dictionaries(NAMES, st.text(max_size=20), max_size=3),
    st.lists(st.tuples(NAMES, st.binary(max_size=40)), min_size=1, max_size=3),
)
def test_a_multipart_form_is_read_as_it_was_sent(fields: dict[str, str], files: list[tuple[str, bytes]]) -> None:
    request = httpx.Request("POST", "http://a.example", data=fields, files=[("file", each) for each in files])
    found = read_multipart(request.headers["Content-Type"], request.read())
    assert [each for each in found if isinstance(each, FileField)] == [
        FileField("file", name.strip(), content) for name, content in files
    ]
    assert dict(each for each in found if not isinstance(each, FileField)) == fields


@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    for content in (body, b"--x\r\n" + body, b"--x\r\n" + body + b"\r\n--x--"):
        with suppress(HTTPProblem):
            assert isinstance(read_multipart("multipart/form-data; boundary=x", content), list)

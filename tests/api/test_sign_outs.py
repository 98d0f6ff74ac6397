"""A sign-out revokes its cookie for good: on its own server at once, on the others of the storage soon."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adreel.records import Records
from adreel.records.verification import verify
from adreel.web import sign_outs
from adreel.web.keys import COOKIE
from tests.api import raw
from tests.api.serving import KEYS, served
from tests.api.test_security import sign_in
from tests.factories import make_session

OWN = {"Sec-Fetch-Site": "same-origin"}
PATH = "/api/sessions/ad"


@pytest.fixture
def servers(records: Records, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    records.save_session(make_session())
    monkeypatch.setenv("ADREEL_API_KEYS", KEYS)
    monkeypatch.setattr(sign_outs, "REFRESH_SECONDS", 0.2)
    with served() as here, served() as there:
        yield here, there


def kept_cookie(client: httpx.Client) -> dict[str, str]:
    """Sign in, and return the headers of a client with a copied cookie."""
    sign_in(client)
    return {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}


def test_a_copied_cookie_ends_with_the_sign_out_on_every_server(
    servers: tuple[httpx.Client, httpx.Client], records: Records
) -> None:
    here, there = servers
    copied = kept_cookie(here)
    assert (here.get(PATH).status_code, there.get(PATH, headers=copied).status_code) == (200, 200)
    other = kept_cookie(there)
    assert here.post("/sign-out", headers=OWN).status_code == 303
    assert here.get(PATH, headers=copied).status_code == 401
    there.cookies.clear()
    raw.until(lambda: there.get(PATH, headers=copied).status_code == 401, "the other server does not hear of it")
    with served() as started_later:
        assert started_later.get(PATH, headers=copied).status_code == 401
        assert started_later.get(PATH, headers=other).status_code == 200, "another sign-in with the same key goes on"
    assert verify(records) == []


def test_a_sign_out_that_can_t_be_kept_is_refused_and_can_be_tried_again(
    servers: tuple[httpx.Client, httpx.Client], records: Records
) -> None:
    here, _ = servers
    copied = kept_cookie(here)
    here.cookies.clear()
    assert here.get(PATH, headers=copied).status_code == 200
    folder = Path(records.storage.location(sign_outs.FOLDER))
    folder.write_text("in the way")
    refused = here.post("/sign-out", headers={**OWN, **copied})
    assert (refused.status_code, "Set-Cookie" in refused.headers) == (503, False)
    folder.unlink()
    assert here.post("/sign-out", headers={**OWN, **copied}).status_code == 303
    assert here.get(PATH, headers=copied).status_code == 401


def test_forgotten_sign_outs_are_taken_away(servers: tuple[httpx.Client, httpx.Client], records: Records) -> None:
    here, _ = servers
    old = f"{sign_outs.FOLDER}/1000000000-{'0' * 32}"
    records.storage.write(old, b"")
    kept_cookie(here)
    raw.until(lambda: here.get(PATH).status_code == 200 and not records.storage.exists(old), "it is kept for ever")
    assert not records.storage.exists(old)


def test_only_a_request_of_its_own_pages_signs_out(servers: tuple[httpx.Client, httpx.Client]) -> None:
    here, _ = servers
    copied = kept_cookie(here)
    assert here.post("/sign-out", headers={"Origin": "https://evil.example", **copied}).status_code == 403
    assert here.get(PATH, headers=copied).status_code == 200

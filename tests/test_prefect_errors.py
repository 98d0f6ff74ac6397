"""Each failure of Prefect becomes one error with advice, for every exception of its client."""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from adreel.errors import PrefectMisconfigured, PrefectUnreachable
from adreel.orchestration import client as prefect_client
from adreel.orchestration.client import sync_client
from adreel.orchestration.errors import check_server, prefect_errors
from adreel.orchestration.runs import Runs, start_slices
from tests.factories import session_data
from tests.impostors import ANSWERS, answering, impostor
from tests.test_cli import adreel
from tests.test_lost_server import server_away

COMMANDS = [
    ["generate", "ads/ad.yaml", "--again"],
    pytest.param(["campaign", "ads"], marks=pytest.mark.slow),
    pytest.param(["campaign", "ads", "--parts", "2"], marks=pytest.mark.slow),
    pytest.param(["deploy"], marks=pytest.mark.slow),
    pytest.param(["worker"], marks=pytest.mark.slow),
    ["doctor"],
]
SAYS = {
    "a web page": r"answers with a web page \('Sign in \[31m'\) instead of Prefect's API: .*/api",
    "other credentials": r"rejects the credentials \(HTTP 401\): set PREFECT_API_AUTH_STRING",
    "forbidden": r"refuses access \(HTTP 403: 'Sign in \[31m'\): .*PREFECT_CLIENT_CUSTOM_HEADERS",
    "no such path": r"has no /api/admin/version \(HTTP 404: Not Found\).*: set PREFECT_API_URL",
    "no such page": r"has no /api/admin/version \(HTTP 404.*: set PREFECT_API_URL",
    "a broken proxy": r"or a proxy before it, failed \(HTTP 502: '502 Bad Gateway'\): look into its log",
    "a broken server": r"failed \(HTTP 500: Internal Server Error\): look into its log",
    "another service": r"not like Prefect's API \(\{\"status\": \"ok\"\}\): set PREFECT_API_URL",
}


@pytest.fixture(autouse=True)
def _at_once(request: pytest.FixtureRequest, quick_retries: None) -> Iterator[None]:
    # A real server on SQLite answers 503 if two writes meet; Prefect's client then retries.
    retries = {} if "prefect" in request.fixturenames else {PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(retries):
        yield


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[str]:
    """Run a server with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2126, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("kind", ANSWERS)
def test_whatever_answers_is_named_with_a_way_out(kind: str) -> None:
    with impostor(kind) as url, sync_client() as client, pytest.raises(PrefectUnreachable) as raised:
        check_server(client)
    assert url in str(raised.value)
    assert raised.value.advice
    assert re.search(SAYS.get(kind, "not like Prefect's API"), str(raised.value))
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("kind", ANSWERS)
async def test_the_runs_of_the_http_api_raise_the_same(kind: str) -> None:
    with impostor(kind):
        async with Runs() as runs:
            # These are what a well-behaved server may say to a mere greeting.
            if kind not in {"another service", "a list", "null", "a word"}:
                with pytest.raises(PrefectUnreachable):
                    await runs.check()
            for question in (
                runs.read("6a9a5a4f-3c0e-4c8e-9e0b-5d3c4a1b2c3d"),
                runs.find("key"),
                runs.cancel("6a9a5a4f-3c0e-4c8e-9e0b-5d3c4a1b2c3d"),
                runs.start("generate-ad/generate-ad", {}, key="key", labels={}),
            ):
                with pytest.raises(PrefectUnreachable):
                    await question


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_says_it_in_one_sentence(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "ads").mkdir()
    (tmp_path / "ads" / "ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1)))
    with impostor("a web page") as url:
        ran = adreel(*words, PREFECT_API_URL=url, ADREEL_MODEL="bytedance:2@2", ADREEL_SIZE="128x72")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stdout + ran.stderr
    said = ran.stdout if words == ["doctor"] else ran.stderr
    assert "answers with a web page ('Sign in [31m') instead of Prefect's API" in said
    assert words == ["doctor"] or said.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["127.0.0.1:4200/api", "localhost:4200/api", "http://127.0.0.1:4200/api\r", "ftp://127.0.0.1/api"]
)
def test_an_address_that_is_none_is_shown(url: str) -> None:
    with (
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(PrefectMisconfigured, match="not an http:// or https:// URL: set PREFECT_API_URL") as raised,
        prefect_errors(),
        sync_client() as client,
    ):
        check_server(client)
    assert repr(url) in str(raised.value)


def test_a_server_that_is_away_is_to_be_started() -> None:
    with server_away() as url, sync_client() as client, pytest.raises(PrefectUnreachable) as raised:
        check_server(client)
    assert f"Prefect at {url} does not answer (" in raised.value.reason
    assert raised.value.retryable
    assert "prefect server start" in raised.value.advice


def test_a_password_in_the_address_is_not_shown() -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://me:secret@127.0.0.1:1/api"}),
        sync_client() as client,
        pytest.raises(PrefectUnreachable) as raised,
    ):
        check_server(client)
    assert "http://***@127.0.0.1:1/api" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_plain_server_asked_for_tls_is_named() -> None:
    with impostor("null") as url:
        secure = temporary_settings({PREFECT_API_URL: url.replace("http://", "https://")})
        with secure, sync_client() as client, pytest.raises(PrefectMisconfigured, match=r"no TLS.*begin.*http://"):
            check_server(client)


def test_a_certificate_that_nobody_knows_is_named(tls_server: str) -> None:
    with (
        temporary_settings({PREFECT_API_URL: f"{tls_server}/api"}),
        sync_client() as client,
        pytest.raises(PrefectMisconfigured, match=r"no TLS.*CERTIFICATE_VERIFY_FAILED.*PREFECT_API_SSL_CERT_FILE"),
    ):
        check_server(client)


def test_a_server_that_hangs_is_named() -> None:
    with (
        answering(200, "application/json", b"1", chunks=100, pause=1),
        temporary_settings({PREFECT_API_REQUEST_TIMEOUT: 0.2}),
        sync_client() as client,
        pytest.raises(PrefectUnreachable, match=r"does not answer in time \(ReadTimeout\)"),
    ):
        check_server(client)


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_client, "MAX_SECONDS", 0.3)
    with (
        answering(200, "application/json", b" ", chunks=1000, pause=0.05),
        sync_client() as client,
        pytest.raises(PrefectMisconfigured, match=r"does not end within 0\.3 s"),
    ):
        check_server(client)


async def test_a_huge_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_client, "MAX_BYTES", 1_000_000)
    with answering(200, "application/json", b" " * 100_000, chunks=1000):
        with sync_client() as client, pytest.raises(PrefectMisconfigured, match="larger than 1 MB"):
            check_server(client)
        async with Runs() as runs:
            with pytest.raises(PrefectMisconfigured, match="larger than 1 MB"):
                await runs.find("key")


def test_what_prefect_itself_does_not_know_is_to_be_deployed(prefect: str) -> None:
    with sync_client() as client:
        assert re.match(r"3\.", check_server(client))
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
    with pytest.raises(
        PrefectUnreachable, match=r"can't start the parts of the campaign: .* no such object .*: adreel deploy"
    ):
        start_slices({"campaign": "spring"}, 2)


async def test_a_run_is_unknown_only_if_prefect_says_so(prefect: str) -> None:
    unknown = "6a9a5a4f-3c0e-4c8e-9e0b-5d3c4a1b2c3d"
    async with Runs() as runs:
        assert await runs.read(unknown) is None
    with impostor("no such page"):
        async with Runs() as runs:
            with pytest.raises(PrefectMisconfigured, match="can't read a run"):
                await runs.read(unknown)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PREFECT_LOGGING_LEVEL", "PREFECT_API_REQUEST_TIMEOUT"])
def test_a_wrong_setting_of_prefect_is_named(name: str) -> None:
    for words in (["deploy"], ["recover"], ["doctor"]):
        ran = adreel(*words, PREFECT_API_URL="http://127.0.0.1:1/api", **{name: "nosuch"})
        assert ran.returncode == 1
        assert "Traceback" not in ran.stderr
        assert "adreel: a setting of Prefect is wrong (" in ran.stderr


def test_errors_of_something_else_stay_what_they_are() -> None:
    for error in (ValueError("mine"), TypeError("mine"), KeyError("mine"), RuntimeError("mine")):
        with pytest.raises(type(error)), prefect_errors():
            raise error

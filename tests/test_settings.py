"""Settings: where they come from, how wrong ones are named, and when money can be spent."""

from pathlib import Path

import pytest

from adreel.errors import InputError
from adreel.settings import RUNWARE_URL, Settings, is_loopback

KEY = "rw-very-secret"


def test_without_any_setting_nothing_can_be_spent() -> None:
    settings = Settings.load()
    assert settings.is_local
    assert settings.provider_url is None
    assert settings.key == "local"


def test_a_key_buys_from_runware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", KEY)
    settings = Settings.load()
    assert (settings.is_local, settings.provider_url, settings.key) == (False, RUNWARE_URL, KEY)


def test_the_key_is_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", KEY)
    settings = Settings.load()
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert KEY not in text


def test_the_key_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", KEY)
    monkeypatch.setenv("RUNWARE_URL", "https://runware.ai")
    with pytest.raises(InputError) as caught:
        Settings.load()
    assert KEY not in str(caught.value)


def test_a_dot_env_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("ADREEL_MODEL=test:1@1\nADREEL_CONCURRENCY=2\nUNRELATED=1\n")
    monkeypatch.setenv("ADREEL_CONCURRENCY", "3")
    settings = Settings.load()
    assert (settings.model, settings.concurrency) == ("test:1@1", 3)


def test_an_empty_key_in_the_environment_wins_over_a_dot_env(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"RUNWARE_API_KEY={KEY}\n")
    assert not Settings.load().is_local
    monkeypatch.setenv("RUNWARE_API_KEY", "")
    assert Settings.load().is_local


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNWARE_URL", "https://api.runware.ai"),
        ("ADREEL_STORAGE", ""),
        ("ADREEL_SIZE", "wide"),
        ("ADREEL_CONCURRENCY", "0"),
        ("ADREEL_CONCURRENCY", "many"),
        ("ADREEL_DEADLINE", "0"),
        ("ADREEL_DEADLINE", "nan"),
        ("ADREEL_ATTEMPTS", "0"),
        ("ADREEL_ATTEMPTS", "11"),
        ("ADREEL_MAX_CLIP_MB", "-1"),
        ("ADREEL_LOCAL_RENDER_SECONDS", "-1"),
        ("ADREEL_NOTIFY_URL", "mailto:somebody@shop.example"),
        pytest.param("ADREEL_DEADLINE", "inf"),
        pytest.param("ADREEL_MAX_CLIP_MB", "inf"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"^{name}: "):
        Settings.load()


def test_all_wrong_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_SIZE", "wide")
    monkeypatch.setenv("ADREEL_ATTEMPTS", "0")
    with pytest.raises(InputError, match=r"ADREEL_SIZE: .*; ADREEL_ATTEMPTS: "):
        Settings.load()


@pytest.mark.parametrize("name", ["STORAGE", "MODEL", "SIZE", "ATTEMPTS", "CONCURRENCY", "DOWNLOAD_HOSTS"])
def test_a_variable_of_another_program_changes_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    usual = Settings()
    monkeypatch.setenv(name, {"SIZE": "10x10", "ATTEMPTS": "9", "CONCURRENCY": "9"}.get(name, "theirs"))
    assert Settings() == usual


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("runware.ai", ["runware.ai"]),
        (" runware.ai , cdn.example ,", ["runware.ai", "cdn.example"]),
        ("", []),
    ],
    ids=["one", "two with spaces", "none"],
)
def test_hosts_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, hosts: list[str]) -> None:
    monkeypatch.setenv("ADREEL_DOWNLOAD_HOSTS", text)
    assert Settings.load().download_hosts == hosts


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9000/v1", "ws://localhost:9000", "ws://[::1]:9000"])
def test_a_local_runware_needs_no_key(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("RUNWARE_URL", url)
    settings = Settings.load()
    assert (settings.is_local, settings.provider_url) == (True, url)


def test_a_distant_address_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_URL", "wss://ws-api.runware.ai/v1")
    with pytest.raises(InputError, match="RUNWARE_API_KEY is not set"):
        _ = Settings.load().provider_url


def test_an_address_goes_before_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", KEY)
    monkeypatch.setenv("RUNWARE_URL", "wss://runware.example/v1")
    assert Settings.load().provider_url == "wss://runware.example/v1"


def test_an_address_that_is_none_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_URL", "ws://[::1")
    with pytest.raises(InputError, match="RUNWARE_URL"):
        _ = Settings.load().provider_url


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("ws://127.0.0.1:1", True),
        ("ws://LOCALHOST/v1", True),
        ("ws://localhost.evil.example", False),
        ("ws://127.0.0.1@evil.example", False),
        ("ws://evil.example/127.0.0.1", False),
        ("ws://0.0.0.0", False),
        ("", False),
    ],
)
def test_only_this_machine_is_loopback(url: str, here: bool) -> None:
    assert is_loopback(url) is here


def test_a_key_is_not_sent_in_clear_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWARE_API_KEY", KEY)
    monkeypatch.setenv("RUNWARE_URL", "ws://runware.example/v1")
    with pytest.raises(InputError, match="only wss://"):
        Settings.load()


def test_hosts_are_compared_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_DOWNLOAD_HOSTS", "CDN.Example")
    assert Settings.load().download_hosts == ["cdn.example"]


def test_an_env_file_that_is_no_text_is_bad_input() -> None:
    Path(".env").write_bytes(b"ADREEL_MODEL=\xff")
    with pytest.raises(InputError, match=r"\.env"):
        Settings.load()


@pytest.mark.parametrize("variable", [field.alias or name.upper() for name, field in Settings.model_fields.items()])
def test_the_readme_explains_every_variable(variable: str) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    assert f"| `{variable}` |" in readme

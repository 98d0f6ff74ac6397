"""Opening a storage by the settings: errors name the setting and the missing package, and no secret."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adreel.errors import InputError, StorageError
from adreel.settings import Settings
from adreel.storage import Storage
from tests.storage.servers import KEY

SECRET = "very-secret"


OPEN_WITHOUT_EXTRAS = """
import sys

sys.modules.update(dict.fromkeys(("s3fs", "gcsfs", "adlfs", "sshfs", "paramiko")))
from adreel.errors import StorageError
from adreel.storage import Storage

for url in sys.argv[1:]:
    try:
        Storage(url)
    except StorageError as error:
        print(error)
"""


def test_an_extra_that_is_missing_is_named_with_the_command() -> None:
    extras = {"s3://b": "s3", "gs://b": "gcs", "az://b": "azure", "abfs://b": "azure", "sftp://host/x": "sftp"}
    ran = subprocess.run(
        [sys.executable, "-c", OPEN_WITHOUT_EXTRAS, *extras], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [
        f"ADREEL_STORAGE is {url!r}: for that, pip install 'adreel[{extra}]'" for url, extra in extras.items()
    ]


def test_a_storage_that_nobody_knows_is_named() -> None:
    with pytest.raises(StorageError, match="ADREEL_STORAGE is 'nowhere://x'"):
        Storage("nowhere://x")


def test_the_settings_open_it_with_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_STORAGE", "s3://bucket/ads")
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", '{"endpoint_url": "http://127.0.0.1:1", "key": "k", "secret": "s"}')
    storage = Storage.from_settings(Settings.load())
    assert (storage.url, storage.fs.endpoint_url) == ("s3://bucket/ads", "http://127.0.0.1:1")


@pytest.mark.parametrize("text", [f'{{"secret": "{SECRET}"', f'["{SECRET}"]', f'"{SECRET}"', SECRET, "null"])
def test_options_that_are_no_json_object_are_bad_input_that_is_not_repeated(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", text)
    with pytest.raises(InputError, match=r"^ADREEL_STORAGE_OPTIONS: ") as caught:
        Settings.load()
    assert SECRET not in str(caught.value)


def test_the_options_are_in_no_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_STORAGE_OPTIONS", f'{{"secret": "{SECRET}"}}')
    settings = Settings.load()
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in text


def test_a_password_in_the_url_is_shown_nowhere(sftp_options: dict[str, Any]) -> None:
    storage = Storage(f"sftp://adreel:{KEY['secret']}@127.0.0.1/x", {"port": sftp_options["port"]})
    assert (storage.url, storage.location("a")) == ("sftp://adreel:***@127.0.0.1/x", "sftp://adreel:***@127.0.0.1/x/a")


def test_a_secret_that_a_file_system_repeats_is_struck_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str) -> bytes:
        raise OSError(f"{SECRET} is refused, and so is token-1234")

    storage = Storage("memory://x", {"secret": SECRET, "client_kwargs": {"aws_session_token": "token-1234"}})
    monkeypatch.setattr(storage.fs, "cat_file", refuse)
    with pytest.raises(StorageError, match=r"\*\*\* is refused, and so is \*\*\*;"):
        storage.read("a.json")


def test_a_server_that_refuses_is_named_without_the_password(sftp_options: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match=r"ADREEL_STORAGE is 'sftp://127\.0\.0\.1/x': Permission denied") as caught:
        Storage("sftp://127.0.0.1/x", {**sftp_options, "password": "wrong-word"})
    assert "wrong-word" not in str(caught.value)


def test_people_are_told_a_file_name_on_a_disk_and_a_url_elsewhere(
    tmp_path: Path, sftp_options: dict[str, Any]
) -> None:
    assert Storage(str(tmp_path)).location("a/b.mp4") == str(tmp_path / "a/b.mp4")
    assert Storage("memory://bucket").location("a/b.mp4") == "memory:///bucket/a/b.mp4"
    assert Storage("sftp://127.0.0.1/ads", sftp_options).location("a.mp4") == "sftp://127.0.0.1/ads/a.mp4"


def test_the_same_bucket_at_another_endpoint_is_another_storage() -> None:
    here, there = (Storage("s3://ads", {"endpoint_url": f"http://{host}.example"}) for host in ("here", "there"))
    assert here.location("") == there.location("")
    assert here.identity != there.identity

"""Settings: where they come from, how wrong ones are named, and when money can be spent."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from adreel.deployments.worker import environment_of_runs
from adreel.errors import InputError
from adreel.settings import RUNWARE_URL, Settings, env_file, is_loopback
from adreel.storage import Storage
from tests.storage.servers import S3Server
from tests.test_cli import ADREEL

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
    Path(".env").write_text("ADREEL_MODEL=bytedance:2@2\nADREEL_CONCURRENCY=2\nUNRELATED=1\n")
    monkeypatch.setenv("ADREEL_CONCURRENCY", "3")
    settings = Settings.load()
    assert (settings.model, settings.concurrency) == ("bytedance:2@2", 3)


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
        ("ADREEL_CATALOG_URL", "http://models.example"),
        ("ADREEL_CATALOG_URL", "https://models.example/?page=1"),
        ("ADREEL_CATALOG_URL", "https://"),
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
        ("", ["runware.ai"]),
        (",", []),
        ("CDN.Example,xn--mnchen-3ya.example", ["cdn.example", "münchen.example"]),
    ],
    ids=["one", "two with spaces", "the default", "none", "in one spelling"],
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


@pytest.mark.parametrize("variable", [(field.alias or name).upper() for name, field in Settings.model_fields.items()])
def test_the_settings_page_explains_every_variable(variable: str) -> None:
    page = (Path(__file__).parent.parent / "docs" / "settings.md").read_text()
    assert f"| `{variable}` |" in page


class TestStorage:
    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("~/ads", "HOME/ads"),
            (" /srv/ads\n", "/srv/ads"),
            ("/srv/a::b", "/srv/a::b"),
            ("../ads", "../ads"),
            ("./~/ads", "./~/ads"),
            ("/srv/my%20ads", "/srv/my%20ads"),
            ("file:///srv/my%20ads", "/srv/my ads"),
            ("file://localhost/srv/my%20ads/", "/srv/my ads/"),
            ("FILE:/srv/a::b", "/srv/a::b"),
            ("local://~/ads", "HOME/ads"),
            ("S3://Bucket/my%20ads", "s3://Bucket/my%20ads"),
            ("simplecache::s3://bucket/ads", "simplecache::s3://bucket/ads"),
        ],
    )
    def test_it_has_one_spelling(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, place: str) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("ADREEL_STORAGE", text)
        assert Settings.load().storage == place.replace("HOME", str(tmp_path))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "it is empty: name a folder or a URL"),
            ("~nobody-of-that-name/ads", "there is no home folder ~nobody-of-that-name"),
            (r"C:\ads", "is a Windows path"),
            ("c:/ads", "is a Windows path"),
            ("s3:/bucket/ads", "would be a local folder: a URL begins with s3://"),
            ("memory:ads", "a URL begins with memory://"),
            ("file://", "names no folder"),
            ("'/srv/ads'", "its quotes would be part of the value: remove them"),
        ],
    )
    def test_what_is_surely_meant_otherwise_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, text: str, said: str
    ) -> None:
        monkeypatch.setenv("ADREEL_STORAGE", text)
        with pytest.raises(InputError, match=rf"^ADREEL_STORAGE: .*{said}"):
            Settings.load()

    def test_clips_that_an_earlier_version_put_elsewhere_are_not_bought_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "my%20ads").mkdir()
        monkeypatch.setenv("ADREEL_STORAGE", f"file://{tmp_path}/my%20ads")
        with pytest.raises(InputError, match=r"a folder is literally named .*/my%20ads: rename it first"):
            Settings.load()
        (tmp_path / "my%20ads").rename(tmp_path / "my ads")
        assert Settings.load().storage == f"{tmp_path}/my ads"

    @pytest.mark.parametrize("text", ["~/ads", "file://HOME/my%20ads", "HOME/a::b", "../ads"])
    def test_it_is_one_place_for_commands_workers_and_the_server(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        home = tmp_path / "home"
        (home / "here").mkdir(parents=True)
        (home / "elsewhere").mkdir()
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.chdir(home / "here")
        Path(".env").write_text(f"ADREEL_STORAGE={text.replace('HOME', str(home))}\n")
        settings = Settings.load()
        of_the_command = Storage.from_settings(settings)
        for name, value in environment_of_runs(settings, {}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(home / "elsewhere")
        of_the_run = Storage.from_settings(Settings.load())
        of_the_command.write("a.json", b"{}")
        assert of_the_run.read("a.json") == b"{}"
        place = {"~/ads": "ads", "file://HOME/my%20ads": "my ads", "HOME/a::b": "a::b", "../ads": "ads"}[text]
        assert (home / place / "a.json").read_bytes() == b"{}"


class TestValues:
    @pytest.mark.parametrize(
        "name",
        ["CONCURRENCY", "DEADLINE", "MODEL", "SIZE", "DOWNLOAD_HOSTS", "STORAGE_OPTIONS", "API_KEYS", "PUBLIC_URL"],
    )
    @pytest.mark.parametrize("blank", ["", "  \n"])
    def test_an_empty_one_is_the_default_and_wins_over_a_dot_env(
        self, monkeypatch: pytest.MonkeyPatch, name: str, blank: str
    ) -> None:
        usual = Settings.load()
        values = {"SIZE": "720x720", "STORAGE_OPTIONS": '{"a": 1}', "API_KEYS": "a:0123456789abcdef"}
        Path(".env").write_text(f"ADREEL_{name}={values.get(name, '7' if name != 'PUBLIC_URL' else 'https://a.b')}\n")
        assert Settings.load() != usual
        monkeypatch.setenv(f"ADREEL_{name}", blank)
        assert Settings.load() == usual

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("SIZE", "9:16", "'9:16' is an aspect ratio: give WIDTHxHEIGHT, such as 1280x720"),
            ("SIZE", "1280X720", "'1280X720' is not a size: give WIDTHxHEIGHT"),
            ("DOWNLOAD_HOSTS", "https://cdn.example/", "'https://cdn.example/' is not a host: give only its name"),
            ("DOWNLOAD_HOSTS", "runware.ai,cdn.example:8443", "'cdn.example:8443' is not a host"),
            ("DOWNLOAD_HOSTS", "*.cdn.example", "is not a host: .* subdomains count too"),
            ("DOWNLOAD_HOSTS", ".cdn.example", "is not a host"),
            ("CORS_ORIGINS", "shop.example", "'shop.example' is not an origin: give a scheme and a host"),
            ("CORS_ORIGINS", "https://shop.example/page", "is not an origin"),
            ("CORS_ORIGINS", "*", "is not an origin"),
            ("PUBLIC_URL", "ads.example/?a=b", "should match pattern"),
            ("PUBLIC_URL", "https://", "it has to be the address of a page"),
            ("PUBLIC_URL", "https://ads.example/?a=b", "it has to be the address of a page"),
            ("CONCURRENCY", "-1", "greater than or equal to 1"),
            ("CONCURRENCY", "4.5", "valid integer"),
            ("DEADLINE", "-1", "greater than 0"),
            ("MAX_CLIP_MB", "nan", "finite"),
            ("MODEL", '"klingai:6@1"', "its quotes would be part of the value"),
        ],
    )
    def test_a_wrong_one_says_what_is_expected(
        self, monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
    ) -> None:
        monkeypatch.setenv(f"ADREEL_{name}", text)
        with pytest.raises(InputError, match=rf"^ADREEL_{name}: .*{said}"):
            Settings.load()

    def test_an_origin_may_end_with_a_slash(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ADREEL_CORS_ORIGINS", "https://Shop.Example/, http://localhost:3000")
        assert Settings.load().cors_origins == ["https://shop.example", "http://localhost:3000"]


class TestRuns:
    @pytest.mark.parametrize("name", ["RUNWARE_API_KEY", "runware_api_key"])
    def test_an_empty_key_in_a_dot_env_keeps_runs_from_looking_for_another(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        Path(".env").write_text(f"{name}=\n")
        environment = environment_of_runs(Settings.load(), {"HOME": "/"})
        assert environment["RUNWARE_API_KEY"] == ""
        for each, value in environment.items():
            monkeypatch.setenv(each, value)
        Path(".env").unlink()
        assert "runware_api_key" in Settings.load().model_fields_set

    @pytest.mark.parametrize("name", ["RUNWARE_API_KEY", "runware_api_key"])
    def test_a_dot_env_in_other_letters_does_not_win_over_the_environment(self, name: str) -> None:
        Path(".env").write_text(f"{name}=rw-of-the-file\n{name.swapcase()}=rw-of-the-file\n")
        for given in ("RUNWARE_API_KEY", "runware_api_key"):
            environment = environment_of_runs(Settings.load(), {given: ""})
            assert [value for each, value in environment.items() if each.upper() == "RUNWARE_API_KEY"] == [""]


class TestKey:
    @pytest.mark.parametrize("text", [f"{KEY}\n", f"  {KEY}\r\n", f"\t{KEY} "])
    def test_blanks_around_it_are_not_sent(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", text)
        assert Settings.load().key == KEY
        assert Settings().with_key(text, "the block").key == KEY

    @pytest.mark.parametrize(
        "text", [f"Bearer {KEY}", f"{KEY}\n{KEY}", f"{KEY}\N{NO-BREAK SPACE}x", f'"{KEY}"', "rw-\x1bvery-secret"]
    )
    def test_one_that_can_be_none_is_named_and_not_repeated(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv("RUNWARE_API_KEY", text)
        for load, origin in [
            (Settings.load, "RUNWARE_API_KEY"),
            (lambda: Settings(runware_api_key=None).with_key(text, "the block"), "the block"),
        ]:
            with pytest.raises(InputError, match=f"^{origin}: ") as caught:
                load()
            assert "very-secret" not in str(caught.value)

    def test_an_empty_block_is_no_key(self) -> None:
        with pytest.raises(InputError, match=r"^the block: it is empty"):
            Settings().with_key(" \n", "the block")


class TestEnvFile:
    def test_what_shells_and_editors_write_is_read(self) -> None:
        lines = [
            "# a comment",
            "export ADREEL_MODEL='bytedance:2@2'",
            'ADREEL_SIZE="720x1280"  # upright',
            "ADREEL_API_KEYS=shop:0123456789#abcdef",
            "ADREEL_STORAGE=/srv/my ads/ # a comment",
            "ADREEL_ATTEMPTS",
            'ADREEL_STORAGE_OPTIONS={"endpoint_url": "https://s3.example#1"}',
        ]
        Path(".env").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
        settings = Settings.load()
        assert (settings.model, settings.size, settings.attempts) == ("bytedance:2@2", "720x1280", 2)
        assert settings.api_keys["shop"].get_secret_value() == "0123456789#abcdef"
        assert (settings.storage, settings.file_system_options) == (
            "/srv/my ads/",
            {"endpoint_url": "https://s3.example#1"},
        )

    def test_a_byte_order_mark_does_not_hide_the_key(self) -> None:
        Path(".env").write_bytes(b"\xef\xbb\xbfRUNWARE_API_KEY=" + KEY.encode())
        assert Settings.load().key == KEY

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("ADREEL_SIZE=720x720\n\nADREEL_MODEL='bytedance:2@2\n", r"\.env, line 3: expected NAME=value"),
            ("ADREEL MODEL=test\n", r"\.env, line 1: expected NAME=value"),
            ("ADREEL_MODEL=a".encode("utf-16"), "it looks like UTF-16: save it as UTF-8"),
            ("\nADREEL_MODEL=ö".encode("latin-1"), "is not UTF-8 text: see line 2"),
            (b"#" * (1024 * 1024 + 1), r"\.env is larger than 1 MB"),
        ],
    )
    def test_a_line_that_is_none_is_named(self, content: str | bytes, said: str) -> None:
        Path(".env").write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(InputError, match=said):
            Settings.load()

    def test_a_folder_of_that_name_is_somebody_s_virtual_environment(self) -> None:
        Path(".env").mkdir()
        assert Settings.load() == Settings()

    def test_one_without_an_end_is_refused(self) -> None:
        Path(".env").symlink_to("/dev/zero")
        with pytest.raises(InputError, match=r"can't read \.env: it is not a regular file"):
            Settings.load()

    def test_a_pipe_of_a_password_manager_is_read_and_one_that_nobody_writes_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(".env")
        writer = threading.Thread(target=lambda: Path(".env").write_text("ADREEL_MODEL=bytedance:2@2\n"))
        writer.start()
        assert Settings.load().model == "bytedance:2@2"
        writer.join()
        monkeypatch.setattr(env_file, "PIPE_SECONDS", 0.05)
        with pytest.raises(InputError, match=r"\.env: it is a named pipe whose writer did not close it"):
            Settings.load()

    @pytest.mark.slow
    @pytest.mark.parametrize("command", ["doctor", "recover", "worker"])
    def test_no_command_waits_for_ever_where_prefect_s_own_settings_would(self, command: str) -> None:
        os.mkfifo(".env")
        ended = subprocess.run([ADREEL, command], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 2
        assert "can't read .env: it is a named pipe whose writer did not close it" in ended.stderr

    @pytest.mark.parametrize("command", ["doctor", "recover", "worker"])
    @pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
    def test_no_command_shows_an_error_of_prefect_s_about_its_letters(self, command: str, encoding: str) -> None:
        Path(".env").write_bytes("ADREEL_MODEL=ö\n".encode(encoding))
        ended = subprocess.run([ADREEL, command], capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
        assert ".env is not UTF-8 text" in ended.stderr

    def test_what_the_libraries_of_storages_look_for_gets_into_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_REGION", "GOOGLE_CLOUD_PROJECT", "AZURE_X", "UNRELATED_X"):
            monkeypatch.setenv(name, "from the environment")
        for name in ("AWS_ACCESS_KEY_ID", "AZURE_X", "GOOGLE_CLOUD_PROJECT", "UNRELATED_X"):
            monkeypatch.delenv(name)
        Path(".env").write_text("AWS_ACCESS_KEY_ID=k\nAWS_REGION=r\nGOOGLE_CLOUD_PROJECT=p\nAZURE_X=\nUNRELATED_X=u\n")
        Settings.load()
        assert (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_REGION"]) == ("k", "from the environment")
        assert os.environ["GOOGLE_CLOUD_PROJECT"] == "p"
        assert {"AZURE_X", "UNRELATED_X"}.isdisjoint(os.environ)

    def test_a_bucket_opens_with_keys_that_are_only_there(self, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        address = s3.options.get("endpoint_url") or s3.options["client_kwargs"]["endpoint_url"]
        Path(".env").write_text(
            f"ADREEL_STORAGE={s3.bucket()}\nAWS_ENDPOINT_URL={address}\nAWS_DEFAULT_REGION=us-east-1\n"
            "AWS_ACCESS_KEY_ID=k\nAWS_SECRET_ACCESS_KEY=s\n"
        )
        Storage.from_settings(Settings.load()).write("a.json", b"{}")
        assert Storage.from_settings(Settings.load()).read("a.json") == b"{}"

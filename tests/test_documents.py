"""The reader of documents: the same rules for all sources, and values that YAML would change are refused."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adreel.campaigns import campaign_name, check_sessions, ignored_files, read_sessions
from adreel.errors import InputError
from adreel.flows.forms import unpack_json
from adreel.models.documents import MAX_BYTES, MAX_DEPTH, MAX_LINE_BYTES, read_document, read_file, read_json
from adreel.models.sessions import Session, parse_session, read_session
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.storage.marker import MARKER
from tests.factories import make_session, session_data
from tests.storage.servers import S3Server
from tests.test_cli import ADREEL, adreel

pytestmark = pytest.mark.usefixtures("runware")


def from_a_file(content: bytes, name: str) -> Session:
    Path(name).write_bytes(content)
    return read_session(Path(name))


def from_a_folder(content: bytes, name: str) -> Session:
    Path("ads").mkdir()
    Path("ads", name).write_bytes(content)
    [session] = read_sessions(Settings.load(), "ads")
    return session


def from_a_bucket(content: bytes, name: str) -> Session:
    Storage("memory://ads-of-a-test/one").write(name, content)
    [session] = read_sessions(Settings.load(), "memory://ads-of-a-test/one")
    Storage("memory://ads-of-a-test/one").remove(name)
    return session


DOORS = [from_a_file, from_a_folder, from_a_bucket]
TALKATIVE = {**session_data(), "product_name": "Größe 💡"}
TAKEN = {
    "JSON with a byte order mark": ("ad.json", b"\xef\xbb\xbf" + json.dumps(TALKATIVE).encode()),
    "YAML with a byte order mark": ("ad.yaml", b"\xef\xbb\xbf" + yaml.safe_dump(TALKATIVE).encode()),
    "a name in capitals": ("ad.JSON", json.dumps(TALKATIVE, indent="\t").encode()),
    "tabs and halves of an emoji": ("ad.json", json.dumps(TALKATIVE, indent="\t").encode()),
    "the same, called YAML": ("b.YAML", json.dumps(TALKATIVE, indent="\t").encode()),
    "an emoji as it is": ("ad.yml", yaml.safe_dump(TALKATIVE, allow_unicode=True).encode()),
    "lines of Windows": ("ad with a blank.yaml", yaml.safe_dump(TALKATIVE).replace("\n", "\r\n").encode()),
    "a mapping of YAML in braces": ("ad.yaml", yaml.safe_dump(TALKATIVE, default_flow_style=True).encode()),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("name", "content"), TAKEN.values(), ids=TAKEN)
def test_every_door_takes_the_same(door: Callable[[bytes, str], Session], name: str, content: bytes) -> None:
    assert door(content, name) == make_session(product_name="Größe 💡")


REFUSED = {
    "octal": (b"session_id: 00123", "line 1: session_id: YAML reads 00123 as the number 83: put it in quotes"),
    "hexadecimal": (b"\nsession_id: 0x1F", "line 2: session_id: YAML reads 0x1F as the number 31: put it in quotes"),
    "with an underscore": (b"session_id: 1_000", "YAML reads 1_000 as the number 1000: put it in quotes"),
    "binary": (b"session_id: 0b11", "YAML reads 0b11 as the number 3: put it in quotes"),
    "no": (b"product_name: No", "product_name: YAML reads No as false: put it in quotes"),
    "off": (b"brand_tone: [calm, OFF]", "brand_tone: YAML reads OFF as false: put it in quotes"),
    "a day": (b"category: 2026-01-05", "category: YAML reads 2026-01-05 as a date: put it in quotes"),
    "a moment": (b"category: 2026-01-05 12:30:00", "YAML reads 2026-01-05 12:30:00 as a date: put it in quotes"),
    "a time": (b"category: 12:30", "category: YAML reads 12:30 as the number 750: put it in quotes"),
    "a time with seconds": (b"category: 1:30:00.5", "YAML reads 1:30:00.5 as the number 5400.5: put it in quotes"),
    "infinite": (b"duration: .inf", "duration: YAML reads .inf as no finite number: put it in quotes"),
    "a colour": (b"brand_colors:\n- red\n- #ff0000", "line 3: brand_colors: YAML reads #ff0000 as a comment"),
    "a colour of a field": (b"category: #ff0000\nx: y", "line 1: category: YAML reads #ff0000 as a comment"),
    "a hashtag": (b"category: We are #1 !", "category: YAML reads #1 ! as a comment: put the value in quotes"),
    "an aspect": (b"size: 9:16", "size: 9:16 is an aspect ratio, and YAML reads it as the number 556: give WIDTHx"),
    "a key of truth": (b"on: x", "line 1: YAML reads on as true: put it in quotes"),
    "a key that is a number": (b"12: x", "line 1: 12 is not a field name"),
    "a key that is a list": (b"? [a]\n: x", "line 1: a list or mapping is not a field name"),
    "a key twice": (b"category: a\nx: y\ncategory: b", "line 3: category appears twice: keep one of them"),
    "a key twice, deep": (b"scene_descriptions:\n- seed: 1\n  seed: 2", "line 3: seed appears twice"),
    "a key twice in JSON": (b'{"a": [{}],\n"b": {"a": 1},\n"a": 2}', "line 3: a appears twice: keep one of them"),
    "a key twice by an escape": (b'{"a": "\\"b\\": {",\n"\\u0061": 2}', "line 2: a appears twice"),
    "bytes": (b"category: !!binary aGk=", "category: !!binary is not supported"),
    "a tag": (b"category: !secret x", "category: !secret is not supported"),
    "a loop": (b"category: &a [*a]", "line 1: *a contains itself"),
    "half an emoji": (b'{"category": "\\ud83d"}', "category has the control character U+D83D: remove it"),
    "a control character": (b'category: "\\x1b[31m"', "category has the control character U+001B: remove it"),
    "a control character as a key": (b'{"a\\u0000": 1}', "a key has the control character U+0000: remove it"),
    "no number": (b'{"a": NaN}', "NaN is not a number"),
    "UTF-16": ("category: x".encode("utf-16"), "is not UTF-8 text; it looks like UTF-16: save it as UTF-8"),
    "UTF-16 without a mark": ("category: x".encode("utf-16-le"), "it looks like UTF-16: save it as UTF-8"),
    "Latin-1": ("a: b\nc: Größe".encode("latin-1"), "is not UTF-8 text: line 2 has the byte 0xf6; save it as UTF-8"),
    "a tab": (b"a:\n\t- b", "is not valid YAML: line 2, column 1: .*; indent with spaces, not with tabs"),
    "two documents": (b"a: 1\n---\nb: 1", "is not valid YAML: line 2, column 1: .*another document"),
    "deep brackets": (b"[" * 100_000, f"nested too deeply: more than {MAX_DEPTH} levels"),
    "deep brackets of JSON": (b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}", "nested too deeply"),
    "a bit too deep for others": (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "nested too deeply"),
    "deep lines": ("\n".join(" " * n + "a:" for n in range(300)).encode(), "nested too deeply"),
    "too large": (b"a" * (MAX_BYTES + 1), "is larger than 16 MB: divide it, or use JSON Lines"),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("content", "said"), REFUSED.values(), ids=REFUSED)
def test_every_door_refuses_the_same(door: Callable[[bytes, str], Session], content: bytes, said: str) -> None:
    pattern = said if ".*" in said else re.escape(said)
    with pytest.raises(InputError, match=rf"^(\S*: )?ad\.yaml\b.*{pattern}"):
        door(content, "ad.yaml")


@pytest.mark.parametrize("merging", [False, True], ids=["lists", "merge keys"])
def test_a_billion_laughs_are_refused_by_what_they_stand_for(merging: bool) -> None:
    levels = ["a0: &a0 {k: lol}"]
    for level in range(1, 30):
        nine = ", ".join([f"*a{level - 1}"] * 9)
        levels.append(f"a{level}: &a{level} {'{<<: ' if merging else ''}[{nine}]{'}' if merging else ''}")
    with pytest.raises(InputError, match=r"ad\.yaml, line \d+: larger than 16 MB with its aliases expanded"):
        read_document("\n".join(levels), "ad.yaml")


def test_merge_keys_and_aliases_that_share_a_scene_are_taken() -> None:
    text = "base: &base {scenario: hook, seed: 1}\nscenes:\n- {<<: *base, seed: 2}\n- *base\n- {<<: [*base], x: y}"
    assert read_document(text, "ad.yaml")["scenes"] == [
        {"scenario": "hook", "seed": 2},
        {"scenario": "hook", "seed": 1},
        {"scenario": "hook", "seed": 1, "x": "y"},
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("5.50", 5.5),
        ("null", None),
        ("~", None),
        ("'00123'", "00123"),
        ("1e3", "1e3"),
        ("0o17", "0o17"),
        ("a#b  # a comment", "a#b"),
        ("  # a comment", None),
        ("!!str 12:30", "12:30"),
        ("'#ff0000'  #red", "#ff0000"),
        ("|\n  No\n  12:30", "No\n12:30"),
    ],
)
def test_what_is_read_as_it_is_written_is_taken(text: str, value: Any) -> None:
    assert read_document(f"a: {text}", "ad.yaml") == {"a": value}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"product_name": None}, "product_name: .* this is empty: leave the field out, or put text in quotes"),
        ({"product_name": True}, "product_name: .* this is read as true: put it in quotes"),
        ({"session_id": 7}, "session_id: .* this is read as 7: put it in quotes"),
        ({"size": "9:16"}, "size: .*'9:16' is an aspect ratio: give WIDTHxHEIGHT, such as 1280x720"),
        ({"size": "1280X720"}, "size: .*'1280X720' is not a size: give WIDTHxHEIGHT"),
    ],
)
def test_a_value_of_another_kind_is_explained(changes: dict[str, Any], said: str) -> None:
    scene = {**session_data()["scene_descriptions"][0], **{k: v for k, v in changes.items() if k == "size"}}
    session = {**session_data(), **{k: v for k, v in changes.items() if k != "size"}, "scene_descriptions": [scene]}
    with pytest.raises(InputError, match=rf"ad\.json: .*{said}"):
        from_a_file(json.dumps(session).encode(), "ad.json")


def test_parameters_of_a_run_are_checked_as_files_are() -> None:
    with pytest.raises(InputError, match=r"^session: product_name has the control character U\+0000"):
        parse_session(session_data(product_name="Lamp\0"))


def test_the_form_of_a_run_reads_as_the_files_do() -> None:

    for text, said in [
        ('{"a": 1,\n"a": 2}', "line 2: a appears twice"),
        ('{"a": "\\udc00"}', "a has the control character"),
    ]:
        with pytest.raises(InputError, match=f"^session.*{said}"):
            unpack_json({"__prefect_kind": "json", "value": text}, "session")


class TestLines:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (json.dumps(session_data()) + ",", "line 1 is not valid JSON: .*Extra data; JSON Lines have one whole"),
            (json.dumps([session_data()]), "line 1 is not a mapping: .*`jq -c '.\\[]' ads.jsonl` of a list"),
            (json.dumps([session_data()], indent=1), "line 1 is not valid JSON: .*`jq -c .` makes them of pretty-"),
            (json.dumps(session_data(), indent=1), "line 1 is not valid JSON: column 2: .*`jq -c .` makes them"),
            ("\n" + yaml.safe_dump(session_data()), "line 2 is not valid JSON: column 1"),
            ('{"session_id": "a", "session_id": "b"}', "line 1: session_id appears twice"),
            ('{"a": "' + "x" * MAX_LINE_BYTES + '"}', "line 1 is longer than 1 MB"),
            ("\n" + "[" * 50_000, "line 2 is not valid JSON: "),
        ],
    )  # fmt: skip
    def test_what_is_no_line_of_json_is_named_with_what_one_looks_like(self, content: str, said: str) -> None:
        Path("ads.jsonl").write_text(content)
        with pytest.raises(InputError, match=rf"^ads\.jsonl, {said.replace('{...', re.escape('{...'))}"):
            check_sessions(Settings.load(), "ads.jsonl")

    def test_utf_16_is_named(self) -> None:
        Path("ads.jsonl").write_text(json.dumps(session_data()), encoding="utf-16")
        with pytest.raises(InputError, match=r"^ads\.jsonl, line 1 is not UTF-8 text; it looks like UTF-16"):
            check_sessions(Settings.load(), "ads.jsonl")

    def test_marks_blank_lines_and_capitals_are_taken(self) -> None:
        Path("ADS.NDJSON").write_bytes(b"\xef\xbb\xbf" + json.dumps(session_data()).encode() + b"\r\n\r\n")
        assert check_sessions(Settings.load(), "ADS.NDJSON") == 1


class TestFolders:
    def test_nothing_is_left_out_silently(self) -> None:
        Path("ads/drafts").mkdir(parents=True)
        Path("ads/a.yaml").write_text(yaml.safe_dump(session_data()))
        Path("ads/b.YAML").write_text(yaml.safe_dump({**session_data(), "session_id": "b"}))
        for name in ("notes.txt", "c.yaml~", "more.jsonl"):
            Path("ads", name).write_text("no session")
        settings = Settings.load()
        assert check_sessions(settings, "ads") == 2
        assert ignored_files(settings, "ads") == "c.yaml~, drafts, more.jsonl, notes.txt"
        assert ignored_files(settings, "ads/a.yaml") == ""
        for number in range(30):
            Path("ads", f"a{number:02}.mp4").touch()
        assert ignored_files(settings, "ads").endswith("a19.mp4 and 14 more")

    def test_the_storage_s_own_folder_may_hold_them(self) -> None:
        Records(Storage("outputs")).save_session(make_session())
        Path("outputs/a.yaml").write_text(yaml.safe_dump(session_data()))
        assert Path("outputs", MARKER).exists()
        assert check_sessions(Settings.load(), "outputs") == 1
        assert ignored_files(Settings.load(), "outputs") == "sessions"

    def test_the_command_names_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_API_URL", "")
        Path("ads").mkdir()
        Path("ads/a.yaml").write_text(yaml.safe_dump(session_data()))
        Path("ads/notes.txt").write_text("no session")
        said = adreel("campaign", "ads", "--parts", "1").stderr
        assert "skipped, because they are not session files of ads: notes.txt\n" in said

    def test_one_without_sessions_says_what_is_in_it(self) -> None:
        Path("ads/spring").mkdir(parents=True)
        with pytest.raises(InputError, match=r"ads \(with spring\) contains no sessions: expected"):
            check_sessions(Settings.load(), "ads")

    @pytest.mark.parametrize("name", ["ads.csv", "nowhere"])
    def test_a_file_of_another_kind_says_what_is_expected(self, name: str) -> None:
        Path("ads.csv").write_text("a,b")
        with pytest.raises(InputError, match=rf"{name} is not a source for a campaign: expected a \.jsonl or"):
            check_sessions(Settings.load(), name)

    def test_the_root_of_a_bucket_is_a_folder(self, s3: S3Server) -> None:
        bucket, options = s3.bucket(), s3.options
        root = bucket.rsplit("/", bucket.count("/") - 2)[0]
        settings = Settings(ADREEL_STORAGE=root, ADREEL_STORAGE_OPTIONS=json.dumps(options))
        Storage(root, options).write("a.yaml", yaml.safe_dump(session_data()).encode())
        assert check_sessions(settings, root) == check_sessions(settings, f"{root}/") == 1

    @pytest.mark.parametrize(
        "source", ["my ads/spring::1.jsonl", "file://HERE/my%20ads/spring::1.jsonl", "file:///x.jsonl"]
    )
    def test_a_source_is_a_path_by_the_rule_of_the_storage(self, tmp_path: Path, source: str) -> None:
        Path("my ads").mkdir()
        Path("my ads/spring::1.jsonl").write_text(json.dumps(session_data()))
        if source == "file:///x.jsonl":
            with pytest.raises(InputError, match=r"^/x\.jsonl does not exist$"):
                check_sessions(Settings.load(), source)
        else:
            assert check_sessions(Settings.load(), source.replace("HERE", str(tmp_path))) == 1

    def test_a_name_with_a_blank_says_how_to_give_another(self) -> None:
        with pytest.raises(InputError, match=r"can't be named 'spring sale' after its source: .*--name"):
            campaign_name("spring sale.jsonl")


class TestFilesWithoutAnEnd:
    @pytest.mark.parametrize("name", ["ad.yaml", "ads.jsonl", "ads.json"])
    @pytest.mark.parametrize("made", ["fifo", "zero", "folder"])
    def test_they_are_named_and_not_waited_for(self, name: str, made: str) -> None:
        if made == "fifo":
            os.mkfifo(name)
        elif made == "zero":
            Path(name).symlink_to("/dev/zero")
        else:
            Path(name).mkdir()
        for read in (read_session, lambda path: check_sessions(Settings.load(), str(path))):
            with pytest.raises(InputError, match=rf"can't read .*{name}: "):
                read(Path(name))

    @pytest.mark.parametrize("name", ["ad.yaml", "ads.jsonl"])
    def test_one_that_can_not_be_opened_is_named_without_advice_about_the_storage(self, name: str) -> None:
        Path(name).symlink_to(name)
        for read in (read_session, lambda path: check_sessions(Settings.load(), str(path))):
            with pytest.raises(InputError, match=rf"can't read .*{name}: Too many levels of symbolic links$"):
                read(Path(name))

    def test_one_that_grows_is_read_to_the_limit(self) -> None:
        Path("ad.yaml").touch()
        os.truncate("ad.yaml", 1 << 40)
        with pytest.raises(InputError, match=r"ad\.yaml is larger than 16 MB"):
            read_session(Path("ad.yaml"))
        assert len(read_file(Path("ad.yaml"))) == MAX_BYTES + 1

    def test_a_pipe_of_the_shell_is_read(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        threading.Thread(target=_write_slowly, args=(writing, json.dumps(session_data()).encode())).start()
        assert read_session(Path(f"/dev/fd/{reading}")) == make_session()
        os.close(reading)
        (tmp_path / "ad.json").write_text('{"a": 1')
        failed = subprocess.run(
            ["bash", "-c", f"{ADREEL} generate <(cat ad.json)"], capture_output=True, text=True, check=False
        )
        assert (failed.returncode, "is not valid YAML: line " in failed.stderr) == (2, True)


def _write_slowly(descriptor: int, content: bytes) -> None:
    half = len(content) // 2
    for piece in (content[:half], content[half:]):
        os.write(descriptor, piece)
    os.close(descriptor)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[1].glob("examples/**/*.yaml")), ids=lambda path: path.name
)
def test_every_example_is_read(path: Path) -> None:
    assert read_document(path.read_bytes(), path.name)


def test_the_root_of_json_may_be_anything() -> None:
    assert read_json("[1]", "x") == [1]


def test_colours_in_a_list_without_quotes_are_explained() -> None:
    with pytest.raises(InputError, match="a # begins a comment: put colours in quotes"):
        read_document("brand_colors: [#ff0000, #00ff00]\nproduct_name: Lamp\n", "ad.yaml")

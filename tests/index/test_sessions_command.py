"""The commands `sessions` and `index`, in the process of the test."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adreel.cli.app import app
from adreel.errors import InputError
from adreel.records import Records
from adreel.records.changes import announcer
from adreel.storage import Storage
from tests.factories import make_session, make_take


@pytest.fixture
def adreel() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.fixture
def outputs() -> Records:
    """Give the storage of the settings, with 25 sessions."""
    records = Records(Storage("outputs"))
    for number in range(25):
        records.save_session(make_session(session_id=f"lamp-{number:02}"))
    records.save_session(make_session(session_id="tent", product_name="Tent"))
    records.save_take(make_take(session_id="tent"))
    return records


@pytest.mark.usefixtures("outputs")
def test_a_person_sees_the_newest_and_a_program_all(adreel: Callable[..., Result]) -> None:
    lines = adreel("sessions").stdout.splitlines()
    assert lines[1].split() == ["tent", "partial", "$0.11", "Tent"]
    assert lines[-1] == "20 of 26 sessions; --limit 0 shows all"
    assert len(json.loads(adreel("sessions", "--json").stdout)) == 26
    assert len(json.loads(adreel("sessions", "--json", "--limit", "3").stdout)) == 3
    assert len(adreel("sessions", "--limit", "0").stdout.splitlines()) == 27


@pytest.mark.usefixtures("outputs")
def test_sessions_are_searched_filtered_and_sorted(adreel: Callable[..., Result]) -> None:
    def ids(*words: str) -> list[str]:
        return [each["session_id"] for each in json.loads(adreel("sessions", "--json", *words).stdout)]

    assert ids("--search", "TENT") == ["tent"]
    assert ids("--state", "partial") == ["tent"]
    assert ids("--sort", "id", "--limit", "2") == ["lamp-00", "lamp-01"]
    assert ids("--since", "2100-01-01") == []
    assert "no session matches in " in adreel("sessions", "--search", "nothing").stdout
    for words in (("--state", "lost"), ("--sort", "colour")):
        with pytest.raises(InputError, match=f"{words[0]} is '{words[1]}': .*hoose from"):
            adreel("sessions", *words)


def test_an_archived_session_is_listed_by_its_state_alone(adreel: Callable[..., Result], outputs: Records) -> None:
    assert adreel("archive", "tent").stdout.startswith("tent is archived: adreel sessions --state archived")
    announcer.flush()
    assert len(json.loads(adreel("sessions", "--json").stdout)) == 25
    assert [each["session_id"] for each in json.loads(adreel("sessions", "--json", "--state", "archived").stdout)] == [
        "tent"
    ]
    assert adreel("index", "check").stdout == "0 differences in 26 sessions\n"
    assert adreel("archive", "tent", "--restore").stdout == "tent is in the lists again\n"
    assert outputs.session("tent").archived_at is None
    announcer.flush()
    assert len(json.loads(adreel("sessions", "--json").stdout)) == 26


def test_an_index_is_checked_and_built_again(adreel: Callable[..., Result], outputs: Records) -> None:
    adreel("sessions")
    assert adreel("index", "check").stdout == "0 differences in 26 sessions\n"
    outputs.save_take(make_take(session_id="lamp-00"))
    checked = adreel("index", "check")
    assert (checked.exit_code, checked.stdout.splitlines()[0]) == (1, "lamp-00: the index shows an earlier state")
    assert adreel("index", "rebuild").stdout.startswith("26 sessions in ")
    assert adreel("index", "check").exit_code == 0
    [file] = (path for path in Path("cache/adreel").iterdir() if path.suffix == ".sqlite")
    file.unlink()
    assert json.loads(adreel("index", "rebuild", "--json").stdout)["sessions"] == 26


def test_an_unreadable_session_is_named_on_stderr(adreel: Callable[..., Result], outputs: Records) -> None:
    outputs.storage.write("sessions/lamp-24/session.json", b"{")
    shown = adreel("sessions", "--limit", "0")
    assert shown.exit_code == 1
    assert "lamp-24/session.json is not a valid record" in shown.stderr
    assert "lamp-23" in shown.stdout

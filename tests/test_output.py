"""Output of the commands: a failed print never ends a purchase, and no text controls the terminal."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
import yaml
from rich.console import Console

from adreel.cli.progress import BarPerScene, progress_bars, show_job_progress
from adreel.cli.servers import print_log
from adreel.emulator import LocalRunware
from adreel.errors import ProviderUnreachable, SceneRefused
from adreel.models.scenarios import Scenario
from adreel.purchase.jobs import record_failure, start_job
from adreel.records import Records
from adreel.settings import Settings
from tests.factories import make_session, session_data
from tests.test_cli import ADREEL, adreel

WIDE = "Lampe in Größe M 💡"
RED = "\x1b[31m\x1b]0;owned\x07\u202e[/red][bold]\r:cat:"


def full_disk() -> IO[bytes]:
    return Path("/dev/full").open("wb", buffering=0)


def pipe_without_reader() -> IO[bytes]:
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "wb", buffering=0)


def closed() -> None:
    """Close standard output, like `>&-`."""


def ran(command: str, *, into: Callable[[], IO[bytes] | None], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command with redirected standard output."""
    output = into()
    try:
        return subprocess.run(
            ["sh", "-c", f'exec "$0" {command} {">&-" if output is None else ""}', ADREEL],
            env={**os.environ, "RUNWARE_API_KEY": "", **environment},
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        if output:
            output.close()


def on_terminal(*words: str | Path, columns: int, **environment: str) -> str:
    """Run a command on a terminal of its own and return what it shows."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [ADREEL, *words],
        env={**os.environ, "RUNWARE_API_KEY": "", "COLUMNS": str(columns), "TERM": "xterm", **environment},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO: the other end is closed.
            while piece := os.read(ours, 4096):
                shown += piece
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def stored(records: Records) -> Records:
    """Give records of a session with a hostile message of the provider."""
    records.save_session(make_session(product_name=WIDE))
    job = start_job(records, Settings.load(), "job-1", "ad", scenarios=[Scenario.HOOK])
    record_failure(records, job, Scenario.HOOK, SceneRefused(f"refused: {RED}"))
    return records


@pytest.mark.slow
@pytest.mark.usefixtures("prefect")
class TestOfAPurchase:
    @pytest.mark.parametrize(
        ("into", "as_json"), [(full_disk, ""), (full_disk, "--json"), (pipe_without_reader, ""), (closed, "")]
    )
    def test_output_that_is_lost_changes_no_exit_code(
        self, runware: LocalRunware, tmp_path: Path, into: Callable[[], IO[bytes] | None], as_json: str
    ) -> None:
        (tmp_path / "ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1, product_name=WIDE)))
        bought = ran(f"generate ad.yaml --scene hook {as_json}", into=into)
        assert (bought.returncode, "Traceback" in bought.stderr) == (0, False), bought.stderr
        assert len(list((tmp_path / "outputs").glob("ad_hook_*.mp4"))) == 1
        runware.inject("contentPolicy:hook")
        assert ran(f"regenerate ad hook {as_json}", into=into).returncode == 1

    def test_an_encoding_without_these_letters_changes_no_exit_code(
        self, runware: LocalRunware, tmp_path: Path
    ) -> None:
        (tmp_path / "ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1, product_name=WIDE)))
        runware.inject("contentPolicy:cta")
        printed = tmp_path / "printed"
        bought = ran(
            "generate ad.yaml",
            into=lambda: printed.open("wb", buffering=0),
            PYTHONIOENCODING="ascii",
            ADREEL_STORAGE=f"{tmp_path}/Größe",
        )
        assert (bought.returncode, bought.stderr) == (1, "")
        assert f"{tmp_path}/Gr\\xf6\\xdfe/ad_hook_" in printed.read_text("ascii")
        assert len(list((tmp_path / "Größe").glob("*.mp4"))) == 3


class TestOfAnAnswer:
    def test_one_that_can_not_be_printed_ends_with_1_and_the_reason(self) -> None:
        answered = ran("schema", into=full_disk)
        assert (answered.returncode, answered.stderr) == (
            1,
            "adreel: can't print to standard output: No space left on device\n",
        )

    @pytest.mark.parametrize("into", [pipe_without_reader, closed], ids=lambda into: into.__name__)
    @pytest.mark.parametrize("command", ["schema", "--help", "version", "sessions"])
    def test_one_that_nobody_reads_ends_silently(self, command: str, into: Callable[[], IO[bytes] | None]) -> None:
        answered = ran(command, into=into)
        assert (answered.returncode, answered.stderr) == (0, "")

    def test_a_closed_descriptor_is_given_to_no_file_of_ours(self) -> None:
        code = "from adreel.cli.output import *; make_output_durable(); sys.exit(open('record', 'w').fileno() > 2)"
        command = f'exec "{sys.executable}" -c "{code}" <&- >&- 2>&-'
        assert subprocess.run(["sh", "-c", command], check=False).returncode == 1

    @pytest.mark.slow
    @pytest.mark.usefixtures("stored")
    def test_other_people_s_control_characters_do_not_reach_the_terminal(self) -> None:
        for words in (["status", "job-1"], ["status", "ad"], ["sessions"], ["takes", "ad"], ["status", RED]):
            for shown in (adreel(*words), on_terminal(*words, columns=80, NO_COLOR="1")):
                text = shown if isinstance(shown, str) else shown.stdout + shown.stderr
                assert not set(text) & {"\x07", "\r", "\u202e"}, words
                assert "\x1b]" not in text
                assert "\x1b[31m\x1b" not in text
        assert "refused: [/red][bold]:cat:" in adreel("status", "job-1").stdout

    def test_an_error_is_shown_without_them(self, tmp_path: Path) -> None:
        (tmp_path / "ad.yaml").write_text(json.dumps({"\x1b[31mred": 1}))
        failed = adreel("generate", "ad.yaml")
        assert (failed.returncode, "\x1b" in failed.stderr) == (2, False)
        assert "a key has the control character U+001B: remove it" in failed.stderr


def test_lines_of_servers_are_spelled_out_too(capsys: pytest.CaptureFixture[str]) -> None:
    print_log("run \x1b[2J\ufeff\U000e0041 ended")
    assert capsys.readouterr().out == "run \\x1b[2J\\ufeff\\U000e0041 ended\n"


def test_the_bars_show_a_provider_s_brackets_as_they_are() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120, color_system=None)
    with progress_bars(console) as bars:
        bars.add_task("hook", total=100, step="refused: [/red] :cat:")
    assert "refused: [/red] :cat:" in shown.getvalue()


def test_the_bars_fit_80_columns_and_the_reasons_stay_above_them(records: Records) -> None:
    from adreel.tasks.retries import note_retry, retrying

    records.save_session(make_session())
    job = start_job(records, Settings.load(), "job-1", "ad", scenarios=[Scenario.HOOK])
    shown = io.StringIO()
    bars = progress_bars(console=Console(file=shown, force_terminal=True, width=80, color_system=None))
    reason = "can't connect to wss://ws-api.runware.ai/v1: " + "no route to this host " * 4
    with bars:
        show = BarPerScene(bars)
        note_retry((job.job_id, Scenario.HOOK), 3, ProviderUnreachable(reason))
        show_job_progress(records, ["job-1"], show)
        show_job_progress(records, ["job-1"], show)
    text = shown.getvalue()
    assert max(len(line) for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()) <= 80
    assert " ".join(text.split()).count(reason.strip()) == 1
    assert "trying again (3/6)" in text
    retrying.clear()
    record_failure(records, job, Scenario.HOOK, SceneRefused("scene hook: Runware says no"))
    show_job_progress(records, ["job-1"], show)
    assert "hook: Runware says no" in shown.getvalue()


class TestTables:
    @pytest.fixture
    def far(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Give a storage with a path that is wider than any terminal."""
        folder = tmp_path / ("deep-" * 20) / "with a blank"
        monkeypatch.setenv("ADREEL_STORAGE", str(folder))
        return folder

    @pytest.mark.slow
    @pytest.mark.usefixtures("prefect", "runware")
    def test_paths_are_whole_in_pipes_and_on_narrow_terminals(self, far: Path, tmp_path: Path) -> None:
        (tmp_path / "ad.yaml").write_text(yaml.safe_dump(session_data(seconds=1)))
        assert adreel("generate", "ad.yaml", "--scene", "hook").returncode == 0
        [clip] = far.glob("*.mp4")
        piped = adreel("status", "ad").stdout.splitlines()
        assert re.fullmatch(rf"hook +completed +\$\S+ \(expected \$\S+\) +\S+  {re.escape(str(clip))}", piped[1])
        assert all(line == line.rstrip() for line in piped)
        for columns in (20, 80, 400):
            shown = on_terminal("status", "ad", columns=columns, NO_COLOR="1")
            assert str(clip) in shown
            assert ("\n  /" in shown) is (columns < 400)

    def test_what_fits_stands_side_by_side(self, records: Records) -> None:
        records.save_session(make_session(product_name="Lamp"))
        assert "ad       new    -     Lamp" in on_terminal("sessions", columns=80)

    @pytest.mark.slow
    def test_no_color_and_a_dumb_terminal_get_no_codes(self, stored: Records) -> None:
        assert "\x1b" in on_terminal("sessions", columns=80)
        assert "\x1b[3" not in on_terminal("sessions", columns=80, NO_COLOR="1")
        assert "\x1b" not in on_terminal("sessions", columns=80, TERM="dumb")


def test_an_error_that_nobody_expected_is_one_line_without_a_traceback() -> None:
    code = """
import sys
from adreel.cli import app
sys.argv = ["adreel", "oops"]

@app.app.command()
def oops() -> None:
    {}["lamp"]

app.main()
"""
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("adreel: this is a bug: KeyError: 'lamp'; please report it")
    environment = {**os.environ, "ADREEL_DEBUG": "1"}
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" in shown.stderr

"""The help of the command line, its completion, and how a command that can't be understood is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from adreel.cli.app import GROUPS, app
from adreel.cli.usage import UsageError, usage_message
from adreel.records import Records
from tests.commands import run_command
from tests.factories import make_session

ADREEL = Path(sys.executable).with_name("adreel")


def test_the_help_has_each_command_in_a_group_and_fits_80_columns() -> None:
    shown = CliRunner().invoke(app, ["-h"]).output
    assert "..." not in shown.replace("COMMAND [ARGS]...", "")
    assert max(map(len, shown.splitlines())) <= 80
    assert [line[:-1] for line in shown.splitlines() if line[:1].isupper() and line.endswith(":")][1:] == list(GROUPS)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert [name for name in commands if f"\n  {name} " not in shown] == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["genrate", "ad.yaml"], "no such command 'genrate': did you mean 'generate', 'regenerate', 'narrate'? See"),
        (["budget", "st"], "no such command 'st': did you mean 'set'? See `adreel budget -h`"),
        (["generate", "--scen"], "no such option: --scen: did you mean --scene? See `adreel generate -h`"),
        (["takes", "ad", "hok"], "'still:cta': did you mean hook? See `adreel takes -h`"),
        (["regenerate", "ad", "voice:hok"], "did you mean voice:hook? See `adreel regenerate -h`"),
        (["use", "ad", "clip:hook", "35f85e76"], "'clip:hook' is not one of 'hook', 'problem', "),
        (["status"], "missing argument 'JOB_ID|SESSION_ID': see `adreel status -h`"),
        (["budget", "set", "day", "x"], "'x' is not a valid number: see `adreel budget set -h`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_is_one_sentence_with_what_was_meant(words: list[str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        app(words, standalone_mode=False, prog_name="adreel")
    message = usage_message(refused.value)
    assert says in message
    assert "\n" not in message


def test_a_wrong_command_is_a_document_for_programs() -> None:
    ran = run_command(ADREEL, ["status", "--json"], {})
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["error"]["code"] == "usage"
    assert ran.stderr == "adreel: missing argument 'JOB_ID|SESSION_ID': see `adreel status -h`\n"


def test_a_mistyped_session_file_or_template_is_guessed(records: Records, tmp_path: Path) -> None:
    records.save_session(make_session(session_id="glowcap"))
    (tmp_path / "glowcap.yaml").touch()
    for words, says in (
        (["takes", "glowcp"], "did you mean glowcap?"),
        (["status", "glowcp"], "did you mean glowcap?"),
        (["prompt", "glowcap.yml"], "did you mean glowcap.yaml?"),
        (["new", "--template", "skincar"], "did you mean skincare? Choose from app, "),
        (["cut", "glowcap", "--preset", "tiktoc"], "did you mean tiktok? Choose from tiktok, "),
    ):
        ran = run_command(ADREEL, words, dict(os.environ))
        assert (ran.returncode, says in ran.stderr) == (2, True), ran.stderr


def test_the_shell_completes_commands_and_scenes() -> None:
    script = run_command(ADREEL, ["completion", "bash"], {}).stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    environment = {"_ADREEL_COMPLETE": "complete_bash", "COMP_WORDS": "adreel use glowcap so", "COMP_CWORD": "3"}
    assert run_command(ADREEL, [], environment).stdout == "solution\n"


def test_the_shell_completes_narrations_and_stills() -> None:
    environment = {"_ADREEL_COMPLETE": "complete_bash", "COMP_WORDS": "adreel takes glowcap voice", "COMP_CWORD": "3"}
    assert run_command(ADREEL, [], environment).stdout.splitlines() == [
        f"voice:{scenario}" for scenario in ("hook", "problem", "solution", "cta")
    ]

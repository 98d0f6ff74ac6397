"""The command `budget`, as a process."""

from pathlib import Path

import pytest

from adreel.emulator import LocalRunware
from tests.test_cli import adreel, answer, session_file

__all__ = ["session_file"]


def test_a_budget_is_set_shown_and_removed() -> None:
    assert "There is no budget" in adreel("budget").stdout
    said = adreel("budget", "set", "day", "12.5").stdout
    assert said == "budget day: USD 12.50 left of USD 12.50 (cap), USD 0.00 spent, USD 0.00 held\n"
    assert adreel("budget", "set", "campaign:spring sale", "400", "--mode", "warn").returncode == 0
    assert [line.split()[0] for line in adreel("budget").stdout.splitlines()] == ["budget", "campaign:spring", "day"]
    [campaign, day] = answer("budget")["budgets"]
    assert (campaign["name"], campaign["mode"]) == ("campaign:spring sale", "warn")
    assert {name: day[name] for name in ("cap", "spent", "held", "left", "over")} == {
        "cap": 12.5,
        "spent": 0,
        "held": 0,
        "left": 12.5,
        "over": 0,
    }
    assert adreel("budget", "remove", "day").returncode == 0
    assert adreel("budget", "remove", "day").returncode == 2
    assert answer("budget", "reconcile") == {"settled": 0, "released": 0, "open": 0}


@pytest.mark.parametrize("words", [("week", "5"), ("day", "-1"), ("day", "much"), ("day", "nan")])
def test_a_wrong_budget_ends_with_2(words: tuple[str, str]) -> None:
    assert adreel("budget", "set", *words).returncode == 2


@pytest.mark.usefixtures("prefect")
@pytest.mark.slow
def test_a_refused_ad_ends_with_3_and_the_command_that_would_go_through(
    runware: LocalRunware, session_file: Path
) -> None:
    adreel("budget", "set", "all", "0.01")
    ran = adreel("generate", session_file)
    assert ran.returncode == 3, ran.stderr
    assert "With adreel budget set all " in ran.stderr
    assert not runware.ledger.submits

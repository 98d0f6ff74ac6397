"""The command `adreel price`, as a process."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from adreel.campaigns.prices import price_campaign
from adreel.records import Records
from adreel.settings import Settings
from adreel.spend.budgets import Budgets
from tests.factories import make_session, scene_data, session_data
from tests.test_cli import adreel, answer

KLING, UNPRICED = "klingai:kling-video@3-standard", "prunaai:p-video@2-pro"
SPRING = Path(__file__).parent.parent / "examples" / "campaigns" / "spring.yaml"


def write_session(folder: Path, **changes: Any) -> Path:
    file = folder / "ad.yaml"
    file.write_text(yaml.safe_dump(session_data(**changes)))
    return file


def write_campaign(folder: Path, *durations: int) -> Path:
    """Write a campaign whose ads have one clip each."""
    sessions = [
        session_data(session_id=f"ad-{number}", scene_descriptions=[scene_data(duration=seconds)])
        for number, seconds in enumerate(durations)
    ]
    file = folder / "spring.jsonl"
    file.write_text("".join(json.dumps(session) + "\n" for session in sessions))
    return file


def test_each_scene_is_shown_with_its_price_and_source(tmp_path: Path) -> None:
    shown = adreel("price", str(write_session(tmp_path, sound=False)), "--scene", "hook", "--scene", "cta").stdout
    assert f"hook   {KLING}  5        0.42  emulator 2026-09-27\n" in shown
    assert "total of 2 scenes: USD 0.84, without retries of failed clips\n" in shown
    assert "no money is spent" in shown


def test_an_unknown_price_is_not_summed_up_unless_it_is_given(tmp_path: Path) -> None:
    file = write_session(tmp_path, model=UNPRICED)
    found = answer("price", str(file))
    assert [scene["usd"] for scene in found["scenes"]] == [None] * 4
    assert found["total"] is None
    shown = adreel("price", str(file), "--price", "0.5").stdout
    assert "total of 4 scenes: USD 2.00" in shown


def test_a_campaign_is_shown_in_groups_of_clips() -> None:
    shown = adreel("price", str(SPRING)).stdout
    assert f"16     {KLING}  5        0.63      10.08  emulator 2026-09-27\n" in shown
    assert "total of 4 ads: USD 10.08" in shown
    ran = adreel("price", str(SPRING), "--scene", "hook")
    assert (ran.returncode, "a campaign buys what its sessions ask for" in ran.stderr) == (2, True)


@pytest.mark.slow
def test_a_stored_session_has_a_price_and_an_unknown_name_is_refused(tmp_path: Path) -> None:
    place = str(tmp_path / "clips")
    Records.of(Settings(ADREEL_STORAGE=place)).save_session(make_session())
    budgets = Budgets(Records.of(Settings(ADREEL_STORAGE=place)))
    for name in ("day", "session:ad", "session:other"):
        budgets.set(name, 3_000_000)
    found = answer("price", "ad", ADREEL_STORAGE=place)
    assert (found["total"], [budget["name"] for budget in found["budgets"]]) == (2.52, ["day", "session:ad"])
    shown = adreel("price", "ad", ADREEL_STORAGE=place).stdout
    assert "budget day (cap): USD 3.00 left of 3.00" in shown
    ran = adreel("price", "none")
    assert (ran.returncode, "neither a session file, nor a campaign, nor a session" in ran.stderr) == (2, True)


def test_the_table_of_a_campaign_stays_small(tmp_path: Path) -> None:
    file = write_campaign(tmp_path, *(3 + number % 13 for number in range(40)))
    ads, groups = price_campaign(Settings(), str(file))
    assert (ads, len(groups), sum(group.clips for group in groups)) == (40, 13, 40)


@pytest.mark.parametrize("most", [3, 12])
def test_groups_beyond_the_table_are_summed_up(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adreel.campaigns.prices.MAX_LISTED", most)
    file = write_campaign(tmp_path, *range(3, 16))
    _, groups = price_campaign(Settings(), str(file))
    total = sum(group.total or 0 for group in groups)
    assert (len(groups), groups[-1].model) == (most + 1, "others")
    assert total == pytest.approx(0.126 * sum(range(3, 16)))

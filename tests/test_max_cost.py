"""The limit of one purchase: what costs more is refused before it is sent, with what would go through."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from adreel.cli.refusals import commands_of
from adreel.errors import OverBudget, RenderFailed
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session
from adreel.purchase.jobs import end_job, resume_job, start_job
from adreel.purchase.max_cost import check_max_cost
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import make_session, session_data
from tests.studio import JOB, studio
from tests.test_cli import adreel
from tests.test_price_command import SPRING, UNPRICED

HOOK = Scenario.HOOK


def refusal(session: Session, scenarios: list[Scenario] | None = None, **limits: Any) -> OverBudget | None:
    """Return why the scenes of a session are refused, if they are."""
    try:
        check_max_cost(session, session.choose(scenarios), Settings(), Storage("memory://max-cost"), **limits)
    except OverBudget as error:
        return error
    return None


def test_clips_within_the_limit_are_not_refused() -> None:
    assert refusal(make_session(), max_cost=2.52) is None


def test_a_refusal_names_a_higher_limit_and_fewer_scenes_that_go_through() -> None:
    error = refusal(make_session(), max_cost=1.3)
    assert error is not None
    assert (error.needed, error.left, error.budget) == (2_520_000, 1_300_000, "max_cost")
    assert error.next[:2] == ("--max-cost 2.52", "--scene hook --scene problem")
    assert refusal(make_session(), [Scenario.HOOK, Scenario.PROBLEM], max_cost=1.3) is None


def test_a_cheaper_model_that_is_named_goes_through() -> None:
    error = refusal(make_session(), max_cost=2)
    assert error is not None
    model = error.next[2].removeprefix("ADREEL_MODEL=")
    assert f"The model {model} would cost USD" in str(error)
    assert refusal(make_session(model=model), max_cost=2) is None


def test_a_model_of_the_session_is_not_replaced_by_a_variable() -> None:
    session = make_session(model="klingai:kling-video@3-standard")
    error = refusal(session, max_cost=2)
    assert error is not None
    assert "The model " in str(error)
    assert not [command for command in error.next if "ADREEL_MODEL" in command]
    error = refusal(session, [HOOK], max_cost=0.5, takes_model=True)
    assert error is not None
    assert [command.split()[0] for command in error.next] == ["--max-cost", "--model"]


def test_an_unknown_price_is_refused_unless_it_is_given() -> None:
    session = make_session(model=UNPRICED)
    error = refusal(session, [HOOK], max_cost=100)
    assert error is not None
    assert f"the price of hook ({UNPRICED}) is unknown" in str(error)
    assert (error.needed, error.next) == (None, ("--price USD",))
    assert refusal(session, [HOOK], max_cost=100, clip_price=100) is None
    assert refusal(session, [HOOK], max_cost=100, clip_price=100.01) is not None


@pytest.mark.parametrize(
    ("given", "way", "command"),
    [
        ("generate my.yaml --max-cost 1 -s cta", "--max-cost 2.52", "adreel generate my.yaml -s cta --max-cost 2.52"),
        ("generate my.yaml -s hook --scene=cta", "--scene hook", "adreel generate my.yaml --scene hook"),
        ("generate my.yaml", "ADREEL_MODEL=google:3@3", "ADREEL_MODEL=google:3@3 adreel generate my.yaml"),
        ("generate my.yaml", "adreel budget set day 5", "adreel budget set day 5"),
    ],
)
def test_ways_are_completed_to_commands(given: str, way: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["adreel", *given.split()])
    assert commands_of(OverBudget("too dear", commands=[way])) == [command]


def test_a_command_over_its_limit_exits_3_and_writes_nothing(tmp_path: Path) -> None:
    file, place = tmp_path / "ad.yaml", tmp_path / "clips"
    file.write_text(yaml.safe_dump(session_data()))
    ran = adreel("generate", file, "--max-cost", "0.7", ADREEL_STORAGE=str(place))
    assert ran.returncode == 3
    assert f"  adreel generate {file} --max-cost 0.7 --scene hook\n" in ran.stderr
    assert not place.exists()
    ran = adreel("campaign", SPRING, "--max-cost", "10", ADREEL_STORAGE=str(place))
    assert (ran.returncode, "--max-cost 10.08" in ran.stderr, place.exists()) == (3, True, False)


async def test_a_higher_limit_continues_what_a_limit_has_stopped() -> None:
    async with studio("providerTimeoutx1") as it:
        job = start_job(it.records, it.settings, JOB, "ad", scenarios=[HOOK], max_cost=12_580)
        with pytest.raises(RenderFailed):
            await it.produce(job=job)
        with pytest.raises(OverBudget):
            await it.produce(job=job)
        end_job(it.records, job)
        resumed = resume_job(it.records, it.settings, job, max_cost=2 * 12_580)
        assert resumed.max_cost == 2 * 12_580
        assert (await it.produce(job=resumed)).is_stored
        assert len(it.bought) == 2


async def test_a_given_price_is_recorded_and_counts() -> None:
    async with studio(ADREEL_MODEL=UNPRICED, ADREEL_SIZE=None) as it:
        with pytest.raises(OverBudget, match="unknown"):
            start_job(it.records, it.settings, JOB, "ad", scenarios=[HOOK], max_cost=10**6)
        job = start_job(it.records, it.settings, JOB, "ad", scenarios=[HOOK], max_cost=10**6, clip_price=5 * 10**5)
        assert (job.clip_price, it.take().estimate) == (500_000, 0.5)

"""The driver that measures other ways to do the same work, with the one peer that needs no packages of its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers.catalog import OURS, Peer, named
from benchmarks.peers.kills import kill_peer, mislead_peer
from benchmarks.peers.measuring import measure_peer
from benchmarks.peers.tables import markdown

DEADLINE = 120.0


@pytest.fixture
def journal() -> Peer:
    """Give the peer that keeps a journal, in this environment."""
    return replace(named(["journal"])[0], home=OURS)


@pytest.mark.slow
def test_a_peer_is_measured_by_the_ledger_and_by_what_is_on_disk(journal: Peer, tmp_path: Path) -> None:
    facts = measure_peer(journal, tmp_path, scenes=4, render_seconds=0.5, ideal=0.5, deadline=DEADLINE)
    assert facts["error"] == ""
    assert (facts["bought"], facts["clips"], facts["downloads"]) == (4, 4, 4)
    assert facts["messages_per_scene"] >= 2
    assert facts["program_cpu_ms_per_scene"] > 0
    assert "| journal | 4 | 4 |" in markdown({"runs": [facts], "kills": []})


@pytest.mark.slow
def test_a_peer_that_was_killed_goes_on_where_it_was(journal: Peer, tmp_path: Path) -> None:
    facts = kill_peer(journal, tmp_path, moment="all ordered", scenes=4, deadline=DEADLINE, render_seconds=8)
    assert facts["end"] == "succeeded"
    assert (facts["ordered_before"], facts["bought"], facts["bought_twice"], facts["clips"]) == (4, 4, 0, 4)


@pytest.mark.slow
def test_a_web_page_that_a_peer_takes_for_a_clip_is_not_counted(journal: Peer, tmp_path: Path) -> None:
    facts = mislead_peer(journal, tmp_path, scenes=4, deadline=DEADLINE)
    assert (facts["end"], facts["bought"], facts["clips"]) == ("succeeded", 4, 3)


@pytest.mark.slow
def test_a_peer_that_can_not_start_is_named_and_not_raised(journal: Peer, tmp_path: Path) -> None:
    facts = measure_peer(
        replace(journal, name="nobody"), tmp_path, scenes=1, render_seconds=0, ideal=0, deadline=DEADLINE
    )
    assert "No module named benchmarks.peers.nobody" in facts["error"]

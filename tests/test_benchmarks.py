"""The driver that measures other ways to do the same work, with the one peer that needs no packages of its own.

The benchmark of the index runs with few sessions.
"""

import subprocess
import sys
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


@pytest.mark.slow
def test_lists_pages_and_a_fresh_server_are_measured() -> None:
    command = [sys.executable, "-m", "benchmarks.index", "100", "20"]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a session's page") == 2
    assert "a fresh server on 20 sessions" in done.stdout
    assert "complete after" in done.stdout

"""The rig of hostile clients at a small scale: other clients are served, and memory and files stay bounded."""

from pathlib import Path

import pytest

from tests.rigs.hostile_clients import (
    Scale,
    guesses,
    half_bodies,
    hang_of_prefect,
    made_up_methods,
    silent_connections,
    target,
)

ROOT = Path(__file__).parents[1]
SMALL = Scale(
    connections=1100, seconds=3, half_bodies=5, half_seconds=0, methods=200, guess_seconds=1, open_requests=40, hangs=1
)


@pytest.mark.slow
def test_hostile_clients_cost_the_others_nothing(tmp_path: Path) -> None:
    with target(ROOT, tmp_path) as there:
        failed, _, log = (figure.value for figure in silent_connections(there, SMALL))
        assert (failed, float(log) < 100) == (0, True)
        assert half_bodies(there, SMALL)[0].value == SMALL.half_bodies
        assert float(made_up_methods(there, SMALL)[0].value) < 10
        _, judged, named = (figure.value for figure in guesses(there, SMALL))
        assert (float(judged) <= 31, named) == (True, "yes")
        _, back = (figure.value for figure in hang_of_prefect(there, SMALL))
        assert back != "never"

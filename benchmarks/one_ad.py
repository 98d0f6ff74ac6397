"""Measures the time of one ad over its critical path, and the lag from rendered to stored, in a warm process.

Usage: python -m benchmarks.one_ad [--ads 9] [--render-seconds 5]

A Prefect server on PostgreSQL and the emulator have their own processes. This process makes one ad after the other with
the flow `generate-ad`. The critical path is one render and the transfer of one clip. An ad ends when its run is
Completed. The call returns up to a second later, because Prefect waits for the thread of heartbeats. The lag of a scene
is the time from the end of its render, by the provider's ledger, to its record `stored`, without the transfer.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import clips
from benchmarks.peers.catalog import named
from benchmarks.peers.measuring import transfer_seconds
from benchmarks.peers.surroundings import Surroundings, around

EXAMPLE = Path(__file__).parent.parent / "examples" / "glowcap.yaml"


@dataclass
class Seen:
    """The measurements of each ad and each scene in seconds."""

    walls: list[float] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)


def make_ads(place: Surroundings, ads: int) -> Seen:
    """Make one ad after the other. The first one warms up connections and late imports."""
    os.environ |= {
        **place.settings,
        "RUNWARE_URL": place.settings["PEERS_RUNWARE"],
        "RUNWARE_API_KEY": "",
        "ADREEL_STORAGE": str(place.folder),
        "ADREEL_CUT": "false",
        "PREFECT_LOGGING_TO_CONSOLE_LEVEL": "ERROR",
    }
    from adreel.flows.generate_ad import generate_ad  # noqa: PLC0415
    from adreel.models.sessions import read_session  # noqa: PLC0415
    from adreel.records import Records  # noqa: PLC0415 - Prefect reads the environment when it is imported
    from adreel.storage import Storage  # noqa: PLC0415

    records, example = Records(Storage(str(place.folder))), clips.ordered_alike(read_session(EXAMPLE))
    seen, stored = Seen(), {}
    for number in range(ads + 1):
        session = example.model_copy(update={"session_id": f"ad-{number}"})
        records.save_session(session)
        began = time.time()
        state = generate_ad(session.session_id, return_state=True)
        if number:
            seen.walls.append(state.timestamp.timestamp() - began)
            seen.returns.append(time.time() - began)
        for scenario in session.scenarios:
            (take,) = records.takes(session.session_id, scenario)
            stored[str(take.attempts[-1].uuid)] = take.updated_at.timestamp()
    tasks = place.provider.book()["tasks"][len(example.scenarios) :]
    seen.lags = [stored[task["uuid"]] - task["due_at"] for task in tasks]
    return seen


def main() -> None:
    """Print both distributions."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.one_ad", description=__doc__)
    parser.add_argument("--ads", type=int, default=9)
    parser.add_argument("--render-seconds", type=float, default=5.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="adreel-one-ad-") as root:
        (Path(root) / "transfer").mkdir()
        transfer = transfer_seconds(Path(root) / "transfer")
        with around(
            named(["adreel_peer"])[0], Path(root) / "ads", scenes=4, render_seconds=given.render_seconds
        ) as place:
            seen = make_ads(place, given.ads)
    ideal = given.render_seconds + transfer
    over = [wall - ideal for wall in seen.walls]
    returned = [wall - ideal for wall in seen.returns]
    print(f"{len(over)} ads of four scenes, {given.render_seconds:g} s of rendering, {transfer:.3f} s of transfer")
    print(f"over the critical path: median {statistics.median(over):.2f} s, slowest {max(over):.2f} s")
    print(f"until the call returns: median {statistics.median(returned):.2f} s, slowest {max(returned):.2f} s")
    late = statistics.quantiles([lag - transfer for lag in seen.lags], n=100, method="inclusive")
    print(f"from rendered to stored: p50 {late[49]:.2f} s, p95 {late[94]:.2f} s, p99 {late[98]:.2f} s")


if __name__ == "__main__":
    main()

"""Measures all peers at the same work, or the cost of a kill.

Usage: python -m benchmarks.peers.run [--scenes 4 40 400] [--kill] [--only NAME ...] [--out FILE.json]

Their packages have their own environment, which `make bench-peers-ready` creates.
"""

import argparse
import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peers import tables
from benchmarks.peers.catalog import PEERS, Peer, named
from benchmarks.peers.kills import MOMENTS, kill_peer, mislead_peer
from benchmarks.peers.measuring import Figures, measure_peer, transfer_seconds


def main() -> None:
    """Run the peers in turn, save the figures after each, and print the tables."""
    # On SIGTERM, end the started programs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given = _arguments().parse_args()
    peers = named(given.only)
    report: dict[str, list[Figures]] = {"runs": [], "kills": []}
    with ExitStack() as stack:
        root = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adreel-peers-")))
        if given.kill:
            for peer in peers:
                report["kills"] += _tried(peer, root, given)
                _keep(report, given.out)
        else:
            (root / "transfer").mkdir(parents=True)
            ideal = given.render_seconds + transfer_seconds(root / "transfer")
            print(f"ideal: {ideal:.3f} s", flush=True)
            for scenes in given.scenes:
                for peer in peers:
                    report["runs"].append(_measured(peer, root, given, scenes, ideal))
                    _keep(report, given.out)
    print(tables.markdown(report))


def _measured(peer: Peer, root: Path, given: argparse.Namespace, scenes: int, ideal: float) -> Figures:
    facts = measure_peer(
        peer,
        root / f"{peer.name}-{scenes}",
        scenes=scenes,
        render_seconds=given.render_seconds,
        ideal=ideal,
        deadline=given.deadline,
    )
    print(json.dumps(facts), flush=True)
    return facts


def _tried(peer: Peer, root: Path, given: argparse.Namespace) -> list[Figures]:
    scenes, limits = given.scenes[0], {"scenes": given.scenes[0], "deadline": given.deadline}
    found = []
    for moment in MOMENTS:
        folder = root / f"{peer.name}-{moment.partition(' ')[0]}-{scenes}"
        found.append(kill_peer(peer, folder, moment=moment, **limits))
        print(json.dumps(found[-1]), flush=True)
    found.append(mislead_peer(peer, root / f"{peer.name}-page", **limits))
    print(json.dumps(found[-1]), flush=True)
    return found


def _keep(report: dict[str, list[Figures]], file: Path | None) -> None:
    if file:
        file.write_text(json.dumps(report, indent=1) + "\n")
        file.with_suffix(".md").write_text(tables.markdown(report) + "\n")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.run", description=__doc__)
    parser.add_argument("--scenes", type=int, nargs="+", default=[4])
    parser.add_argument("--render-seconds", type=float, default=5.0)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=", ".join(peer.name for peer in PEERS))
    parser.add_argument("--deadline", type=float, default=900.0, help="seconds for each peer's work")
    parser.add_argument("--kill", action="store_true", help="kill each while it works, instead of measuring it")
    parser.add_argument("--out", type=Path, help="keep the figures in this JSON file, and the tables beside it")
    parser.add_argument("--keep", type=Path, help="keep clips, states and logs in this new folder")
    return parser


if __name__ == "__main__":
    main()

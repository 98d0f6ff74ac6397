"""`python -m tests.rigs.chaos`: exit 1 if a promise was broken."""

import argparse
import random
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from adreel.emulator.faults import parse_faults
from tests.rigs.chaos.figures import collect, tally
from tests.rigs.chaos.rig import Rig
from tests.rigs.chaos.stack import StackSettings, running

# Each succeeds after another try or attempt. Counts and random generators restart with each start of the emulator.
FAULTS = (
    "dropReplyReset%0.05,dropReplySilent%0.01,closeTorn%0.03,badGateway%0.03,gone404%0.05,providerTimeout@4x1,"
    "slightlyShorterVideo%0.04,shorterVideo%0.04,coverArtFirst%0.04,editList%0.04,rotatedVideo%0.04,"
    "webmBytes%0.03,undecodableBytes%0.03"
)


def main() -> int:
    """Run the rig and print its figures."""
    options = _parser().parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # a pipe shall show each kill at once
    signal.signal(signal.SIGTERM, _leave)
    faults = tuple(options.faults.replace(",", " ").split())
    parse_faults(options.faults)
    settings = StackSettings(workers=options.workers, silence=options.silence, faults=faults)
    folder = Path(tempfile.mkdtemp(prefix="adreel-chaos-"))
    print(f"seed {options.seed}; faults: {options.faults or 'none'}; {folder}")
    with running(folder, settings, keep=options.keep) as stack:
        rig = Rig(stack, seed=options.seed, at_once=options.sessions)
        rig.kill_in_turn(options.rounds)
        settling = rig.settle(options.patience)
        ledger = rig.collect_violations(settling)
        facts = collect(rig, settling, ledger)
    counts = tally(rig, {**facts, "seed": options.seed})
    _report(rig, facts, counts.table())
    if options.publish:
        counts.save("chaos")
    return 1 if rig.violations else 0


def _report(rig: Rig, facts: dict[str, int | str], table: str) -> None:
    print("")
    for name, figure in facts.items():
        print(f"{name:45} {figure}")
    print(f"\n{table}\n")
    for violation in rig.violations:
        print(f"VIOLATION {violation}")
    print(f"{len(rig.violations)} violations; repeat with --seed {rig.seed}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="kills")
    parser.add_argument(
        "--seed", default=f"{random.SystemRandom().randrange(10**6)}", help="seed of targets and moments"
    )
    parser.add_argument("--sessions", type=int, default=3, help="number of concurrent runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--faults", default=FAULTS, help="faults of the provider, in the emulator's text form; '' for none"
    )
    parser.add_argument(
        "--silence", type=int, default=45, help="seconds without a heartbeat until a run counts as dead"
    )
    parser.add_argument("--patience", type=float, default=400, help="seconds for all runs to end by themselves")
    parser.add_argument("--keep", action="store_true", help="keep the files: databases, logs, records, the ledger")
    parser.add_argument("--publish", action="store_true", help="write the counts into docs/reliability/")
    return parser


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

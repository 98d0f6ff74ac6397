"""Runs seeds on all cores and prints those with violations."""

import argparse
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.rigs.invariants import INVARIANTS
from tests.rigs.simulation.plan import CAPPED
from tests.rigs.simulation.run import FIRST_WITH_ADDITIONS, Outcome, simulate
from tests.rigs.tally import WITHOUT_BUDGET, Tally

PIECE = 100
RIGS = {False: "simulation", True: "simulation_of_additions"}


def main() -> int:
    """Run the seeds of the command line. Returns 1 if there are violations."""
    parser = argparse.ArgumentParser(prog="python -m tests.rigs.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="number of seeds")
    parser.add_argument(
        "--first",
        type=int,
        default=FIRST_WITH_ADDITIONS,
        help=f"first seed; those before {FIRST_WITH_ADDITIONS:,} buy clips alone",
    )
    parser.add_argument("--save", action="store_true", help="save the counts for docs/reliability.md")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    with_additions = {seed >= FIRST_WITH_ADDITIONS for seed in (seeds[0], seeds[-1])}
    if options.save and len(with_additions) > 1:
        parser.error(f"seeds before and after {FIRST_WITH_ADDITIONS:,} are counted in different tables")
    if len(seeds) == 1:
        return _replay(simulate(seeds[0]))
    began, tally = time.monotonic(), Tally({"seeds": len(seeds)})
    failed = 0
    for done, (counted, lines) in enumerate(_in_pieces(seeds), 1):
        tally.add(counted)
        failed += len(lines)
        print(*lines, sep="\n", end="\n" if lines else "")
        if done % 50 == 0:
            print(f"{done * PIECE:,} seeds, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(seeds):,} seeds, {failed} broke a promise, {time.monotonic() - began:.0f} s")
    tally.facts["broke a promise"] = failed
    if options.save:
        tally.save(RIGS[with_additions.pop()])
    return 1 if failed else 0


def run_seeds(seeds: Iterable[int]) -> tuple[Tally, list[str]]:
    """Run seeds in this process. Returns the counts and a line for each seed with violations."""
    tally, lines = Tally(), []
    for seed in seeds:
        outcome = simulate(seed)
        tally.run(outcome.faults, outcome.violations, INVARIANTS if CAPPED in outcome.faults else WITHOUT_BUDGET)
        if outcome.violations:
            lines.append(_line(outcome))
    return tally, lines


def _in_pieces(seeds: range) -> Iterator[tuple[Tally, list[str]]]:
    pieces = [seeds[start : start + PIECE] for start in range(0, len(seeds), PIECE)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(run_seeds, pieces)


def _replay(outcome: Outcome) -> int:
    print(*outcome.story, f"faults: {', '.join(sorted(outcome.faults)) or 'none'}", sep="\n")
    print(*(outcome.violations or ["every promise kept"]), sep="\n")
    return 1 if outcome.violations else 0


def _line(outcome: Outcome) -> str:
    return (
        f"make simulate SEEDS=1 FIRST={outcome.seed}   # {outcome.violations[0]} (faults:"
        f" {', '.join(sorted(outcome.faults))})"
    )


if __name__ == "__main__":
    raise SystemExit(main())

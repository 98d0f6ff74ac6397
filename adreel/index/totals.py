"""Sums over all jobs and scenes of the index, for metrics."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from adreel.index.database import Database
from adreel.index.queries import UNREADABLE

Labels = tuple[str, str, bool]
"""Model and campaign of takes, and whether the emulator rendered them."""


@dataclass(frozen=True)
class Totals:
    """What is known of all jobs; sums of money in micro-dollars."""

    jobs: dict[str, int]
    """By state."""
    scenes: dict[tuple[str, str], int]
    """By scenario and state."""
    seconds: list[int]
    """Number of stored takes within each limit, and of all; pruned ones included."""
    seconds_sum: float
    billed: Counter[Labels]
    unknown_costs: int
    silent_since: float | None
    unreadable_jobs: int


def read_totals(database: Database, limits: Sequence[int], pruned: Collection[str] = ()) -> Totals:
    """Sum up; `pruned` are the keys (session/scenario/job) of takes whose cost counts elsewhere."""
    jobs: dict[str, int] = dict(database.read("SELECT state, count(*) FROM jobs GROUP BY state"))
    scenes: Counter[tuple[str, str]] = Counter()
    billed: Counter[Labels] = Counter()
    unknown_costs, silent_since = 0, None
    for scenario, state, model, campaign, is_local, count, cost, unknown, silent in database.read_apart(
        "SELECT scenario, state, model, campaign, is_local, count(*), sum(cost), sum(is_cost_unknown),"
        " min(silent_since) FROM scenes WHERE NOT is_pruned GROUP BY 1, 2, 3, 4, 5"
    ):
        scenes[scenario, state] += count
        if model:
            billed[model, campaign, bool(is_local)] += cost
        unknown_costs += unknown
        silent_since = min(filter(None, (silent, silent_since)), default=None)
    for key in pruned:
        sql = "SELECT model, campaign, is_local, cost FROM scenes"
        sql += " WHERE session_id = ? AND scenario = ? AND job_id = ? AND NOT is_pruned"
        for model, campaign, is_local, cost in database.read(sql, key.split("/")):
            billed[model, campaign, bool(is_local)] -= cost
    sums = ", ".join(f"total(seconds <= {limit})" for limit in limits)
    sql = f"SELECT count(seconds), total(seconds), {sums} FROM scenes"  # noqa: S608 - only numbers
    [[count, seconds_sum, *within]] = database.read_apart(sql)
    return Totals(
        jobs=jobs,
        scenes=dict(scenes),
        seconds=[*map(int, within), count],
        seconds_sum=seconds_sum,
        billed=billed,
        unknown_costs=unknown_costs,
        silent_since=silent_since,
        unreadable_jobs=jobs.get(UNREADABLE, 0),
    )


def sessions_with(database: Database, keys: Collection[str]) -> set[str]:
    """Return the sessions that still have a row of one of the takes."""
    sql = "SELECT 1 FROM scenes WHERE session_id = ? AND scenario = ? AND job_id = ? AND NOT is_pruned"
    return {key.partition("/")[0] for key in keys if database.read(sql, key.split("/"))}

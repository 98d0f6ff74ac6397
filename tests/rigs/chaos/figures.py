"""The figures of the rig for the terminal and for docs/reliability.md."""

from collections import Counter

from adreel.emulator.ledger import SUCCESS, Ledger
from tests.rigs.chaos.checks import all_takes, bought, lost, open_takes, paid_twice
from tests.rigs.chaos.rig import Rig
from tests.rigs.chaos.settling import Settling
from tests.rigs.tally import Tally

AGAIN = "AwaitingRetry"


def collect(rig: Rig, settling: Settling, ledger: Ledger) -> dict[str, int | str]:
    """Count the events of the rig, by the ledger where possible."""
    orders, takes = rig.orders.placed, list(all_takes(rig.records))
    kills = Counter(str(round_.target) for round_ in rig.rounds)
    deaths = sum(service.deaths for service in rig.stack.services)
    return {
        "kills": len(rig.rounds),
        **{f"kills: {target}": count for target, count in sorted(kills.items())},
        "sessions": rig.orders.sessions,
        "runs": len(orders),
        "scenes": sum(len(order.scenarios) for order in orders),
        "submits": sum(ledger.submits.values()),
        "tasks accepted": len(ledger.entries),
        "tasks that failed at the provider": sum(entry.outcome != SUCCESS for entry in ledger.entries),
        "scenes bought": len(bought(ledger, orders)),
        "clips stored": sum(take.is_stored for take in takes),
        "clips stored with a warning": sum(bool(take.clip and take.clip.warnings) for take in takes),
        "clips kept aside": sum(take.aside is not None for take in takes),
        "scenes failed for good": len(takes) - sum(take.is_stored for take in takes) - len(open_takes(rig.records)),
        "paid twice": len(paid_twice(ledger, orders)),
        "lost": len(lost(rig.records, ledger)),
        "runs carried on without a person": _carried_on(rig),
        "runs that two processes carried out at once": len({run for run, _ in rig.watch.doubled}),
        "runs taken up by hand": len(settling.by_hand),
        "scenes taken up by hand": settling.scenes_by_hand,
        "runs that Prefect never saw end": len(rig.stack.api.unfinished()),
        "services that ended by themselves": deaths,
        "seconds to settle": round(settling.seconds),
        "seconds in all": round(rig.seconds),
    }


def tally(rig: Rig, facts: dict[str, int | str]) -> Tally:
    """Count each kill as one run of its fault."""
    counts = Tally(dict(facts))
    for round_ in rig.rounds:
        counts.run([round_.target.fault], round_.violations)
    return counts


def _carried_on(rig: Rig) -> int:
    carried_on = 0
    for order in rig.orders.placed:
        states = rig.stack.api.states(str(order.run_id))
        carried_on += any(state["name"] == AGAIN and "by hand" not in (state["message"] or "") for state in states)
    return carried_on

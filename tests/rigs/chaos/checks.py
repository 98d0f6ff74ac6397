"""The checks after all runs have ended: the provider's ledger first, then records, files, logs and slots."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from adreel.emulator.ledger import SUCCESS, Entry, Ledger
from adreel.models.takes import Take
from adreel.records import Records
from adreel.settings import Settings
from tests.rigs.chaos.orders import Order
from tests.rigs.chaos.stack import KEY
from tests.rigs.invariants import Violation, check_accounts, check_idle_storage, check_kept

ATTEMPTS: int = Settings.model_fields["attempts"].default


def check(records: Records, ledger: Ledger, orders: Iterable[Order]) -> list[Violation]:
    """Return all violations in an idle storage and the ledger."""
    return [
        *check_idle_storage(records, ledger),
        *check_kept(records, ledger),
        *check_accounts(records, ledger, ATTEMPTS),
        *_paid_twice(ledger, orders),
        *_lost(records, ledger),
    ]


def bought(ledger: Ledger, orders: Iterable[Order]) -> dict[tuple[int, str], list[Entry]]:
    """Return the accepted tasks of each scene of each order, identified by their prompts only."""
    tasks: defaultdict[tuple[int, str], list[Entry]] = defaultdict(list)
    numbers = {order.token: order.number for order in orders}
    for entry in ledger.entries:
        word = next((word for word in numbers if word in entry.request["positivePrompt"]), None)
        tasks[numbers.get(word or "", 0), str(entry.scenario)].append(entry)
    return dict(tasks)


def paid_twice(ledger: Ledger, orders: Iterable[Order]) -> list[Entry]:
    """Return the tasks that bought a scene of an order again although the previous task had not failed."""
    return [
        later
        for entries in bought(ledger, orders).values()
        for earlier, later in pairwise(entries)
        if earlier.outcome in {SUCCESS, None} or (earlier.ended_at or 0) > later.accepted_at
    ]


def lost(records: Records, ledger: Ledger) -> list[Entry]:
    """Return the successful tasks whose clip is not stored."""
    stored = {str(take.attempts[-1].uuid) for take in all_takes(records) if take.is_stored or take.aside}
    return [entry for entry in ledger.entries if entry.outcome == SUCCESS and entry.uuid not in stored]


def all_takes(records: Records) -> Iterator[Take]:
    """Walk all takes of a storage."""
    for job in records.jobs():
        for scenario in job.scenarios:
            if take := records.take(job.session_id, scenario, job.job_id):
                yield take


def open_takes(records: Records) -> list[Take]:
    """Return the takes that have neither a clip nor a final failure."""
    rounds = {job.job_id: job.rounds for job in records.jobs()}
    return [take for take in all_takes(records) if take.can_continue(ATTEMPTS * rounds[take.job_id])]


def described(take: Take) -> str:
    """Describe the state of a take."""
    state = take.attempts[-1].state if take.attempts else "not begun"
    return f"{take.scenario} {state}" + (f" ({take.problem.message})" if take.problem else "")


def check_secret(folder: Path) -> Iterator[Violation]:
    """Search for the key in every file: records, ledger, logs, and the database with parameters, artifacts and logs."""
    for path in sorted(folder.rglob("*")):
        try:
            found = path.is_file() and KEY.encode() in path.read_bytes()
        except FileNotFoundError:
            continue
        if found and not _is_handed_over(path):
            yield Violation("I12", f"the key is in {path.relative_to(folder)}")


def _is_handed_over(path: Path) -> bool:
    # Prefect's worker passes a run its environment in a private file, and leaves the file behind when it is killed.
    private = path.stat().st_mode & 0o077 == 0
    return private and path.parent.name.startswith("prefect-workspace-attempt-")


def _paid_twice(ledger: Ledger, orders: Iterable[Order]) -> Iterator[Violation]:
    for entry in paid_twice(ledger, orders):
        words = entry.request["positivePrompt"].splitlines()[1]
        yield Violation("I1", f"{entry.uuid} bought {entry.scenario} ({words}) again, though the first had not failed")


def _lost(records: Records, ledger: Ledger) -> Iterator[Violation]:
    for entry in lost(records, ledger):
        yield Violation("I2", f"{entry.uuid} ({entry.scenario}) was rendered and billed, and its clip is not stored")
    for entry in ledger.open_entries():
        yield Violation("I14", f"{entry.uuid} ({entry.scenario}) never ended at Runware")

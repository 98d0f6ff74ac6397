"""The world of a simulation: processes that start, block and die, slots, and the order of events."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from uuid import UUID

from pydantic import SecretStr

from adreel.emulator.faults import Faults
from adreel.records import Records
from adreel.settings import Settings
from adreel.storage import Storage
from adreel.storage.backend import StorageBackend
from adreel.storage.crash_points import visit_crash_points
from tests.rigs.simulation.clock import Clock, VirtualLoop
from tests.rigs.simulation.disk import Disk
from tests.rigs.simulation.provider import Provider, Socket
from tests.rigs.simulation.witness import SECRET, WatchedLedger, Witness

MOST_STEPS = 200_000
MOST_SECONDS = 6 * 3600
LEASE_SECONDS = 360
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """Raised when a dead process touches the world."""


@dataclass
class Process:
    """A runner with its own event loop, socket and memory."""

    name: str
    loop: VirtualLoop
    settings: Settings
    jobs: set[str]
    dies_at_moment: int | None = None
    """The number of the storage operation or crash point at which it dies."""
    alive: bool = True
    stalled_until: float = 0.0
    died_at: float | None = None
    main: "asyncio.Task[None] | None" = None
    moments: int = 0
    on_death: Callable[[], object] = lambda: None

    @property
    def is_done(self) -> bool:
        """Whether its work has ended."""
        return self.main is not None and self.main.done()

    @property
    def error(self) -> BaseException | None:
        """The exception of its work, unless it was killed or cancelled."""
        main = self.main
        return main.exception() if self.alive and main and main.done() and not main.cancelled() else None

    def cancel(self) -> None:
        """Cancel it as Prefect does."""
        if self.alive and self.main:
            self.main.cancel()

    @property
    def next_at(self) -> float | None:
        """The time of its next event."""
        at = self.loop.next_at if self.alive else None
        return None if at is None else max(at, self.stalled_until)


@dataclass
class World:
    """The state that outlives a process."""

    dice: Random
    provider_faults: list[str]
    slots: int = 4
    clock: Clock = field(default_factory=Clock)
    processes: list[Process] = field(default_factory=list)
    struck: set[str] = field(default_factory=set)
    story: list[str] = field(default_factory=list)
    clock_jump: timedelta = timedelta()

    def __post_init__(self) -> None:
        self.current: Process | None = None
        self._holders: dict[UUID, Process] = {}
        self._slot_numbers = count()
        self._events = VirtualLoop(self.clock, lambda: 0.0)
        self.witness = Witness(lambda: self.current.jobs if self.current else set(), lambda: self.disk.files)
        faults = Faults(self.provider_faults, seed=self.dice.randrange(2**32))
        self.provider = Provider(self._events, self.clock, self.dice, WatchedLedger(self.witness), faults)
        self.disk = Disk(self._moment, self.witness.on_write)
        Socket.provider_of_loop = self._socket_for_current

    def now(self) -> datetime:
        """Return the time of the processes' records."""
        return EPOCH + timedelta(seconds=self.clock.now) + self.clock_jump

    def tell(self, text: str) -> None:
        """Add a line to the trace."""
        who = self.current.name if self.current else "world"
        self.story.append(f"{self.clock.now:9.2f} {who}: {text}")

    def at(self, seconds: float, what: Callable[[], object]) -> None:
        """Schedule an event."""
        self._events.call_later(seconds, what)

    def start(self, process: Process, work: Callable[[Process], Awaitable[None]]) -> Process:
        """Start a process. Its work begins at its first step."""

        async def main() -> None:
            with visit_crash_points(lambda _name: self._moment()):
                await work(process)

        self.processes.append(process)
        process.main = process.loop.create_task(main())
        self.tell(f"{process.name} starts")
        return process

    def process(self, name: str, settings: Settings, jobs: set[str]) -> Process:
        """Create a process without starting it."""
        loop = VirtualLoop(self.clock, lambda: self.dice.choice([0.0, 0.001, 0.02, 0.2]))
        return Process(name, loop, settings.model_copy(update={"runware_api_key": _secret(name)}), jobs)

    def records(self) -> Records:
        """Open the records as a new process does."""
        storage = Storage("memory://sim", sleep=lambda _seconds: None)
        storage.fs, storage.root = self.disk, "sim"
        storage._files = StorageBackend(self.disk)
        storage.is_atomic = True  # Nothing runs between the read and the write of an update.
        return Records(storage)

    def kill(self, process: Process, why: str) -> None:
        """Kill a process: none of its code runs again, and its sockets break."""
        if process.alive:
            process.alive, process.died_at = False, self.clock.now
            self.tell(f"{process.name} is killed, {why}")
            for socket in [socket for socket in self.provider.sockets if socket._loop is process.loop]:
                socket.tear()
            process.on_death()

    def run(self) -> None:
        """Run until there are no more events."""
        for _ in range(MOST_STEPS):
            waiting = [process for process in self.processes if process.alive and not process.is_done]
            if not waiting and self._events.next_at is None:
                return None
            if not self._step(waiting):
                return self.witness.add_violation(
                    "I14", f"{', '.join(process.name for process in waiting)} waits for ever"
                )
            if self.clock.now > MOST_SECONDS:
                return self.witness.add_violation("I14", f"still busy after {MOST_SECONDS} s")
        return self.witness.add_violation("I14", f"still busy after {MOST_STEPS} steps")

    def unwind_processes(self) -> None:
        """Unwind the coroutines of the processes, which can't touch the world any more."""
        self.disk._moment = _refuse
        for process in self.processes:
            process.alive = False
            for _ in range(20):
                for task in asyncio.all_tasks(process.loop):
                    task.cancel()
                if not process.loop._ready:  # type: ignore[attr-defined]
                    break
                process.loop.step()
            process.loop.close()
        self._events.close()

    @asynccontextmanager
    async def slot(self, earlier: UUID | None) -> AsyncIterator[UUID]:
        """Hold a slot: an earlier one if its lease is still valid. A dead process holds it until the lease expires."""
        process = self.current
        assert process is not None
        while earlier not in self._taken() and len(self._taken()) >= self.slots:  # noqa: ASYNC110 - as in Prefect
            await asyncio.sleep(1)
        slot = earlier if earlier in self._taken() else UUID(int=next(self._slot_numbers))
        assert slot is not None
        self._holders[slot] = process
        try:
            yield slot
        finally:
            if process.alive:
                self._holders.pop(slot, None)

    def _taken(self) -> set[UUID]:
        limit = self.clock.now - LEASE_SECONDS
        return {slot for slot, holder in self._holders.items() if (holder.died_at or limit) >= limit}

    def _step(self, waiting: list[Process]) -> bool:
        """Run the next event. One of those that are due at the same time is drawn at random."""
        due = [(at, process) for process in waiting if (at := process.next_at) is not None]
        event_at, process_at = self._events.next_at, min((at for at, _ in due), default=None)
        if event_at is not None and (process_at is None or event_at <= process_at):
            self.clock.now = max(self.clock.now, event_at)
            self._events.step()
            return True
        if process_at is None:
            return False
        self.clock.now = max(self.clock.now, process_at)
        self.current = self.dice.choice([process for at, process in due if at <= self.clock.now])
        self.current.loop.step()
        self.current = None
        return True

    def _moment(self) -> None:
        process = self.current
        if process is None:
            return
        process.moments += 1
        if process.moments == process.dies_at_moment:
            self.struck.add("kill -9")
            self.kill(process, f"at its moment {process.moments}")
        if not process.alive:
            raise Killed

    def _socket_for_current(self) -> tuple[Provider, Callable[[], bool]]:
        process = self.current
        assert process is not None
        return self.provider, lambda: process.alive


def _secret(name: str) -> SecretStr:
    return SecretStr(f"{SECRET}-{name}")


def _refuse() -> None:
    raise Killed

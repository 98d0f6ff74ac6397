"""The invariants that can only be checked while runs are active: intent first, progress and immutability."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from adreel.errors import AdreelError
from adreel.models.takes import AttemptState, Job, Take
from adreel.records import Records
from adreel.storage.media import sha256_of
from tests.rigs.chaos.processes import ENGINE, marked
from tests.rigs.chaos.stack import KEY
from tests.rigs.invariants import Violation

SENT = set(AttemptState) - {AttemptState.PLANNED}
TakeKey = tuple[str, str]


class Watch:
    """Compares the records with the ledger at each tick and collects `violations`."""

    def __init__(self, records: Records, ledger_file: Path, mark: str) -> None:
        self.violations: list[Violation] = []
        self.doubled: set[tuple[str, frozenset[int]]] = set()
        """The runs that two processes executed at once, with these processes."""
        self._records, self._ledger_file, self._mark = records, ledger_file, mark
        self._jobs: dict[str, Job] = {}
        self._open: dict[TakeKey, Take] = {}
        self._ledger_read = 0
        self._stored: dict[str, Take] = {}
        self._clips: dict[str, str] = {}
        self._awaited_posters: set[str] = set()

    def tick(self) -> None:
        """Check once."""
        submitted = list(self._new_submits())
        try:
            self._find_jobs()
            self._read_takes()
            self._read_posters()
            self._check_intent(submitted)
        except AdreelError as error:
            self._note("I11", f"a record can't be read while its job runs: {error}")
        self._look_at_processes()

    def standing(self) -> Counter[str]:
        """Count the open takes by the state of their attempt."""
        return Counter(str(take.attempts[-1].state) if take.attempts else "begun" for take in self._open.values())

    def is_in_flight(self, job_id: str | None) -> bool:
        """Whether a take of the job is being bought."""
        return any(take.attempts for (job, _), take in self._open.items() if job == job_id)

    def check_what_was_stored(self) -> None:
        """Compare each stored take, clip and poster with its first version."""
        for path, take in self._stored.items():
            now = self._records.take(take.session_id, take.scenario, take.job_id)
            # A second runner of the job may write the same again with its own time.
            if now is None or now.model_copy(update={"updated_at": take.updated_at}) != take:
                self._note("I4", f"{path} was changed after its take was stored")
        for name, digest in self._clips.items():
            if self._digest(name) != digest:
                self._note("I5", f"{name} has changed since it was stored")

    def _new_submits(self) -> Iterator[str]:
        with self._ledger_file.open("rb") as stream:
            stream.seek(self._ledger_read)
            whole = stream.read().rpartition(b"\n")[0]
        self._ledger_read += len(whole) + bool(whole)
        for line in whole.splitlines():
            event = json.loads(line)
            if event["event"] == "submitted":
                yield event["uuid"]

    def _find_jobs(self) -> None:
        for name in self._records.storage.names("jobs"):
            job_id = name.removesuffix(".json")
            if job_id not in self._jobs and (job := self._records.job(job_id)):
                self._jobs[job_id] = job

    def _read_takes(self) -> None:
        for job_id, job in self._jobs.items():
            for scenario in job.scenarios:
                if self._path(job, scenario.value) in self._stored:
                    continue
                if take := self._records.take(job.session_id, scenario, job_id):
                    self._compare(take)

    def _read_posters(self) -> None:
        # A poster follows its clip, and a killed run leaves none.
        for name in [name for name in self._awaited_posters if self._records.storage.exists(name)]:
            self._awaited_posters.remove(name)
            self._clips[name] = self._digest(name)

    def _compare(self, take: Take) -> None:
        key = (take.job_id, take.scenario.value)
        before = self._open.get(key)
        if before and take.progress < before.progress:
            self._note("I8", f"{key}: progress fell from {before.progress} to {take.progress}")
        if before and before.position > take.position:
            self._note("I2", f"{key}: the record went back from {before.attempts[-1:]} to {take.attempts[-1:]}")
        self._open[key] = take
        if take.is_stored and take.clip:
            del self._open[key]
            path = self._path(self._jobs[take.job_id], take.scenario.value)
            self._stored[path] = take
            self._clips[take.clip.file] = self._digest(take.clip.file)
            if take.clip.poster:
                self._awaited_posters.add(take.clip.poster)

    def _check_intent(self, submitted: list[str]) -> None:
        if not submitted:
            return
        known = {
            str(attempt.uuid)
            for job in self._jobs.values()
            for scenario in job.scenarios
            if (take := self._records.take(job.session_id, scenario, job.job_id))
            for attempt in take.attempts
            if attempt.state in SENT
        }
        for uuid in set(submitted) - known:
            self._note("I3", f"{uuid} was submitted before a record said so")

    def _look_at_processes(self) -> None:
        carrying: dict[str, set[int]] = {}
        for process in marked(self._mark):
            if KEY in process.command:
                self._note("I12", f"the key is in the title of process {process.pid}")
            if process.flow_run and ENGINE in process.command:
                carrying.setdefault(process.flow_run, set()).add(process.pid)
        self.doubled |= {(run, frozenset(pids)) for run, pids in carrying.items() if len(pids) > 1}

    def _digest(self, name: str) -> str:
        try:
            with self._records.storage.open(name) as stream:
                return sha256_of(stream)
        except FileNotFoundError:
            return "missing"

    def _path(self, job: Job, scenario: str) -> str:
        return f"sessions/{job.session_id}/takes/{scenario}/{job.job_id}.json"

    def _note(self, invariant: str, text: str) -> None:
        violation = Violation(invariant, text)
        if violation not in self.violations:
            self.violations.append(violation)

"""The services of compose.yaml as processes of this machine: their commands, their settings and their health checks.

Only addresses are others: a port of loopback where a container has a name, a folder of each where it has its own disk.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import redis

from adreel.deployments.database import url_file
from adreel.deployments.services import Service
from tests.api.stack import free_port
from tests.containers import Container, containers, entry_point, image
from tests.rigs.chaos.processes import MARK, Process, end_all, marked
from tests.round_robin import round_robin
from tests.workers import BIN, until

PATIENCE = 240.0
AUTH, KEY = "adreel:not-a-secret", "a-key-of-the-tests"
# An installation waits twice as long, and its workers carry out more at once. With 2 of 4 runs each, the worker that
# is left is full of runs that may all wait for the slots of the killed ones.
HURRY = {"recover": ["--silence", "45", "--start", "60"]}
LIMIT_OF_A_WORKER = "2"
PATH = f"{BIN}:{os.environ['PATH']}"
REDIS = shutil.which("redis-server", path=PATH)  # its wheel is not there for every Python
DATABASE = "postgresql+asyncpg://prefect:secret@postgres:5432/prefect"
SERVERS = ("server-a", "server-b")
OURS = ("PREFECT_", "ADREEL_", "RUNWARE_", "AWS_")


def _hurried(container: Container) -> list[str]:
    named = pairwise(["", *container.command])
    words = [LIMIT_OF_A_WORKER if before == "--limit" else word for before, word in named]
    return [*words, *HURRY.get(container.name, [])]


class Machines:
    """Everything that compose.yaml describes, and an emulator beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger_file, self.mark = folder, folder / "ledger.jsonl", uuid4().hex
        self.ports = {name: free_port() for name in (*SERVERS, "redis", "serve", "runware")}
        self._containers = containers(self._variables())
        self.services: dict[str, Service] = {}
        self._database = folder / "postgres"

    @property
    def storage(self) -> str:
        return str(self.folder / "outputs")

    @property
    def redis(self) -> "redis.Redis":
        return redis.Redis(port=self.ports["redis"])

    @contextmanager
    def running(self) -> Iterator[str]:
        """Start them in the order of the file, and give Prefect's address."""
        try:
            with round_robin(*(self.ports[name] for name in SERVERS)) as port:
                self.ports["prefect"] = port
                self._start_all()
                yield f"http://127.0.0.1:{port}/api"
        finally:
            end_all(self.mark)
            for service in self.services.values():
                service.stop()

    def tree(self, name: str) -> list[Process]:
        """List the processes of a container, its first one among them."""
        pid = self.services[name].pid
        left, found = marked(self.mark), [process for process in marked(self.mark) if process.pid == pid]
        while below := [process for process in left if process.parent in {above.pid for above in found}]:
            left = [process for process in left if process not in below]
            found += below
        return found

    def kill(self, name: str) -> None:
        """Take a whole machine away at once."""
        struck = self.tree(name)
        for number in (signal.SIGSTOP, signal.SIGKILL):  # none of them can do anything about the end of another
            for process in struck:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def _start_all(self) -> None:
        self._start("postgres", [sys.executable, "-m", "adreel.deployments.database", str(self._database)])
        until(url_file(self._database).exists, "PostgreSQL")
        local = ["adreel", "local-runware", "--port", str(self.ports["runware"]), "--render-seconds", "8"]
        self._start("runware", [*local, "--ledger", str(self.ledger_file)])
        at = ["--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self._start("redis", [*self._containers["redis"].command, *at])
        until(self._redis_answers, "Redis")
        for name in ("database", *SERVERS, "services", "deploy", "worker", "recover", "serve"):
            self._start_container(self._containers[name])

    def _start_container(self, container: Container) -> None:
        copies = container.described.get("deploy", {}).get("replicas", 1)
        names = [container.name] if copies == 1 else [f"{container.name}-{number}" for number in range(1, copies + 1)]
        for name in names:
            self._start(name, [*entry_point(), *_hurried(container)], container)
        for name in names:
            if container.described["restart"] == "on-failure":
                until(partial(self._has_ended, name), f"the end of {name}", PATIENCE)
            elif container.health_check:
                until(partial(self._is_well, name, container.health_check), f"{name} to be well", PATIENCE)

    def _start(self, name: str, command: list[str], container: Container | None = None) -> Service:
        environment = self._environment(name, container.environment if container else {})
        program, *words = [self._at_home(name, word) for word in command]
        found = shutil.which(program, path=PATH) or program
        service = self.services[name] = Service(name, [found, *words], self.folder / f"{name}.log", environment)
        service.start()
        return service

    def _environment(self, name: str, settings: dict[str, str]) -> dict[str, str]:
        outside = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        disk = self.folder / name
        disk.mkdir(exist_ok=True)
        built_in = {key: value.replace("/tmp", str(disk)) for key, value in image().envs.items()}  # noqa: S108 - theirs
        inside = {key: self._at_home(name, value) for key, value in settings.items()}
        return {**outside, **built_in, **inside, "PATH": PATH, "TMPDIR": str(disk), MARK: self.mark}

    def _at_home(self, name: str, text: str) -> str:
        """Put the addresses of this machine in."""
        database, ports = url_file(self._database), self.ports
        addresses = {
            "redis://redis:6379": f"redis://127.0.0.1:{ports['redis']}",
            "http://prefect:4200": f"http://127.0.0.1:{ports.get('prefect')}",
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - replaced
            "8000": str(ports["serve"]),
        }
        if database.exists():
            addresses[DATABASE] = database.read_text()
        if name in SERVERS:
            addresses["4200"] = str(ports[name])
        if name.startswith("worker"):
            addresses["8080"] = str(ports.setdefault(name, free_port()))
        theirs = "|".join(re.escape(address) for address in addresses)
        return re.sub(rf"(?<!\d)({theirs})(?!\d)", lambda found: addresses[found[0]], text)

    def _variables(self) -> dict[str, str]:
        return {
            "POSTGRES_PASSWORD": "secret",
            "PREFECT_AUTH": AUTH,
            "ADREEL_API_KEYS": f"tests:{KEY}",
            "ADREEL_STORAGE": self.storage,
            "ADREEL_MODEL": "bytedance:2@2",
            "ADREEL_SIZE": "128x72",
            "RUNWARE_API_KEY": "",
            "RUNWARE_URL": f"ws://127.0.0.1:{self.ports['runware']}/v1",
        }

    def _has_ended(self, name: str) -> bool:
        service = self.services[name]
        assert service.pid or service.how_it_ended() == "ended with exit code 0", service.log.read_text()
        return service.pid is None

    def _is_well(self, name: str, health_check: list[str]) -> bool:
        assert self.services[name].pid, self.services[name].log.read_text()
        program, *words = [self._at_home(name, word) for word in health_check]
        done = subprocess.run([BIN / program, *words], capture_output=True, timeout=PATIENCE, check=False)
        return done.returncode == 0

    def _redis_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.ConnectionError:
            return False

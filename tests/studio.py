"""An emulator, a storage and a job: what a test of a purchase needs, in one process and without Prefect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from adreel.emulator import LocalRunware
from adreel.models.parts import Part
from adreel.models.scenarios import Scenario
from adreel.models.takes import Job, Take
from adreel.purchase import shared_client
from adreel.purchase.jobs import buy_scene, start_job
from adreel.records import Records
from adreel.runware import RunwareClient, Timing
from adreel.settings import Settings
from adreel.storage import Storage
from tests.factories import make_session

JOB = "job-1"
QUICK = Timing(acknowledge=1, doubt=0.1, look=0.2, poll_least=0.02, poll_most=0.05, back_off_most=0.05)


@asynccontextmanager
async def studio(
    *faults: str, render_seconds: float = 0.1, account: float | None = None, **settings: object
) -> AsyncIterator["Studio"]:
    """Open a studio whose client waits no longer than a test needs."""
    quick = partial(RunwareClient, timing=QUICK)
    server = LocalRunware(render_seconds=render_seconds, price=0.05, credits=account, faults=faults)
    with patch.object(shared_client, "RunwareClient", quick):
        async with server:
            options = {"runware_url": server.url, "ADREEL_MODEL": "bytedance:2@2", "ADREEL_SIZE": "128x72", **settings}
            yield Studio(server, Settings(**options))  # type: ignore[arg-type]


class Studio:
    """An emulator, a storage with one session, and a job on it."""

    def __init__(self, server: LocalRunware, settings: Settings) -> None:
        self.server = server
        self.settings = settings
        self.records = Records(Storage.from_settings(settings))
        self.records.save_session(make_session(seconds=2))

    def start(self, *scenarios: Part) -> Job:
        return start_job(self.records, self.settings, JOB, "ad", scenarios=list(scenarios) or None)

    def start_another(self, *scenarios: Part) -> Job:
        return start_job(self.records, self.settings, f"{JOB}-another", "ad", scenarios=list(scenarios) or None)

    async def produce(self, scenario: Part = Scenario.HOOK, *, job: Job | None = None) -> Take:
        async with asyncio.timeout(30):
            return await buy_scene(self.records, self.settings, job or self.start(scenario), scenario)

    def take(self, scenario: Part = Scenario.HOOK) -> Take:
        take = self.records.take("ad", scenario, JOB)
        assert take is not None
        return take

    @property
    def bought(self) -> list[str]:
        return [entry.uuid for entry in self.server.ledger.entries]

    def clip_path(self, take: Take) -> Path:
        assert take.clip is not None
        return Path(self.records.storage.location(take.clip.file))

"""The progress in Prefect's UI: few requests while steps follow each other, and the last step always."""

import asyncio
import logging
from uuid import UUID, uuid4

import pytest
from prefect import artifacts

from adreel.tasks.artifacts import PROGRESS_INTERVAL, ProgressArtifact


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    sent: list[tuple[float, str]] = []

    async def create(progress: float, *, key: str, description: str) -> UUID:
        sent.append((progress, description))
        return uuid4()

    async def update(_artifact: UUID, *, progress: float, description: str) -> None:
        sent.append((progress, description))

    monkeypatch.setattr(artifacts, "acreate_progress_artifact", create)
    monkeypatch.setattr(artifacts, "aupdate_progress_artifact", update)
    return sent


async def test_steps_that_follow_each_other_are_shown_once(sent: list[tuple[float, str]]) -> None:
    artifact = ProgressArtifact(logging.getLogger("adreel.test"))
    for percent in (0, 10, 30):
        artifact.show("progress", percent, "Scene hook")
        await asyncio.sleep(0.01)
    assert sent == []
    await asyncio.sleep(2 * PROGRESS_INTERVAL)
    artifact.show("progress", 80, "Scene hook")
    artifact.show("progress", 100, "Scene hook")
    began = asyncio.get_running_loop().time()
    await artifact.close()
    assert asyncio.get_running_loop().time() - began < PROGRESS_INTERVAL
    assert sent == [(30, "Scene hook"), (100, "Scene hook")]
    await artifact.close()
    assert len(sent) == 2

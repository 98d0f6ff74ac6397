"""What a scene shows in Prefect's UI: a log line and a progress bar for each step, and its poster."""

import asyncio
import base64
import re
from logging import Logger, LoggerAdapter
from typing import Any
from uuid import UUID

from prefect.artifacts import acreate_image_artifact, acreate_progress_artifact, aupdate_progress_artifact

from adreel.models.scenarios import Scenario
from adreel.models.takes import Take
from adreel.records.views import video_url
from adreel.settings import Settings
from adreel.storage import Storage


class SceneProgress:
    """Logs each step at once, and keeps a progress artifact current without holding the scene up."""

    def __init__(self, logger: "Logger | LoggerAdapter[Any]", scenario: Scenario) -> None:
        self._logger = logger
        self._scenario = scenario
        self._latest: Take | None = None
        self._waits_for = ""
        self._shown = (-1, "")
        self._artifact: UUID | None = None
        self._updating: asyncio.Task[None] | None = None

    def __call__(self, take: Take, text: str) -> None:
        """Tell of a step."""
        self._logger.info("%s: %s (%d %%)", take.scenario, text, take.progress)
        self._latest, self._waits_for = take, ""
        self._start_update()

    def waits(self, what: str) -> None:
        """Tell what the scene waits for, until its next step."""
        self._logger.info("%s: waits for %s", self._scenario, what)
        self._waits_for = what
        self._start_update()

    async def close(self) -> None:
        """Wait for the last update."""
        if self._updating is not None:
            await self._updating

    def _start_update(self) -> None:
        if self._updating is None or self._updating.done():
            self._updating = asyncio.create_task(self._update())

    async def _update(self) -> None:
        while self._latest is not None and (wanted := (self._latest.progress, self._waits_for)) != self._shown:
            take, self._shown = self._latest, wanted
            try:
                await self._show(take, *wanted)
            except Exception as error:
                self._logger.warning("progress can't be shown: %s", error)

    async def _show(self, take: Take, progress: int, waits_for: str) -> None:
        description = f"Scene {take.scenario}" + (f": waits for {waits_for}" if waits_for else "")
        if self._artifact is None:
            created = await acreate_progress_artifact(
                progress=progress, key=artifact_key(take, "progress"), description=description
            )
            self._artifact = created if isinstance(created, UUID) else None
        else:
            await aupdate_progress_artifact(artifact_id=self._artifact, progress=progress, description=description)


async def show_poster(settings: Settings, storage: Storage, take: Take) -> None:
    """Show a stored take's poster; the picture travels in the artifact, so no server has to be up to see it."""
    if take.clip is None or take.clip.poster is None:
        return
    picture = await asyncio.to_thread(storage.read, take.clip.poster)
    url = settings.openable(video_url(take))
    where = f"[{take.clip.file}]({url})" if url else storage.location(take.clip.file)
    await acreate_image_artifact(
        image_url=f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}",
        key=artifact_key(take, "poster"),
        description=f"Scene {take.scenario}: {where}",
    )


def artifact_key(take: Take, kind: str) -> str:
    """Return an artifact's key: lower case, digits and dashes, as Prefect wants it."""
    return re.sub(r"[^a-z0-9]+", "-", f"{kind}-{take.session_id}-{take.scenario}".lower()).strip("-")

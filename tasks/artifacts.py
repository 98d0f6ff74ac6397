"""What a scene shows in Prefect's UI: a log line and a progress bar for each step, and its poster."""

import asyncio
import base64
import re
from logging import Logger, LoggerAdapter
from typing import Any
from uuid import UUID

from prefect.artifacts import acreate_image_artifact, acreate_progress_artifact, aupdate_progress_artifact

from adreel.storage import Storage
from adreel.takes import Take


class SceneProgress:
    """Logs each step at once, and keeps a progress artifact current without holding the scene up."""

    def __init__(self, logger: "Logger | LoggerAdapter[Any]") -> None:
        self._logger = logger
        self._latest: Take | None = None
        self._shown = -1
        self._artifact: UUID | None = None
        self._updating: asyncio.Task[None] | None = None

    def __call__(self, take: Take, text: str) -> None:
        """Tell of a step."""
        self._logger.info("%s: %s (%d %%)", take.scenario, text, take.progress)
        self._latest = take
        if self._updating is None or self._updating.done():
            self._updating = asyncio.create_task(self._update())

    async def close(self) -> None:
        """Wait for the last update."""
        if self._updating is not None:
            await self._updating

    async def _update(self) -> None:
        while self._latest is not None and self._latest.progress > self._shown:
            take, self._shown = self._latest, self._latest.progress
            try:
                await self._show(take)
            except Exception as error:
                self._logger.warning("progress can't be shown: %s", error)

    async def _show(self, take: Take) -> None:
        if self._artifact is None:
            created = await acreate_progress_artifact(
                progress=take.progress, key=artifact_key(take, "progress"), description=f"Scene {take.scenario}"
            )
            self._artifact = created if isinstance(created, UUID) else None
        else:
            await aupdate_progress_artifact(artifact_id=self._artifact, progress=take.progress)


async def show_poster(storage: Storage, take: Take) -> None:
    """Show a stored take's poster; the picture travels in the artifact, so no server has to be up to see it."""
    if take.clip is None:
        return
    picture = await asyncio.to_thread(storage.read, take.clip.poster)
    await acreate_image_artifact(
        image_url=f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}",
        key=artifact_key(take, "poster"),
        description=f"Scene {take.scenario}: {storage.location(take.clip.file)}",
    )


def artifact_key(take: Take, kind: str) -> str:
    """Return an artifact's key: lower case, digits and dashes, as Prefect wants it."""
    return re.sub(r"[^a-z0-9]+", "-", f"{kind}-{take.session_id}-{take.scenario}".lower()).strip("-")

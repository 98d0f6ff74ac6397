"""Artifacts in Prefect's UI: the progress and the poster of a scene, and the summary of a job."""

import asyncio
import base64
import re
from logging import Logger, LoggerAdapter
from typing import Any
from uuid import UUID

from prefect import artifacts, get_run_logger

from adreel.models.scenarios import Scenario
from adreel.models.takes import Take
from adreel.records.views import JobView, video_url
from adreel.settings import Settings
from adreel.storage import Storage


class SceneProgress:
    """Logs each step of a scene and updates its progress artifact in the background."""

    def __init__(self, logger: "Logger | LoggerAdapter[Any]", scenario: Scenario) -> None:
        self._logger = logger
        self._scenario = scenario
        self._take: Take | None = None
        self._waiting_for = ""
        self._shown = (-1, "")
        self._artifact: UUID | None = None
        self._updating: asyncio.Task[None] | None = None

    def __call__(self, take: Take, text: str) -> None:
        """Report a step; the first report logs the warnings of the request."""
        for warning in take.request.warnings if self._take is None else ():
            self._logger.warning("%s: %s", take.scenario, warning.message)
        self._logger.info("%s: %s (%d %%)", take.scenario, text, take.progress)
        self._take, self._waiting_for = take, ""
        self._start_update()

    def waits_for(self, what: str) -> None:
        """Report what the scene waits for until its next step."""
        self._logger.info("%s: waits for %s", self._scenario, what)
        self._waiting_for = what
        self._start_update()

    async def close(self) -> None:
        """Wait for the last update."""
        if self._updating is not None:
            await self._updating

    def _start_update(self) -> None:
        if self._updating is None or self._updating.done():
            self._updating = asyncio.create_task(self._update())

    async def _update(self) -> None:
        while self._take and (latest := (self._take.progress, self._waiting_for)) != self._shown:
            take, self._shown = self._take, latest
            percent, waiting_for = latest
            description = f"Scene {take.scenario}" + (f": waits for {waiting_for}" if waiting_for else "")
            try:
                if self._artifact is None:
                    key = artifact_key(take, "progress")
                    created = await artifacts.acreate_progress_artifact(percent, key=key, description=description)
                    self._artifact = created if isinstance(created, UUID) else None
                else:
                    await artifacts.aupdate_progress_artifact(self._artifact, progress=percent, description=description)
            except Exception as error:
                self._logger.warning("can't show the progress: %s", error)


async def show_poster(settings: Settings, storage: Storage, take: Take) -> None:
    """Show a stored take's poster. The artifact contains the picture, so no server is needed to view it."""
    if take.clip is None or take.clip.poster is None:
        return
    picture = await asyncio.to_thread(storage.read, take.clip.poster)
    url = settings.public_link(video_url(take))
    where = f"[{take.clip.file}]({url})" if url else storage.location(take.clip.file)
    await artifacts.acreate_image_artifact(
        image_url=f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}",
        key=artifact_key(take, "poster"),
        description=f"Scene {take.scenario}: {where}",
    )


def artifact_key(take: Take, kind: str) -> str:
    """Return an artifact's key of lower case, digits and dashes, as Prefect requires."""
    return re.sub(r"[^a-z0-9]+", "-", f"{kind}-{take.session_id}-{take.scenario}".lower()).strip("-")


def show_table(key: str, description: str, rows: list[dict[str, Any]]) -> None:
    """Show a table artifact of a flow run. A failure is logged: the records hold the same facts."""
    try:
        artifacts.create_table_artifact(rows, key=key, description=description)
    except Exception as error:
        get_run_logger().warning("the summary can't be shown: %s", error)


def show_job_summary(settings: Settings, view: JobView) -> None:
    """Show a job's scenes and cost as a table, with links to the clips."""
    urls = {scene.scenario: settings.public_link(scene.video_url) for scene in view.scenes}
    rows = [
        {
            "scene": scene.scenario.value,
            "state": scene.status.value,
            "seconds": scene.duration,
            "cost": _money(scene.cost),
            "take": scene.take,
            "error": scene.error or "",
            "clip": urls[scene.scenario] or scene.location or "",
        }
        for scene in view.scenes
    ]
    known = [scene.cost for scene in view.scenes if scene.cost is not None]
    cost = f"at least {_money(sum(known))}" if view.cost is None and known else _money(view.cost)
    # Prefect's UI renders links in a description; in table cells only its older version does.
    links = ", ".join(f"[{scenario}]({url})" for scenario, url in urls.items() if url)
    clips = f". Clips: {links}" if links else ""
    show_table("job-summary", f"Session {view.session_id}: {view.overall_status}, {cost}{clips}", rows)


def _money(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"USD {cost:.2f}"

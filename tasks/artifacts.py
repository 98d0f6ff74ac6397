"""Artifacts in Prefect's UI: progress and poster of a scene and of a cut, and the summary of a job."""

import asyncio
import base64
import re
from contextlib import suppress
from logging import Logger, LoggerAdapter
from typing import Any
from uuid import UUID

from prefect import artifacts, get_run_logger

from adreel.models.cuts import Cut
from adreel.models.parts import Part, label_of
from adreel.models.spend import readable_usd
from adreel.models.takes import Take
from adreel.purchase.posters import draw_missing_poster
from adreel.records import Records
from adreel.records.views import JobView, video_url
from adreel.settings import Settings
from adreel.storage import Storage

PROGRESS_INTERVAL = 0.5


class ProgressArtifact:
    """A progress artifact that is created and updated in the background, at most once per interval."""

    def __init__(self, logger: "Logger | LoggerAdapter[Any]") -> None:
        self._logger = logger
        self._latest = self._shown = ("", -1, "")
        self._artifact: UUID | None = None
        self._updating: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def show(self, key: str, percent: int, description: str) -> None:
        """Show a state, unless a later one follows within the interval."""
        self._latest = (key, percent, description)
        if self._updating is None or self._updating.done():
            self._updating = asyncio.create_task(self._update())

    async def close(self) -> None:
        """Show the last state now, and wait for the update."""
        self._closing.set()
        if self._updating is not None:
            await self._updating

    async def _update(self) -> None:
        while self._latest != self._shown:
            # The steps of a scene follow each other, and a busy server would answer the request for its slot later.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), PROGRESS_INTERVAL)
            self._shown = key, percent, description = self._latest
            try:
                if self._artifact is None:
                    created = await artifacts.acreate_progress_artifact(percent, key=key, description=description)
                    self._artifact = created if isinstance(created, UUID) else None
                else:
                    await artifacts.aupdate_progress_artifact(self._artifact, progress=percent, description=description)
            except Exception as error:
                self._logger.warning("can't show the progress: %s", error)


class SceneProgress:
    """Logs each step of a scene and updates its progress artifact."""

    def __init__(self, logger: "Logger | LoggerAdapter[Any]", scenario: Part) -> None:
        self._logger = logger
        self._artifact = ProgressArtifact(logger)
        self._scenario = scenario
        self._take: Take | None = None

    def __call__(self, take: Take, text: str) -> None:
        """Report a step; the first report logs the warnings of the request."""
        for warning in take.request.warnings if self._take is None else ():
            self._logger.warning("%s: %s", take.scenario, warning.message)
        self._logger.info("%s: %s (%d %%)", take.scenario, text, take.progress)
        self._take = take
        self._show()

    def waits_for(self, what: str) -> None:
        """Report what the scene waits for until its next step."""
        self._logger.info("%s: waits for %s", self._scenario, what)
        self._show(f": waits for {what}")

    async def close(self) -> None:
        """Wait for the last update of the artifact."""
        await self._artifact.close()

    def _show(self, what: str = "") -> None:
        if self._take:
            key, description = (
                artifact_key(self._take, "progress"),
                f"{label_of(self._take.scenario).capitalize()}{what}",
            )
            self._artifact.show(key, self._take.progress, description)


class CutProgress:
    """Logs each step of a cut and updates its progress artifact."""

    def __init__(self, logger: "Logger | LoggerAdapter[Any]", session_id: str) -> None:
        self._logger = logger
        self._artifact = ProgressArtifact(logger)
        self._session_id = session_id

    def __call__(self, percent: int, step: str) -> None:
        """Report a step."""
        self._logger.info("cut: %s (%d %%)", step, percent)
        self._artifact.show(
            clean_key(f"progress-{self._session_id}-cut"), percent, f"Cut of {self._session_id}: {step}"
        )

    async def close(self) -> None:
        """Wait for the last update of the artifact."""
        await self._artifact.close()


async def show_poster(settings: Settings, records: Records, take: Take, picture: bytes | None = None) -> None:
    """Show a stored take's poster, which is read unless the `picture` is given.

    The artifact contains the picture, so no server is needed to view it.
    """
    if take.clip is None or take.clip.poster is None:
        return
    storage, name = records.storage, take.clip.poster
    try:
        if picture is None:
            picture = await asyncio.to_thread(storage.read, name)
    except FileNotFoundError:
        # An earlier run has ended between the clip and its poster.
        if not await asyncio.to_thread(draw_missing_poster, records, name):
            return
        picture = await asyncio.to_thread(storage.read, name)
    url = settings.public_link(video_url(take))
    where = f"[{take.clip.file}]({url})" if url else storage.location(take.clip.file)
    await artifacts.acreate_image_artifact(
        image_url=f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}",
        key=artifact_key(take, "poster"),
        description=f"{label_of(take.scenario).capitalize()}: {where}",
    )


def artifact_key(take: Take, kind: str) -> str:
    """Return an artifact's key of lower case, digits and dashes, as Prefect requires."""
    return clean_key(f"{kind}-{take.session_id}-{take.scenario}")


def clean_key(text: str) -> str:
    """Return a text as the key of an artifact."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


async def show_cut(settings: Settings, storage: Storage, cut: Cut) -> None:
    """Show the posters of a cut, with links to its files."""
    for file in cut.files:
        if file.poster is None:
            continue
        picture = await asyncio.to_thread(storage.read, file.poster)
        url = settings.public_link(f"/outputs/{file.file}")
        where = f"[{file.file}]({url})" if url else storage.location(file.file)
        await artifacts.acreate_image_artifact(
            image_url=f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}",
            key=clean_key(f"cut-{cut.session_id}-{file.format}"),
            description=f"Cut {file.format}: {where}, {file.duration:.1f} s",
        )


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
    page = settings.public_link(f"/sessions/{view.session_id}")
    ad = f"[{view.session_id}]({page})" if page else view.session_id
    show_table("job-summary", f"Session {ad}: {view.overall_status}, {cost}{clips}", rows)


def _money(cost: float | None) -> str:
    return "cost unknown" if cost is None else f"USD {readable_usd(cost)}"

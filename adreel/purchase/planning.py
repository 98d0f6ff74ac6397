"""Requests of a session's parts, before anything is written or bought."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from adreel.catalog import Catalog
from adreel.catalog.additions import AudioModel, ImageModel
from adreel.catalog.facts import VideoModel
from adreel.catalog.stored import load_catalog
from adreel.errors import InputError
from adreel.models.api import ClipWarning
from adreel.models.parts import Part, PartKind, kind_of, label_of, scenario_of
from adreel.models.scenarios import Scenario
from adreel.models.sessions import RenderOptions, SceneChanges, Session, is_local_file
from adreel.models.spend import to_micros, to_usd
from adreel.models.takes import PartRequest, TaskRequest
from adreel.purchase.additions import addition_request
from adreel.purchase.request import clip_request
from adreel.records.inputs import display_name
from adreel.runware.connection import inference
from adreel.settings import Settings
from adreel.spend.prices import of_emulator, price
from adreel.storage import Storage

CHANGES: dict[PartKind, set[str]] = {
    "clip": SceneChanges.model_fields.keys() - {"voice"},
    "voice": {"dialog_narration", "duration", "model", "voice"},
    "music": {"background_music", "model", "seed"},
    "still": {"visual_description", "camera_work", "lighting", "references", *RenderOptions.model_fields}
    - {"first_frame", "last_frame", "sound", "settings"},
}
"""Fields of changes that decide what is bought, by the kind of part."""


@dataclass(frozen=True)
class PlannedScene:
    """Request of a part, as people see it; images have their names in place of their content."""

    scenario: Part
    model: str
    """Name and AIR of the model."""
    images: dict[str, str]
    request: PartRequest
    task: dict[str, Any]
    """Runware's task object without taskUUID."""

    @property
    def warnings(self) -> tuple[ClipWarning, ...]:
        """Differences between the description and the request."""
        return self.request.warnings


@dataclass(frozen=True)
class ScenePrice:
    """The price of a part in USD, None if it is unknown; `source` is that of a Price."""

    scenario: Part
    model: str
    seconds: float | None
    usd: float | None
    source: str
    as_of: date | None


def price_scenes(
    requests: Mapping[Part, TaskRequest], settings: Settings, storage: Storage, clip_price: float | None = None
) -> list[ScenePrice]:
    """Return the price of each part. `clip_price` is the USD of a part whose price is unknown."""
    found = []
    for scenario, request in requests.items():
        each = price(request, storage, given=to_micros(clip_price))
        if settings.is_local:
            each = of_emulator(each)
        usd = to_usd(each.amount)
        found.append(ScenePrice(scenario, request.model, request.duration, usd, each.source, each.as_of))
    return found


def part_request(
    session: Session,
    part: Part,
    settings: Settings,
    catalog: Catalog,
    changes: SceneChanges | None = None,
    *,
    checks_files: bool = True,
) -> PartRequest:
    """Resolve a part of an ad into the request to send; InputError if it can't be bought as described.

    Without `checks_files`, local images are not opened: only the machine of the worker may have them.
    """
    changes = changes or SceneChanges()
    _refuse_changes_of_others(part, changes)
    if isinstance(part, Scenario):
        scene = changes.applied_to(session.scene(part))
        return clip_request(session, scene, settings, catalog, checks_files=checks_files)
    scenario = scenario_of(part)
    scenes = [session.scene(scenario)] if scenario else session.scene_descriptions
    seconds = sum(changes.applied_to(scene).duration for scene in scenes)
    return addition_request(session, part, changes, settings, catalog, seconds, checks_files=checks_files)


def _refuse_changes_of_others(part: Part, changes: SceneChanges) -> None:
    """Raise InputError if changes would not change what is bought."""
    given = [name for name, value in changes.model_dump(exclude_none=True).items() if value not in ({}, [], "")]
    if wrong := [name for name in given if name in SceneChanges.model_fields.keys() - CHANGES[kind_of(part)]]:
        reason = "nothing that is bought depends on it: leave it out"
        raise InputError(f"{label_of(part)}: {', '.join(wrong)}: {reason}", dict.fromkeys(wrong, reason))


def plan_requests(
    session: Session,
    parts: Iterable[Part],
    settings: Settings,
    storage: Storage,
    changes: SceneChanges | None = None,
    *,
    checks_files: bool = True,
) -> dict[Part, PartRequest]:
    """Return the request of each part, by the storage's catalogue; InputError if one can't be bought as described."""
    catalog = load_catalog(storage)
    return {part: part_request(session, part, settings, catalog, changes, checks_files=checks_files) for part in parts}


def planned_scene(scenario: Part, request: PartRequest, catalog: Catalog) -> PlannedScene:
    """Return a request as people see it."""
    names = {
        image: Path(image).name if is_local_file(image) else display_name(image) for _, image in request.named_images()
    }
    task = inference(UUID(int=0), request, names)
    del task["taskUUID"]
    known: Mapping[str, VideoModel | AudioModel | ImageModel] = catalog.audio
    if kind_of(scenario) in {"clip", "still"}:
        known = catalog.models if kind_of(scenario) == "clip" else catalog.images
    model = known.get(request.model)
    return PlannedScene(
        scenario=scenario,
        model=f"{model.name} ({model.air})" if model else request.model,
        images={name: names[image] for name, image in request.named_images()},
        request=request,
        task=task,
    )

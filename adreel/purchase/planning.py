"""Requests of a session's scenes, before anything is written or bought."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from adreel.catalog import Catalog
from adreel.catalog.stored import load_catalog
from adreel.models.api import ClipWarning
from adreel.models.scenarios import Scenario
from adreel.models.sessions import Session, is_local_file
from adreel.models.spend import to_micros, to_usd
from adreel.models.takes import ClipRequest
from adreel.purchase.request import clip_request
from adreel.records.inputs import display_name
from adreel.runware.connection import inference
from adreel.settings import Settings
from adreel.spend.prices import of_emulator, price
from adreel.storage import Storage


@dataclass(frozen=True)
class PlannedScene:
    """Request of a scene, as people see it; images have their names in place of their content."""

    scenario: Scenario
    model: str
    """Name and AIR of the model."""
    images: dict[str, str]
    request: ClipRequest
    task: dict[str, Any]
    """Runware's task object without taskUUID."""

    @property
    def warnings(self) -> tuple[ClipWarning, ...]:
        """Differences between the description and the request."""
        return self.request.warnings


@dataclass(frozen=True)
class ScenePrice:
    """The price of a scene's clip in USD, None if it is unknown; `source` is that of a Price."""

    scenario: Scenario
    model: str
    seconds: float | None
    usd: float | None
    source: str
    as_of: date | None


def price_scenes(
    requests: Mapping[Scenario, ClipRequest], settings: Settings, storage: Storage, clip_price: float | None = None
) -> list[ScenePrice]:
    """Return the price of each scene's clip. `clip_price` is the USD of a clip whose price is unknown."""
    found = []
    for scenario, request in requests.items():
        each = price(request, storage, given=to_micros(clip_price))
        if settings.is_local:
            each = of_emulator(each)
        usd = to_usd(each.amount)
        found.append(ScenePrice(scenario, request.model, request.duration, usd, each.source, each.as_of))
    return found


def plan_requests(
    session: Session, scenarios: Iterable[Scenario], settings: Settings, storage: Storage
) -> dict[Scenario, ClipRequest]:
    """Return the request of each scene, by the storage's catalogue; InputError if one can't be bought as described."""
    catalog = load_catalog(storage)
    return {scenario: clip_request(session, session.scene(scenario), settings, catalog) for scenario in scenarios}


def planned_scene(scenario: Scenario, request: ClipRequest, catalog: Catalog) -> PlannedScene:
    """Return a scene's request as people see it."""
    names = {
        image: Path(image).name if is_local_file(image) else display_name(image) for _, image in request.named_images()
    }
    task = inference(UUID(int=0), request, names)
    del task["taskUUID"]
    model = catalog.models.get(request.model)
    return PlannedScene(
        scenario=scenario,
        model=f"{model.name} ({model.air})" if model else request.model,
        images={name: names[image] for name, image in request.named_images()},
        request=request,
        task=task,
    )

"""The limit that a person sets for one purchase: what is over it is refused, with the options that would go through."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from adreel.catalog.stored import load_catalog
from adreel.errors import InputError, OverBudget
from adreel.models.parts import VOICES, Addition, Part
from adreel.models.scenarios import Scenario
from adreel.models.sessions import SceneChanges, SceneDescription, Session
from adreel.models.spend import MAX_COST, show_usd, to_micros, usd_rounded_up
from adreel.models.takes import ClipRequest
from adreel.purchase.planning import plan_requests
from adreel.purchase.request import clip_request
from adreel.settings import Settings
from adreel.spend.accounts import refuse_unknown
from adreel.spend.prices import listed_price, price
from adreel.storage import Storage


def check_max_cost(
    session: Session,
    parts: Sequence[Part],
    settings: Settings,
    storage: Storage,
    changes: SceneChanges | None = None,
    *,
    max_cost: float | None = None,
    clip_price: float | None = None,
    takes_model: bool = False,
) -> None:
    """Raise OverBudget if takes of these parts would cost more than `max_cost` USD.

    `clip_price` is the USD of a clip whose price is unknown. The `next` commands of the error begin with an option or a
    variable, for the command that was refused; `takes_model` says whether it has the option --model. Raises InputError
    if a part can't be bought as described.
    """
    if max_cost is None:
        return
    limit, given = to_micros(max_cost), to_micros(clip_price)
    requests = plan_requests(session, parts, settings, storage, changes)
    costs: dict[Part, int] = {}
    unknown: list[str] = []
    for scenario, request in requests.items():
        amount = price(request, storage, given=given).amount
        if amount is None:
            unknown.append(f"{scenario} ({request.model})")
        else:
            costs[scenario] = amount
    refuse_unknown(unknown, budget=MAX_COST, left=limit)
    needed = sum(costs.values())
    if needed <= limit:
        return
    commands = [f"--max-cost {usd_rounded_up(needed)}"]
    if fewer := _fewer_scenes(costs, limit):
        commands.append(" ".join(f"--scene {scenario}" for scenario in fewer))
    advice = ""
    clips = [part for part in parts if isinstance(part, Scenario)]
    scenes = [(changes or SceneChanges()).applied_to(session.scene(each)) for each in clips]
    others = sum(cost for part, cost in costs.items() if not isinstance(part, Scenario))
    if scenes and (model := _cheaper_model(session, scenes, settings, storage, limit - others)):
        name, cost = model
        if takes_model:
            commands.append(f"--model {name}")
        elif not any(each.model for each in (session, *scenes)):
            commands.append(f"ADREEL_MODEL={name}")
        advice = f" The model {name} would cost {show_usd(cost + others)}."
    raise OverBudget(
        f"{'the clips' if clips else 'it'} would cost {show_usd(needed)}, and --max-cost is {show_usd(limit)}:"
        f" nothing was sent.{advice}",
        needed=needed,
        left=limit,
        budget=MAX_COST,
        enough=needed,
        commands=commands,
    )


def _fewer_scenes(costs: Mapping[Part, int], limit: int) -> list[Scenario]:
    """Return the first scenes that would go through, each with its narration."""
    fewer: list[Scenario] = []
    left = limit - costs.get(Addition.MUSIC, 0)
    for scenario in filter(costs.__contains__, Scenario):
        cost = costs[scenario] + costs.get(VOICES[scenario], 0)
        if cost <= left:
            fewer.append(scenario)
            left -= cost
    return fewer


def _cheaper_model(
    session: Session, scenes: Sequence[SceneDescription], settings: Settings, storage: Storage, most: int
) -> tuple[str, int] | None:
    """Return the dearest model that takes all scenes as described for at most that much, and its cost."""
    catalog = load_catalog(storage)
    offers: list[tuple[int, str, list[ClipRequest]]] = []
    for model in catalog.usable():
        with suppress(InputError):
            others = [scene.model_copy(update={"model": model.air}) for scene in scenes]
            requests = [clip_request(session, scene, settings, catalog, checks_files=False) for scene in others]
            amounts = [listed_price(request, model) for request in requests]
            known = [amount for amount in amounts if amount is not None]
            if len(known) == len(requests) and not any(request.warnings for request in requests):
                offers.append((sum(known), model.air, requests))
    for listed, air, requests in sorted(offers, key=lambda offer: offer[:2], reverse=True):
        # Reading the bills of all models would take too long.
        if listed <= most and (cost := sum(price(request, storage).amount or 0 for request in requests)) <= most:
            return air, cost
    return None

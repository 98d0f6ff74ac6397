"""What a campaign would cost: its clips in groups, so that the table stays small with any number of ads."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from adreel.campaigns import MAX_LISTED, Source, campaign_job_id, check_sessions, read_sessions
from adreel.errors import OverBudget
from adreel.models.budget_modes import BudgetMode
from adreel.models.spend import MAX_COST, show_usd, sum_usd, to_micros, usd_rounded_up
from adreel.purchase.planning import plan_requests, price_scenes
from adreel.records import Records
from adreel.settings import Settings
from adreel.spend.accounts import refuse_unknown
from adreel.spend.budgets import Budgets
from adreel.storage import Storage


@dataclass(frozen=True)
class ClipGroup:
    """Clips of a campaign with the same price; `usd` is that of one clip, `total` that of all, None if unknown."""

    clips: int
    model: str
    seconds: float | None
    usd: float | None
    total: float | None
    source: str
    as_of: date | None


def price_campaign(settings: Settings, source: Source, clip_price: float | None = None) -> tuple[int, list[ClipGroup]]:
    """Return the number of ads and the groups of their clips: unknown prices first, then the dearest.

    After MAX_LISTED groups, the others are summed up. InputError lists what is wrong in the source.
    """
    ads = check_sessions(settings, source)
    storage = Storage.from_settings(settings)
    counts = Counter[tuple[str, float | None, float | None, str, date | None]]()
    for session in read_sessions(settings, source):
        requests = plan_requests(session, session.parts, settings, storage)
        prices = price_scenes(requests, settings, storage, clip_price)
        counts.update((each.model, each.seconds, each.usd, each.source, each.as_of) for each in prices)
    groups = [
        ClipGroup(clips, model, seconds, usd, sum_usd([usd] * clips), source, as_of)
        for (model, seconds, usd, source, as_of), clips in counts.items()
    ]
    groups.sort(key=lambda group: (group.total is not None, -(group.total or 0), group.model))
    shown, rest = groups[:MAX_LISTED], groups[MAX_LISTED:]
    for others in ([each for each in rest if each.total is None], [each for each in rest if each.total is not None]):
        if others:
            clips = sum(each.clips for each in others)
            shown.append(ClipGroup(clips, "others", None, None, sum_usd([each.total for each in others]), "", None))
    return ads, shown


@dataclass(frozen=True)
class Affordable:
    """How many of the ads that were not started yet the tightest budget pays; `left` in micro-dollars."""

    ads: int
    unstarted: int
    budget: str
    left: int

    def __str__(self) -> str:
        return (
            f"budget {self.budget} has {show_usd(self.left)} left: enough for {self.ads} of {self.unstarted} ads that"
            " were not started yet"
        )


def count_affordable(
    settings: Settings,
    records: Records,
    source: Source,
    campaign: str,
    *,
    part: int = 1,
    parts: int = 1,
    clip_price: float | None = None,
) -> Affordable | None:
    """Count the ads of a part that the budgets of a campaign pay, in their order; None without such a budget."""
    costs = unstarted_costs(settings, records, source, campaign, part=part, parts=parts, clip_price=clip_price)
    return afford(records, campaign, costs)


def afford(records: Records, campaign: str, costs: Iterable[float | None]) -> Affordable | None:
    """Count the ads that the budgets of a campaign pay, by what each ad costs in USD; None without such a budget."""
    caps = [view for view in Budgets(records).views_of(None, campaign) if view.mode == BudgetMode.CAP]
    if not caps:
        return None
    tightest = min(caps, key=lambda view: view.left)
    ads, unstarted, left = 0, 0, tightest.left
    for cost in costs:
        unstarted += 1
        # A campaign stops at the first ad that is refused.
        left = left - to_micros(cost) if cost is not None and left >= 0 else -1
        ads += left >= 0
    return Affordable(ads, unstarted, tightest.name, tightest.left)


def unstarted_costs(
    settings: Settings,
    records: Records,
    source: Source,
    campaign: str,
    *,
    part: int = 1,
    parts: int = 1,
    clip_price: float | None = None,
) -> Iterator[float | None]:
    """Yield what each ad of a part that was not started yet would cost in USD, in their order; None if unknown."""
    started = set(records.job_ids())
    for session in read_sessions(settings, source, part, parts):
        if campaign_job_id(campaign, session.session_id) not in started:
            requests = plan_requests(session, session.parts, settings, records.storage)
            yield sum_usd([each.usd for each in price_scenes(requests, settings, records.storage, clip_price)])


def check_campaign_cost(settings: Settings, source: Source, max_cost: float, clip_price: float | None = None) -> None:
    """Raise OverBudget if the clips of a campaign would cost more than `max_cost` USD."""
    ads, groups = price_campaign(settings, source, clip_price)
    limit, total = to_micros(max_cost), sum_usd([group.total for group in groups])
    unknown = [f"{group.clips} clips ({group.model})" for group in groups if group.total is None]
    refuse_unknown(unknown, budget=MAX_COST, left=limit)
    needed = to_micros(total or 0)
    if needed > limit:
        raise OverBudget(
            f"the clips of {ads} ads would cost {show_usd(needed)}, and --max-cost is {show_usd(limit)}: nothing was"
            " sent",
            needed=needed,
            left=limit,
            budget=MAX_COST,
            enough=needed,
            commands=[f"--max-cost {usd_rounded_up(needed)}"],
        )

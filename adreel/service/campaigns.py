"""The use cases of campaigns: look at the price of one, start it, and continue it where it stopped.

The products and variants are a record in the storage, which the run reads. Each ad asks for its own money when the run
comes to it: a campaign stops after the last ad that its budget pays. An ad is a job whose id is derived from the names
of the campaign and of the ad, so a second run of a campaign buys no clip again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from adreel.campaigns import STORED, CampaignDocument, campaign_job_id, check_sessions
from adreel.campaigns.prices import Affordable, afford, check_campaign_cost, unstarted_costs
from adreel.campaigns.variants import WrongField, wrong_fields
from adreel.errors import Conflict, InputError, NotFound, OverBudget, SessionDeleted
from adreel.models.campaigns import MAX_ADS, Campaign, CampaignCreate
from adreel.models.documents import check_texts
from adreel.models.spend import show_usd, to_micros, to_usd
from adreel.models.takes import Take, utc_now
from adreel.orchestration.thread_pools import run_in_threadpool
from adreel.records import Records
from adreel.service.jobs import CAMPAIGN, LIMITS, Service
from adreel.service.sessions import fingerprint_of
from adreel.settings import Settings
from adreel.spend.accounts import refuse_unknown
from adreel.spend.prices import of_emulator, price

if TYPE_CHECKING:
    from adreel.orchestration.runs import Run

DEPLOYMENT = "generate-campaign/generate-campaign"
MAX_TRIED = 1000
"""Maximum number of unfinished ads whose clips are priced."""
MAX_NAMED = 5


@dataclass(frozen=True)
class CampaignPlan:
    """The ads and clips that a run of a campaign would buy. Sums are micro-dollars, None for an unknown price."""

    name: str
    ads: int
    costs: list[int | None]
    """The cost of each ad that was not started yet."""
    retries: list[int | None]
    """The cost of each clip that the run would buy for started ads."""
    affordable: Affordable | None
    """Ads that the tightest budget pays; None without a cap."""

    @property
    def amounts(self) -> list[int | None]:
        """All costs."""
        return self.costs + self.retries


@dataclass(frozen=True)
class CampaignService:
    """The use cases of campaigns. `plan` and `plan_rest` block on the storage."""

    service: Service

    @property
    def _records(self) -> Records:
        return self.service.records

    @property
    def _settings(self) -> Settings:
        return self.service.settings

    def wrong_fields(self, data: Any, file: str) -> list[WrongField]:
        """Return the invalid fields of products and variants. Raises InputError if they are no such document."""
        return wrong_fields(data, file)

    def plan(self, new: CampaignCreate) -> CampaignPlan:
        """Price a campaign before it is started.

        Raises InputError with the places of wrong fields, or Conflict if its name or an ad of it is taken.
        """
        ads = len(new.products) * len(new.variants)
        if ads > MAX_ADS:
            raise InputError(f"a campaign has at most {MAX_ADS:,} ads, and this one has {ads:,}: divide it")
        document = document_of(new)
        check_texts(document.data, document.name)
        if wrong := wrong_fields(document.data, document.name):
            told = "; ".join(f"{each.place}: {each.reason}" for each in wrong)
            raise InputError(told, {each.place: each.reason for each in wrong})
        check_sessions(self._settings, document)
        stored = self._records.campaign(new.name)
        if stored is not None and (stored.products, stored.variants) != (new.products, new.variants):
            raise _taken(new.name)
        self._refuse_foreign_ads(document)
        return self._plan(document, new.clip_price, [])

    def plan_rest(self, name: str, unfinished: list[str]) -> CampaignPlan:
        """Price what a campaign that has stopped would buy; `unfinished` are the ids of started ads without all clips.

        Raises NotFound if it was not started over HTTP.
        """
        campaign = self.campaign(name)
        return self._plan(document_of(campaign), to_usd(campaign.clip_price), unfinished)

    def campaign(self, name: str) -> Campaign:
        """Return a campaign that was started over HTTP, or raise NotFound."""
        campaign = self._records.campaign(name)
        if campaign is None:
            raise NotFound(f"campaign {name!r} was not started over HTTP: start it again where it was started")
        return campaign

    async def start(self, new: CampaignCreate, *, created_by: str = "", key: str | None = None) -> "Run":
        """Store a campaign and start its run. Raises as `plan`, or OverBudget if not one ad can be paid."""
        active = await self._active_run(new.name)

        def check() -> None:
            plan = self.plan(new)
            if active is not None:
                raise _running(new.name)
            if new.max_cost is not None:
                check_campaign_cost(self._settings, document_of(new), new.max_cost, new.clip_price)
            _refuse_without_money(plan)
            self._store(new, created_by)

        given = new.model_dump(mode="json", exclude_none=True)
        limits = {name: usd for name, usd in given.items() if name in LIMITS}
        return await self._start(new.name, limits, key, check, fingerprint_of(given))

    async def resume(self, name: str, *, key: str | None = None) -> "Run":
        """Start another run of a campaign, which makes the ads that lack clips.

        Raises NotFound, Conflict while a run of it is going on, or OverBudget if nothing can be paid.
        """
        campaign, active = await run_in_threadpool(self.campaign, name), await self._active_run(name)

        def check() -> None:
            if active is not None:
                raise _running(name)
            plan = self.plan_rest(name, [])
            # Clips that are ordered already are downloaded whatever is left.
            if len(plan.costs) == plan.ads:
                _refuse_without_money(plan)

        limits = {} if campaign.clip_price is None else {"clip_price": to_usd(campaign.clip_price)}
        return await self._start(name, limits, key, check, "")

    async def run_of(self, name: str) -> "Run | None":
        """Return the run that was started last over HTTP, None if there is none. Raises PrefectUnreachable."""
        campaign = await run_in_threadpool(self._records.campaign, name)
        return await self.service.runs.read(campaign.run_id) if campaign and campaign.run_id else None

    async def _active_run(self, name: str) -> "Run | None":
        run = await self.run_of(name)
        return run if run and not run.is_final else None

    async def _start(
        self, name: str, limits: dict[str, Any], key: str | None, check: Callable[[], None], fingerprint: str
    ) -> "Run":
        parameters = {"source": f"{STORED}{name}", "campaign": name, **limits}
        run = await self.service.start_run(DEPLOYMENT, parameters, key, check, kind=CAMPAIGN, fingerprint=fingerprint)

        def note(stored: Campaign | None) -> Campaign | None:
            # A repeated answer must not hide a later run.
            if stored is None or stored.run_id == run.run_id or (stored.run_id and run.is_final):
                return None
            return stored.model_copy(update={"run_id": run.run_id})

        await run_in_threadpool(self._records.update_campaign, name, note)
        return run

    def _plan(self, document: CampaignDocument, clip_price: float | None, unfinished: list[str]) -> CampaignPlan:
        name, settings = document.name, self._settings
        costs = list(unstarted_costs(settings, self._records, document, name, clip_price=clip_price))
        retries = list(self._retry_costs(name, unfinished[:MAX_TRIED], to_micros(clip_price)))
        return CampaignPlan(
            name,
            len(document.data["products"]) * len(document.data["variants"]),
            [to_micros(cost) for cost in costs],
            retries + [None] * (len(unfinished) > MAX_TRIED),
            afford(self._records, name, costs),
        )

    def _retry_costs(self, name: str, unfinished: list[str], clip_price: int | None) -> Iterator[int | None]:
        """Yield what each clip costs that another run would buy for started ads."""

        def takes_of(session_id: str) -> list[Take]:
            job = self._records.job(campaign_job_id(name, session_id))
            if job is None:
                return []
            found = [self._records.take(session_id, scenario, job.job_id) for scenario in job.scenarios]
            # An ended job is started again, with the attempts of another round.
            allowed = self._settings.attempts * (job.rounds + (job.ended_at is not None))
            return [take for take in found if take and take.unsent_task(allowed)]

        for take in chain.from_iterable(self._records.map(takes_of, unfinished)):
            found = price(take.request, self._records.storage, given=clip_price)
            yield (of_emulator(found) if self._settings.is_local else found).amount

    def _refuse_foreign_ads(self, document: CampaignDocument) -> None:
        """Raise Conflict if an ad of a new campaign would take the place of another one."""
        known, jobs = set(self._records.session_ids()), set(self._records.job_ids())
        products, variants = document.data["products"], document.data["variants"]
        ads = [f"{product['session_id']}-{variant['variant']}" for product in products for variant in variants]
        unstarted = [each for each in ads if each in known and campaign_job_id(document.name, each) not in jobs]

        def is_foreign(session_id: str) -> bool:
            try:
                return self._records.session(session_id).campaign != document.name
            except SessionDeleted:
                return False

        if taken := [each for each in unstarted if is_foreign(each)]:
            more = f" and {len(taken) - MAX_NAMED} more" if len(taken) > MAX_NAMED else ""
            raise Conflict(
                f"there are ads of these ids already: {', '.join(taken[:MAX_NAMED])}{more}. Give the products or the"
                " variants other ids"
            )

    def _store(self, new: CampaignCreate, created_by: str) -> None:
        def store(stored: Campaign | None) -> Campaign:
            clip_price = to_micros(new.clip_price)
            if stored is None:
                facts = new.model_dump(include={"name", "products", "variants"})
                return Campaign(**facts, created_at=utc_now(), created_by=created_by, clip_price=clip_price)
            if (stored.products, stored.variants) != (new.products, new.variants):
                raise _taken(new.name)
            return stored.model_copy(update={"clip_price": clip_price})

        self._records.update_campaign(new.name, store)


def document_of(campaign: CampaignCreate | Campaign) -> CampaignDocument:
    """Return the products and variants of a campaign."""
    return CampaignDocument(campaign.name, campaign.model_dump(include={"products", "variants"}))


def _taken(name: str) -> Conflict:
    reason = f"there is another campaign {name!r}: choose another name"
    return Conflict(reason, {"name": reason})


def _running(name: str) -> Conflict:
    return Conflict(f"campaign {name!r} is running already: wait for its end, or cancel it")


def _refuse_without_money(plan: CampaignPlan) -> None:
    """Raise OverBudget if a budget pays none of the ads to start."""
    found = plan.affordable
    if found is None or found.ads or not found.unstarted:
        return
    cost = plan.costs[0]
    refuse_unknown(
        [] if cost is not None else [f"the clips of the first ad of {plan.name}"], budget=found.budget, left=found.left
    )
    needed = cost or 0
    raise OverBudget(
        f"the first ad needs {show_usd(needed)}, and budget {found.budget} has {show_usd(max(0, found.left))} left:"
        " nothing was started. Raise the budget",
        needed=needed,
        left=max(0, found.left),
        budget=found.budget,
        commands=[f"adreel budget set {found.budget} USD"],
    )

"""What takes have cost, for reports and metrics. Sums of money are integer micro-dollars."""

from datetime import date

from pydantic import BaseModel, Field

from adreel.models.record import Record

RECENT = 200
"""Number of pruned takes that are still known one by one. Many more than several prunes handle at once."""


class Spend(BaseModel, extra="allow", frozen=True):
    """What some takes with the same labels have cost."""

    day: date = Field(description="UTC day of the order")
    model: str
    scene: str
    campaign: str | None = None
    is_local: bool = Field(False, description="Rendered by the emulator: its sums are no money")
    takes: int = Field(1, ge=0)
    clips: int = Field(0, ge=0)
    estimated: int = Field(0, ge=0)
    without_estimate: int = Field(0, ge=0, description="Number of takes that `estimated` leaves out")
    billed: int = Field(0, ge=0)
    unknown: int = Field(0, ge=0, description="Number of takes with a bill that is not known, or not known yet")

    @property
    def labels(self) -> tuple[object, ...]:
        """What spend is summed up by."""
        return self.day, self.model, self.scene, self.campaign, self.is_local

    def plus(self, other: "Spend") -> "Spend":
        """Add the spend of other takes with the same labels."""
        sums = ("takes", "clips", "estimated", "without_estimate", "billed", "unknown")
        return self.model_copy(update={name: getattr(self, name) + getattr(other, name) for name in sums})


class PrunedSpend(Record):
    """What pruned takes had cost. A take counts from the moment before its record is removed, and once."""

    totals: list[Spend] = Field(default_factory=list, description="One entry for takes with the same labels")
    removing: dict[str, Spend] = Field(default_factory=dict, description="Takes whose records are being removed")
    recent: list[str] = Field(default_factory=list, description="Takes that were added to `totals` last")
    count: int = Field(0, ge=0, description="Number of takes in `totals`")

    @property
    def every(self) -> list[Spend]:
        """The spend of all pruned takes."""
        return [*self.totals, *self.removing.values()]

    def with_removing(self, key: str, spend: Spend) -> "PrunedSpend | None":
        """Count a take whose record is removed next; None if it counts already."""
        if key in self.removing or key in self.recent:
            return None
        return self.model_copy(update={"removing": {**self.removing, key: spend}})

    def with_removed(self, key: str) -> "PrunedSpend | None":
        """Add a take whose record is gone to the totals; None if that is done already."""
        spend = self.removing.get(key)
        if spend is None:
            return None
        same = next((each for each in self.totals if each.labels == spend.labels), None)
        others = [each for each in self.totals if each is not same]
        removing = {name: each for name, each in self.removing.items() if name != key}
        totals = [*others, same.plus(spend) if same else spend]
        recent = [*self.recent, key][-RECENT:]
        return self.model_copy(
            update={"totals": totals, "removing": removing, "recent": recent, "count": self.count + 1}
        )

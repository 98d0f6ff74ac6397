"""What takes have cost, for reports and metrics. Sums of money are integer micro-dollars."""

from datetime import date

from pydantic import BaseModel, Field


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

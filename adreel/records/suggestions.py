"""Suggested actions for a scene without a clip, with their effect on cost."""

from dataclasses import dataclass
from enum import StrEnum

from adreel.errors import ClipKeptAside, NoCredits, OverBudget, SceneRefused
from adreel.models.takes import AttemptState, Take


class Effect(StrEnum):
    """Whether an action buys a clip."""

    DOWNLOADS = "downloads"
    MAY_BUY = "may buy"
    BUYS = "buys"


@dataclass(frozen=True)
class SuggestedAction:
    """A resume of the job or a regeneration of the scene, with a text about its cost."""

    resumes: bool
    effect: Effect
    text: str


_RESUME = {
    AttemptState.PLANNED: (Effect.BUYS, "Nothing was bought yet: this buys the clip."),
    AttemptState.SUBMITTED: (
        Effect.MAY_BUY,
        "Runware may have the order: this checks, and buys the clip only if Runware does not have it.",
    ),
    AttemptState.ACCEPTED: (Effect.DOWNLOADS, "The clip is already ordered: this downloads it."),
    AttemptState.FAILED: (Effect.BUYS, "The last attempt failed: this buys another clip."),
    AttemptState.RENDERED: (Effect.DOWNLOADS, "The clip is rendered and paid: this downloads it."),
    AttemptState.STORED: (Effect.DOWNLOADS, "The clip is stored."),
}
_REGENERATE = {
    ClipKeptAside.code: "The file is kept aside in the storage: look at it first. This buys a new clip.",
    SceneRefused.code: "Runware refuses this description: change it first. This buys a new clip.",
}


def suggest_action(take: Take | None, attempts_allowed: int) -> SuggestedAction:
    """Return the action for a scene whose newest take has no clip; the take is None before it is recorded."""
    attempt = take.attempts[-1] if take and take.attempts else None
    if take is None or attempt is None:
        return SuggestedAction(True, *_RESUME[AttemptState.PLANNED])
    if attempt.state == AttemptState.FAILED and not take.can_continue(attempts_allowed):
        code = attempt.problem.code if attempt.problem else ""
        return SuggestedAction(False, Effect.BUYS, _REGENERATE.get(code, "This buys a new clip."))
    effect, text = _RESUME[attempt.state]
    if attempt.state == AttemptState.SUBMITTED and take.problem and take.problem.code == NoCredits.code:
        effect, text = (
            Effect.BUYS,
            "The account had no credits for the order: this repeats the order and buys the clip.",
        )
    if take.problem and take.problem.code == OverBudget.code and effect == Effect.BUYS:
        text = "It was too dear for --max-cost or a budget: give a higher --max-cost, or raise the budget, first."
    if attempt.state == AttemptState.ACCEPTED and len(take.attempts) < attempts_allowed:
        text = "The clip is already ordered: this downloads it, and buys another only if its render fails."
    return SuggestedAction(True, effect, text)

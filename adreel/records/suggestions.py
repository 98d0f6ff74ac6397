"""Why a scene has no clip, and the suggested action with its effect on cost: in words for pages and commands."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from adreel.errors import (
    BuyingStopped,
    ClipKeptAside,
    JobCancelled,
    NoFreeSlot,
    OverBudget,
    SceneRefused,
    StillRendering,
)
from adreel.models.api import VideoSceneStatus
from adreel.models.parts import Part, kind_of, label_of
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


_SESSION = re.compile(r"(?<![\w'\"/.-])(a )?session(s?)(?![\w'\"/-]|[.:]\w)")
"""The word that pages replace by "ad". File names and quoted words stay."""
_COMMAND = re.compile(
    r"`|(?<!\S)--[a-z]|\b(ADREEL|RUNWARE|PREFECT)_[A-Z]"
    r"|\badreel (budget|generate|models|regenerate|resume|sessions|status|takes)\b"
)
_REASONS = {
    BuyingStopped.code: "It was not sent, because the account can't buy at present.",
    JobCancelled.code: "It was cancelled.",
    NoFreeSlot.code: "No slot for a render was free in time.",
    StillRendering.code: "It was still rendering at the deadline. Nothing is lost.",
}
"""By code of a problem. Other problems have words of Runware's, a store's or a budget's, which are kept."""
_NOTHING_BOUGHT = "Nothing was bought: this buys the clip."
_ANOTHER_CLIP = "The last attempt failed: this buys another clip."
_RESUME = {
    AttemptState.PLANNED: (Effect.BUYS, _NOTHING_BOUGHT),
    AttemptState.SUBMITTED: (
        Effect.MAY_BUY,
        "It may be ordered already: this looks first, and buys the clip only if Runware does not have the order.",
    ),
    AttemptState.ACCEPTED: (Effect.DOWNLOADS, "It is ordered already: this downloads the clip and buys nothing."),
    AttemptState.FAILED: (Effect.BUYS, _ANOTHER_CLIP),
    AttemptState.RENDERED: (Effect.DOWNLOADS, "The clip is rendered and paid: this downloads it and buys nothing."),
    AttemptState.STORED: (Effect.DOWNLOADS, "The clip is stored."),
}
_FIRST = {
    ClipKeptAside.code: "The file is kept aside in the storage: look at it first.",
    SceneRefused.code: "Runware refuses this description: change it first.",
}


_FIELDS = {
    "negativePrompt": "negative_prompt",
    "duration": "duration",
    "resolution": "resolution",
    "width": "size",
    "height": "size",
    "seed": "seed",
    "referenceImages": "references",
    "frameImages": "first_frame",
    "model": "model",
}
"""Fields of a description by the parameters of Runware's request that they become. Any other is about the words."""
_NOUNS = {"clip": "clip", "voice": "voice", "still": "still", "music": "piece of music"}
_WORDS = {
    "clip": "visual_description",
    "still": "visual_description",
    "voice": "dialog_narration",
    "music": "background_music",
}


def refused_field(take: Take) -> str | None:
    """Return the field of the description that Runware has refused for good; None if it has refused none."""
    problem = take.attempts[-1].problem if take.attempts else None
    if problem is None or problem.code != SceneRefused.code:
        return None
    _, _, parameter = problem.message.partition("(parameter ")
    named = parameter.partition(")")[0]
    return next((field for name, field in _FIELDS.items() if name in named), _WORDS[take.request.kind])


def without_commands(message: str) -> str:
    """Return a message in the words of the pages, without clauses that name a command, an option or a variable."""
    clauses = re.split(r"(?<=[.;:]) ", message)
    kept = [clause for clause in clauses if not _COMMAND.search(clause)]
    told = _SESSION.sub(lambda found: f"{'an ' if found[1] else ''}ad{found[2]}", " ".join(kept))
    told = told.replace("dialog_narration", "the narration")
    return told.rstrip(" ;:") or "See the server's log."


def why_no_clip(status: VideoSceneStatus, take: Take | None) -> str:
    """Return why a scene has no clip. The next step comes from `suggest_action`, so the reason names no command."""
    known = _REASONS.get(take.problem.code if take and take.problem else "")
    reason = (status.error or "no reason was recorded").removeprefix(f"{label_of(status.scenario)}: ")
    return known or without_commands(reason)


def suggest_first(part: Part) -> SuggestedAction:
    """Return the action for a part whose job ended before it recorded anything."""
    return SuggestedAction(False, Effect.BUYS, _NOTHING_BOUGHT.replace("clip", _NOUNS[kind_of(part)]))


def suggest_action(take: Take | None, attempts_allowed: int) -> SuggestedAction:
    """Return the action for a part whose newest take has no file; the take is None before it is recorded."""
    found = _suggest(take, attempts_allowed)
    noun = _NOUNS[take.request.kind] if take else "clip"
    return replace(found, text=found.text.replace("clip", noun))


def _suggest(take: Take | None, attempts_allowed: int) -> SuggestedAction:
    attempt = take.attempts[-1] if take and take.attempts else None
    if take is None or attempt is None:
        return SuggestedAction(True, *_RESUME[AttemptState.PLANNED])
    if attempt.is_in_doubt:
        first = f"Another run may still buy this clip: wait until {attempt.doubt_ends_at:%Y-%m-%d %H:%M} UTC."
        text = _RESUME[AttemptState.SUBMITTED][1]
        return SuggestedAction(True, Effect.MAY_BUY, text if take.can_continue(attempts_allowed) else f"{first} {text}")
    refused = take.was_refused(attempt)
    if attempt.state == AttemptState.FAILED and not take.can_continue(attempts_allowed):
        first = _FIRST.get(attempt.problem.code if attempt.problem else "", "")
        # Earlier attempts of the take may have been bought.
        cost = _NOTHING_BOUGHT if refused and len(take.attempts) == 1 else "This buys a new clip."
        return SuggestedAction(False, Effect.BUYS, f"{first} {cost}".strip())
    effect, text = _RESUME[attempt.state]
    if refused:
        effect, text = Effect.BUYS, _NOTHING_BOUGHT
    if effect == Effect.BUYS and len(take.attempts) > 1:
        text = _ANOTHER_CLIP
    if take.problem and take.problem.code == OverBudget.code and effect == Effect.BUYS:
        text = "It was too dear for its limit or a budget: raise that first. Nothing was bought."
    if attempt.state == AttemptState.ACCEPTED and len(take.attempts) < attempts_allowed:
        text = "It is ordered already: this downloads the clip, and buys another only if its render has failed."
    return SuggestedAction(True, effect, text)

"""Error classes of Runware's error codes.

There is no complete list of codes and they change, so each class has its known codes and patterns. An unknown code
is final: a person decides whether to spend again.
"""

import re

from adreel.errors import AdreelError, BadKey, NoCredits, ProviderBusy, RenderFailed, SceneRefused, UnknownFailure
from adreel.runware.replies import Failure

CONFLICT = "conflictTaskUUID"

_CLASSES: tuple[tuple[type[AdreelError], str], ...] = (
    (BadKey, r"invalidApiKey|missingApiKey|unauthorized|forbidden|accountSuspended"),
    (NoCredits, r"insufficientCredits|missingCredits|paymentRequired|(?i:.*(quota|balance).*)"),
    (ProviderBusy, r"rateLimitExceeded|providerRateLimitExceeded|internalServerError|serviceUnavailable"),
    (
        SceneRefused,
        r"(invalidProvider|.*[sS]ensitive)Content.*|(provider)?[cC]ontentPolicyViolation|nsfwContentDetected"
        r"|promptBlocked|moderationFailed",
    ),
    (
        RenderFailed,
        r"timeoutProvider|timeout|inferenceError|processingFailed|taskFailed|downloadFailed|noAvailableServer"
        r"|modelUnavailable",
    ),
    (RenderFailed, r"provider.*"),
    (SceneRefused, r"(invalid|missing|unsupported|max).*|incompatibleParameters|unknownModel"),
)


def error_from(failure: Failure) -> AdreelError:
    """Return the error of a failure, with the provider's message and the way out."""
    kind = error_class(failure.code)
    text = f"Runware says {failure.code}: {failure.message.rstrip('.')}"
    if failure.parameter:
        text += f" (parameter {failure.parameter})"
    if failure.allowed:
        text += f"; allowed: {failure.allowed}"
    return kind(f"{text}. {_WAYS_OUT[kind]}")


def error_class(code: str) -> type[AdreelError]:
    """Return the class of a code; UnknownFailure if no pattern fits."""
    for kind, pattern in _CLASSES:
        if re.fullmatch(pattern, code):
            return kind
    return UnknownFailure


_WAYS_OUT: dict[type[AdreelError], str] = {
    BadKey: "Check RUNWARE_API_KEY; nothing was bought",
    NoCredits: "Add credits to the Runware account, then resume",
    ProviderBusy: "A retry may succeed",
    SceneRefused: "Change the scene's description or this parameter and regenerate the scene",
    RenderFailed: "Another attempt may help and may be billed",
    UnknownFailure: "adreel does not know this code: look it up before you regenerate the scene",
}

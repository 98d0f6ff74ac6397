"""The errors of adreel, sorted by remedy.

AdreelError
├── InputError               the request is wrong: change it
│   ├── NotFound             no such session, job, scene or take
│   ├── Conflict             the request is fine, but not in the present state of its session or job
│   │   ├── SessionExists
│   │   ├── JobEnded
│   │   ├── NothingOpen
│   │   └── RequestInFlight  the first request with the same idempotency key is not answered yet
│   └── KeyReused            the idempotency key was used for another request
├── AccountError             the key, the credits or the settings: a person has to act
│   ├── BadKey
│   └── NoCredits
├── JobCancelled             a person has cancelled the job; its open clips can still be fetched
├── SceneRefused             the provider will not make this scene as described: change the scene
├── ProviderError            the provider, for now: trying again helps
│   ├── ProviderUnreachable  nothing is known of the last request; the same UUID asks again
│   ├── ProviderBusy         not now; the same UUID asks again
│   ├── StillRendering       the deadline passed; the take stays open
│   ├── NoFreeSlot           the limit of scenes in flight did not leave room in time
│   ├── ClipUnavailable      rendered and paid, but the download did not bring the whole file
│   ├── RenderFailed         known to have failed; trying again is a new, paid attempt
│   ├── ClipKeptAside        paid and downloaded, but no playable MP4; a person looks at it
│   ├── UnknownFailure       failed with a code that nobody has explained; a person decides
│   └── TakeFailed           failed, and the attempts that the settings allow are used up
├── PrefectUnreachable       no usable answer of Prefect's server: trying again helps
│   └── PrefectMisconfigured it rejects the credentials, or PREFECT_API_URL leads to something else: a person has to act
└── StorageError             the storage can't be read or written
    ├── StorageUnavailable   the storage, for now: trying again helps and costs nothing
    └── BadRecord            a record that is truncated, foreign or too new
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from adreel.text import clean_text

LONGEST_MESSAGE = 20_000
"""Maximum characters of a message. It leaves room for a list of problems; foreign text is cut earlier."""


class AdreelError(Exception):
    """Catch this for everything that adreel raises on purpose; its text is written for people."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    """Trying again by itself, without a person's change, can help."""
    costs: ClassVar[bool] = False
    """Trying again may be billed."""

    def __init__(self, message: str = "") -> None:
        # Messages go into records, Prefect's states and terminals, and often quote a server or a file.
        super().__init__(clean_text(message, LONGEST_MESSAGE))


class InputError(AdreelError):
    """Something in the request is wrong; the message names the parameter and the way out."""

    code = "input"

    def __init__(self, message: str = "", fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})
        """The reasons by field of the request, where an answer can name them."""


class NotFound(InputError):
    """No session, job, scene or take has that name."""

    code = "notFound"


class Conflict(InputError):
    """The request is fine, but not in the present state of its session or job."""

    code = "conflict"


class SessionExists(Conflict):
    """Another session has this id."""

    code = "taken"


class JobEnded(Conflict):
    """The job has ended, so it can't be cancelled."""

    code = "ended"


class NothingOpen(Conflict):
    """The job has no scene that a resume could continue."""

    code = "nothingOpen"


class RequestInFlight(Conflict):
    """The first request with the same idempotency key is not answered yet: ask again."""

    code = "inFlight"
    retryable = True


class KeyReused(InputError):
    """The idempotency key was used for another request."""

    code = "keyReused"


class AccountError(AdreelError):
    """The account or the settings keep anything from being bought until a person acts."""

    code = "account"


class BadKey(AccountError):
    """The provider does not know the key."""

    code = "badKey"


class NoCredits(AccountError):
    """The account has no credits or quota left."""

    code = "noCredits"


class JobCancelled(AdreelError):
    """A person cancelled the job while its run works on other jobs; `adreel resume` fetches its open clips."""

    code = "cancelled"


class SceneRefused(AdreelError):
    """The provider will not make this scene as described; another description may pass."""

    code = "sceneRefused"


class ProviderError(AdreelError):
    """The provider or the way to it failed for now."""

    code = "provider"
    retryable = True


class ProviderUnreachable(ProviderError):
    """No answer in time, or a connection that broke: a request may have arrived or not."""

    code = "providerUnreachable"


class ProviderBusy(ProviderError):
    """The provider asks to come back later."""

    code = "providerBusy"


class StillRendering(ProviderError):
    """The deadline passed while the clip renders: the take stays open and a resume re-attaches."""

    code = "stillRendering"
    retryable = False


class NoFreeSlot(ProviderError):
    """The limit of scenes in flight had no room in time; nothing was bought."""

    code = "noFreeSlot"


class ClipUnavailable(ProviderError):
    """The clip is rendered and paid, but its bytes did not come whole; fetching again is free."""

    code = "clipUnavailable"


class RenderFailed(ProviderError):
    """The provider reported the failure of an accepted task; a new attempt is a new purchase."""

    code = "renderFailed"
    costs = True


class ClipKeptAside(ProviderError):
    """The paid file is in the storage, but it is not a playable MP4. A person decides what to do."""

    code = "keptAside"
    retryable = False


class UnknownFailure(ProviderError):
    """The provider reported a failure with an unknown code: spending again takes a person's decision."""

    code = "unknownFailure"
    retryable = False


class TakeFailed(ProviderError):
    """The last attempt failed and no further one is allowed or can help."""

    code = "takeFailed"
    retryable = False


class PrefectUnreachable(AdreelError):
    """Prefect's server gave no usable answer; the request may have arrived.

    `reason` says what happened, `advice` how to fix it.
    """

    code = "prefectUnreachable"
    retryable = True

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason}: {advice}" if advice else reason)
        self.reason, self.advice = reason, advice


class PrefectMisconfigured(PrefectUnreachable):
    """The address, the credentials or the settings of Prefect are wrong."""

    code = "prefectMisconfigured"
    retryable = False


class StorageError(AdreelError):
    """The storage can't be read or written; once it can, a resume goes on without buying again."""

    code = "storage"


class StorageUnavailable(StorageError):
    """The storage does not answer, asks to slow down, or is not mounted just now."""

    code = "storageUnavailable"
    retryable = True


class BadRecord(StorageError):
    """A record that can't be read: truncated, foreign, or written by a newer adreel."""

    code = "badRecord"


@contextmanager
def collect_errors(errors: list[AdreelError] | None) -> Iterator[None]:
    """Append an AdreelError of the block to a list, so that one broken record does not hide others; None raises it."""
    try:
        yield
    except AdreelError as error:
        if errors is None:
            raise
        errors.append(error)

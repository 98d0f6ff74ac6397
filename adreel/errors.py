"""The errors of adreel, sorted by remedy.

AdreelError
├── InputError               the request is wrong: change it
│   ├── NotFound             no such session, job, scene or take
│   │   └── SessionDeleted   a person has deleted the session
│   ├── Conflict             the request is fine, but not in the present state of its session or job
│   │   ├── SessionExists
│   │   ├── JobEnded
│   │   ├── NothingOpen
│   │   ├── NothingChanged   everything that was asked for is bought already
│   │   ├── SceneMissing     a scene of the finished ad has no clip yet: generate it
│   │   └── RequestInFlight  the first request with the same idempotency key is not answered yet
│   └── KeyReused            the idempotency key was used for another request
├── AccountError             the key, the credits or the settings: a person has to act
│   ├── BadKey
│   ├── NoCredits
│   └── BuyingStopped        not sent, because the account can't buy at present
├── OverBudget               a budget has too little money left: raise it, or buy less
├── JobCancelled             a person has cancelled the job; its open clips can still be downloaded
├── SceneRefused             the provider refuses the scene as described: change it
├── ProviderError            a temporary failure of the provider: retry
│   ├── ProviderUnreachable  the fate of the last request is unknown; retry with the same UUID
│   ├── ProviderBusy         retry later with the same UUID
│   ├── StillRendering       the deadline passed; the take stays open
│   ├── NoFreeSlot           no free slot of the concurrency limit in time
│   ├── ClipUnavailable      rendered and paid, but the download failed
│   ├── RenderFailed         known to have failed; a retry is a new, paid attempt
│   ├── ClipKeptAside        paid and downloaded, but not a playable MP4; a person decides
│   ├── UnknownFailure       failed with an unknown code; a person decides
│   ├── TaskInDoubt          refused, while another run may still have the task accepted: resume later
│   └── TakeFailed           failed, and the allowed attempts are used up
├── CatalogUnreadable        a page about Runware's models is not what was expected: the catalogue stays as it is
├── CutFailed                the finished ad can't be rendered or fails its checks; the clips are safe
├── PrefectUnreachable       no usable reply of Prefect's server: retry
│   └── PrefectMisconfigured it rejects the credentials, or PREFECT_API_URL leads to something else: a person has to act
└── StorageError             the storage can't be read or written
    ├── StorageUnavailable   a temporary failure: a retry helps and costs nothing
    └── BadRecord            a record is truncated, foreign or too new
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import datetime
from typing import ClassVar, Self

from adreel.text import clean_text, is_clean

MAX_MESSAGE_LENGTH = 20_000
"""Maximum characters of a message. It leaves room for a list of problems; foreign text is cut earlier."""


class AdreelError(Exception):
    """Base of all expected errors; the message is written for people."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    """Whether an automatic retry can help."""
    costs: ClassVar[bool] = False
    """Whether a retry may be billed."""

    def __init__(self, message: str = "") -> None:
        # Messages go into records, Prefect's states and terminals, and often quote a server or a file.
        super().__init__(clean_text(message, MAX_MESSAGE_LENGTH))

    def at(self, place: str) -> Self:
        """Return the same error with a place in front of its message."""
        error = copy(self)
        error.args = (clean_text(f"{place}: {self}", MAX_MESSAGE_LENGTH),)
        return error


class InputError(AdreelError):
    """The request is invalid; the message names the parameter and the remedy."""

    code = "input"

    def __init__(self, message: str = "", fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})
        """The reasons by field of the request, where an answer can name them."""


class NotFound(InputError):
    """There is no such session, job, scene or take."""

    code = "notFound"


class SessionDeleted(NotFound):
    """A person has deleted the session, for which nothing was ever sent."""

    code = "deleted"

    def __init__(self, message: str, deleted_at: datetime) -> None:
        super().__init__(message)
        self.deleted_at = deleted_at


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


class NothingChanged(Conflict):
    """Everything that was asked for is bought already as it is described now."""

    code = "nothingChanged"


class SceneMissing(Conflict):
    """A scene has no clip yet, so the finished ad can't be made."""

    code = "sceneMissing"


class RequestInFlight(Conflict):
    """The first request with the same idempotency key is not answered yet: ask again."""

    code = "inFlight"
    retryable = True


class KeyReused(InputError):
    """The idempotency key was used for another request."""

    code = "keyReused"


class AccountError(AdreelError):
    """The account or the settings prevent any purchase until a person acts."""

    code = "account"


class BadKey(AccountError):
    """The provider rejects the key."""

    code = "badKey"


class NoCredits(AccountError):
    """The account has no credits or quota left."""

    code = "noCredits"


class OverBudget(AdreelError):
    """A purchase that a budget has no money for. Nothing was sent; `needed` and `left` are micro-dollars.

    `needed` is None if the price is unknown. With `enough` micro-dollars as the cap of the budget, or as `max_cost`, it
    would go through. `next` are the commands that would, for the command line.
    """

    code = "overBudget"

    def __init__(
        self,
        message: str = "",
        *,
        needed: int | None = None,
        left: int = 0,
        budget: str = "",
        enough: int | None = None,
        commands: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.needed, self.left, self.budget = needed, left, budget
        self.enough, self.next = enough, tuple(commands)


class BuyingStopped(AccountError):
    """The task was not sent, because the account could not buy another one; a resume sends it."""

    code = "buyingStopped"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or "not sent, because the account can't buy at present: resume once that is fixed")


class JobCancelled(AdreelError):
    """A person cancelled the job while its run works on other jobs; `adreel resume` downloads its open clips."""

    code = "cancelled"


class SceneRefused(AdreelError):
    """The provider refuses the scene as described; another description may pass."""

    code = "sceneRefused"


class ProviderError(AdreelError):
    """A temporary failure of the provider or of the connection to it."""

    code = "provider"
    retryable = True


class ProviderUnreachable(ProviderError):
    """No reply in time, or a broken connection: the request may have arrived."""

    code = "providerUnreachable"


class ProviderBusy(ProviderError):
    """The provider asks to retry later."""

    code = "providerBusy"


class StillRendering(ProviderError):
    """The deadline passed during the render: the take stays open, and a resume re-attaches."""

    code = "stillRendering"
    retryable = False


class NoFreeSlot(ProviderError):
    """The concurrency limit had no free slot in time; nothing was bought."""

    code = "noFreeSlot"


class ClipUnavailable(ProviderError):
    """The clip is rendered and paid, but the download failed; downloading again is free."""

    code = "clipUnavailable"


class RenderFailed(ProviderError):
    """The render of an accepted task failed; a new attempt is a new purchase."""

    code = "renderFailed"
    costs = True


class ClipKeptAside(ProviderError):
    """The paid file is in the storage, but it is not a playable MP4. A person decides what to do."""

    code = "keptAside"
    retryable = False


class UnknownFailure(ProviderError):
    """The provider reported an unknown failure code; a person decides whether to buy again."""

    code = "unknownFailure"
    retryable = False


class TaskInDoubt(ProviderError):
    """The task was refused, and another run may still have it accepted: a later resume looks it up."""

    code = "taskInDoubt"
    retryable = False


class TakeFailed(ProviderError):
    """The last attempt failed, and no further one is allowed or can help."""

    code = "takeFailed"
    retryable = False


class CatalogUnreadable(AdreelError):
    """A page about Runware's models can't be read, or is not what was expected; the catalogue stays as it is."""

    code = "catalogUnreadable"


class CutFailed(AdreelError):
    """The finished ad can't be rendered or fails its checks. Nothing was published, and the clips are safe."""

    code = "cutFailed"


class PrefectUnreachable(AdreelError):
    """Prefect's server gave no usable reply; the request may have arrived.

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
    """The storage can't be read or written; afterwards a resume continues without buying again."""

    code = "storage"


class StorageUnavailable(StorageError):
    """The storage does not respond, throttles requests, or is not mounted; a retry can help."""

    code = "storageUnavailable"
    retryable = True


class BadRecord(StorageError):
    """An unreadable record: truncated, foreign, or written by a newer adreel."""

    code = "badRecord"


@contextmanager
def collect_errors(errors: list[AdreelError] | None) -> Iterator[None]:
    """Append an AdreelError of the block to a list, so that one broken record hides no other; with None, raise it."""
    try:
        yield
    except AdreelError as error:
        if errors is None:
            raise
        errors.append(error)


def clean_error(error: Exception) -> Exception:
    """Return an error with a clean message. PostgreSQL refuses states with a NUL, and Prefect retries for minutes."""
    text = str(error)
    return error if is_clean(text) else AdreelError(f"{type(error).__name__}: {clean_text(text)}")

"""adreel buys the four clips of a video ad, each at most once, and stores them.

The names below are the Python API, described in docs/python.md. Each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adreel.errors import (
        AccountError,
        AdreelError,
        InputError,
        JobCancelled,
        NotFound,
        PrefectUnreachable,
        ProviderError,
        SceneRefused,
        StorageError,
    )
    from adreel.flows.in_process import (
        Observer,
        Resumed,
        choose_take,
        generate,
        open_records,
        regenerate,
        resume,
        status,
        takes,
    )
    from adreel.models.api import SessionSummary, State
    from adreel.models.scenarios import Scenario
    from adreel.models.sessions import SceneChanges, SceneDescription, Session, read_session
    from adreel.models.takes import Take
    from adreel.records import Records
    from adreel.records.views import JobView, SceneView
    from adreel.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "AccountError",
    "AdreelError",
    "InputError",
    "JobCancelled",
    "JobView",
    "NotFound",
    "Observer",
    "PrefectUnreachable",
    "ProviderError",
    "Records",
    "Resumed",
    "Scenario",
    "SceneChanges",
    "SceneDescription",
    "SceneRefused",
    "SceneView",
    "Session",
    "SessionSummary",
    "Settings",
    "State",
    "StorageError",
    "Take",
    "choose_take",
    "generate",
    "open_records",
    "read_session",
    "regenerate",
    "resume",
    "status",
    "takes",
]

_NAMES = {
    "errors": "AccountError AdreelError InputError JobCancelled NotFound PrefectUnreachable ProviderError SceneRefused"
    " StorageError",
    "flows.in_process": "Observer Resumed choose_take generate open_records regenerate resume status takes",
    "models.api": "SessionSummary State",
    "models.scenarios": "Scenario",
    "models.sessions": "SceneChanges SceneDescription Session read_session",
    "models.takes": "Take",
    "records": "Records",
    "records.views": "JobView SceneView",
    "settings": "Settings",
}
_MODULES = {name: f"adreel.{module}" for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

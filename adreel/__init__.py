"""adreel buys the four clips of a video ad, each at most once, and stores them.

The names below are the Python API, described in docs/python.md. Each is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adreel.errors import AccountError as AccountError
    from adreel.errors import AdreelError as AdreelError
    from adreel.errors import CatalogUnreadable as CatalogUnreadable
    from adreel.errors import CutFailed as CutFailed
    from adreel.errors import InputError as InputError
    from adreel.errors import JobCancelled as JobCancelled
    from adreel.errors import NotFound as NotFound
    from adreel.errors import OverBudget as OverBudget
    from adreel.errors import PrefectUnreachable as PrefectUnreachable
    from adreel.errors import ProviderError as ProviderError
    from adreel.errors import SceneRefused as SceneRefused
    from adreel.errors import StorageError as StorageError
    from adreel.flows.in_process import Resumed as Resumed
    from adreel.flows.in_process import choose_take as choose_take
    from adreel.flows.in_process import cuts as cuts
    from adreel.flows.in_process import deliver as deliver
    from adreel.flows.in_process import generate as generate
    from adreel.flows.in_process import make_cut as make_cut
    from adreel.flows.in_process import narrate as narrate
    from adreel.flows.in_process import plan as plan
    from adreel.flows.in_process import price as price
    from adreel.flows.in_process import regenerate as regenerate
    from adreel.flows.in_process import resume as resume
    from adreel.flows.in_process import status as status
    from adreel.flows.in_process import stills as stills
    from adreel.flows.in_process import takes as takes
    from adreel.flows.running import Observer as Observer
    from adreel.flows.running import open_records as open_records
    from adreel.models.api import SessionSummary as SessionSummary
    from adreel.models.api import State as State
    from adreel.models.cuts import CutView as CutView
    from adreel.models.deliveries import Manifest as Manifest
    from adreel.models.scenarios import Scenario as Scenario
    from adreel.models.sessions import SceneChanges as SceneChanges
    from adreel.models.sessions import SceneDescription as SceneDescription
    from adreel.models.sessions import Session as Session
    from adreel.models.sessions import read_session as read_session
    from adreel.models.takes import Take as Take
    from adreel.purchase.planning import PlannedScene as PlannedScene
    from adreel.purchase.planning import ScenePrice as ScenePrice
    from adreel.records import Records as Records
    from adreel.records.views import JobView as JobView
    from adreel.records.views import SceneView as SceneView
    from adreel.settings import Settings as Settings

__version__ = "0.1.0"

_NAMES = {
    "errors": "AccountError AdreelError CatalogUnreadable CutFailed InputError JobCancelled NotFound OverBudget"
    " PrefectUnreachable ProviderError SceneRefused StorageError",
    "flows.in_process": "Resumed choose_take cuts deliver generate make_cut narrate plan price regenerate resume"
    " status stills takes",
    "flows.running": "Observer open_records",
    "models.api": "SessionSummary State",
    "models.cuts": "CutView",
    "models.deliveries": "Manifest",
    "models.scenarios": "Scenario",
    "models.sessions": "SceneChanges SceneDescription Session read_session",
    "models.takes": "Take",
    "purchase.planning": "PlannedScene ScenePrice",
    "records": "Records",
    "records.views": "JobView SceneView",
    "settings": "Settings",
}
_MODULES = {name: f"adreel.{module}" for module, names in _NAMES.items() for name in names.split()}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

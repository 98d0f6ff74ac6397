"""Each test gets an empty folder and no settings of the machine; those that ask for it, a real Prefect server."""

import gc
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from adreel.emulator import LocalRunware, clips, in_thread
from adreel.emulator.clips import lines_of
from adreel.records import Records
from adreel.spend import notices
from adreel.storage import Storage
from tests.storage.servers import S3Server, sftp_server

PREFECT_WORKERS = 3


def pytest_configure() -> None:
    """Make property tests repeatable, restore the signals that nohup ignores, and trust one authority only."""
    # `pytest --hypothesis-profile=default` tries other examples in each run.
    hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
    hypothesis.settings.load_profile("repeatable")
    # Each HTTP client reads the authorities that it trusts. The 140 of certifi take longer than a request.
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "fixtures" / "authority.pem")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        # An ignored signal is inherited, a handled one is not.
        signal.signal(signal.SIGHUP, lambda *_: None)
    # Next to nothing that the imports and the collection make is garbage.
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what the collection made out of all later garbage collections."""
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """Run more workers than there are cores, because most tests wait for servers, commands and renders."""
    return min(2 * (os.cpu_count() or 1) + 1, 8)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a file in one worker, and run those that take the longest first: slow ones, those with servers.

    In the fast tier, few workers run the files that need a Prefect server, because each worker starts one of its own.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    fixtures = {item.path: set[str]() for item in items}
    prefect_tests: Counter[Path] = Counter()
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        fixtures[item.path] |= names
        prefect_tests[item.path] += "prefect_server" in names and not item.get_closest_marker("slow")
    groups = {path: str(path.relative_to(config.rootpath)) for path in fixtures}
    # Each of them fills a machine, and their waits are for one that is not filled twice.
    groups |= {path: "many processes" for path in fixtures if path.stem in {"test_chaos", "test_many_machines"}}
    if config.getoption("markexpr") == "not slow":
        loads = dict.fromkeys(range(PREFECT_WORKERS), 0)
        for path, count in prefect_tests.most_common():
            if count:
                number = min(loads, key=loads.__getitem__)
                loads[number] += count
                groups[path] = f"prefect-{number}"

    def quickness(item: pytest.Item) -> tuple[bool, bool, list[bool], str]:
        path = item.path
        servers = [server not in fixtures[path] for server in ("prefect_server", "s3_server")]
        return not groups[path].startswith("prefect"), path not in slow, servers, groups[path]

    items.sort(key=quickness)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    # A command that runs in this process sets variables for its own, such as Prefect's log level.
    earlier = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(earlier)


@pytest.fixture(autouse=True)
def _alone(_own_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("RUNWARE_", "ADREEL_")):
            monkeypatch.delenv(name)
    # Most tests are about purchases, and a cut takes seconds. The tests of cuts remove this.
    monkeypatch.setenv("ADREEL_CUT", "false")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    # A flow of an earlier test would tell Prefect of budgets, and start a server for that.
    monkeypatch.setattr(notices, "_listeners", [*notices._listeners])


@pytest.fixture(autouse=True)
def _small_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    # A request with an image names a resolution. Rendering 720p takes more processor time than the rest of a purchase.
    monkeypatch.setattr(clips, "lines_of", lambda resolution: lines_of(resolution) // 10)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Give a storage in an empty folder on the local disk."""
    return Storage(str(tmp_path / "outputs"))


@pytest.fixture
def records(storage: Storage) -> Records:
    """Give the records of that storage."""
    return Records(storage)


@pytest.fixture
def runware(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRunware]:
    """Run an emulator and point the settings at it: no key, a tiny size, a model that takes any size and duration."""
    with in_thread(render_seconds=0.3, price=0.05) as server:
        monkeypatch.setenv("RUNWARE_URL", server.url)
        monkeypatch.setenv("RUNWARE_API_KEY", "")
        monkeypatch.setenv("ADREEL_MODEL", "bytedance:2@2")
        monkeypatch.setenv("ADREEL_SIZE", "128x72")
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> S3Server:
    """Give the S3 server of the tests, without the faults of an earlier test."""
    s3_server.breaks = s3_server.loses = lambda _request, _environment: False
    s3_server.answers = lambda _request, _environment: None
    return s3_server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Run an S3 server for all tests of a worker."""
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def sftp_options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Run an SFTP server for all tests of a worker and say what leads to it."""
    with sftp_server(tmp_path_factory.mktemp("sftp")) as options:
        yield options


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses of Prefect's client before a retry, which begin with 2 s.

    On SQLite, the server answers 503 if two requests write at once.
    """
    monkeypatch.setattr("prefect.client.base.clamped_poisson_interval", lambda average, _factor: average / 20)


@pytest.fixture
def prefect(prefect_server: str, quick_retries: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point commands and workers at the server of the tests, with all slots free and no run left to do."""
    from prefect.client.orchestration import get_client

    from tests.runs import delete_unfinished_runs
    from tests.slots import reset_limit

    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    with get_client(sync_client=True) as client:
        delete_unfinished_runs(client)
        reset_limit(client)
    return prefect_server


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Prefect's server for all tests of a worker and return its address."""
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from tests.workers import ephemeral_server

    # At its end a flow waits up to a second for the thread of its heartbeat.
    settings = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with (
        ephemeral_server(tmp_path_factory.mktemp("prefect")) as url,
        temporary_settings(updates={PREFECT_API_URL: url, **settings}),
        # Threads of the tests have no settings of their own.
        _temporary_global_settings_context(get_settings_context()),
    ):
        yield url
        # At the end of the process they would wait for a server that has ended.
        APILogWorker.drain_all()
        EventsWorker.drain_all()

"""`adreel deploy` on a real server: what is missing is made, what differs is changed, what operators set stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, GlobalConcurrencyLimitUpdate

from adreel.deployments import deploy as deploying
from adreel.deployments.deploy import deploy, describe_other_file, read_file
from adreel.errors import InputError
from adreel.settings import Settings
from tests.test_cli import adreel
from tests.workers import PREFECT_YAML


@pytest.fixture
def client(prefect: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        yield client


def put(client: SyncPrefectClient) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in deploy(client, Settings()))


def test_a_second_time_changes_nothing(client: SyncPrefectClient) -> None:
    first = put(client)
    names = ["generate-ad/generate-ad", "generate-ad/nightly", "regenerate-scene/regenerate-scene", "resume/resume"]
    assert [first[f"deployment {name}"] for name in names] == ["created"] * 4
    assert {done.partition(",")[0] for done in put(client).values()} == {"unchanged"}


def test_regenerations_are_served_first(client: SyncPrefectClient) -> None:
    put(client)
    queues = {queue.name: queue.priority for queue in client.read_work_queues(work_pool_name="adreel")}
    assert queues["urgent"] < queues["default"]
    regenerate = client.read_deployment_by_name("regenerate-scene/regenerate-scene")
    generate = client.read_deployment_by_name("generate-ad/generate-ad")
    ads = [client.create_flow_run_from_deployment(generate.id, parameters={"session_id": "ad"}).id for _ in range(3)]
    anew = {"session_id": "ad", "scenario": "hook"}
    urgent = client.create_flow_run_from_deployment(regenerate.id, parameters=anew).id
    # What a worker asks for: it takes from the top as far as its limit goes.
    offered = client.get_scheduled_flow_runs_for_work_pool("adreel")
    assert [response.flow_run.id for response in offered] == [urgent, *ads]


def test_what_differs_is_changed_and_named(client: SyncPrefectClient) -> None:
    put(client)
    found = client.read_deployment_by_name("resume/resume")
    client.update_deployment(found.id, DeploymentUpdate(description="something else", tags=[]))
    assert put(client)["deployment resume/resume"] == "changed description, tags"
    assert client.read_deployment_by_name("resume/resume").tags == ["adreel"]


def test_what_an_operator_has_set_stays(client: SyncPrefectClient) -> None:
    put(client)
    limit = client.read_global_concurrency_limit_by_name("runware")
    client.update_global_concurrency_limit("runware", GlobalConcurrencyLimitUpdate(limit=limit.limit + 7))
    nightly = client.read_deployment_by_name("generate-ad/nightly")
    [schedule] = nightly.schedules
    assert not schedule.active
    client.update_deployment_schedule(nightly.id, schedule.id, active=True)
    client.pause_deployment(nightly.id)
    assert put(client)["limit runware"] == f"unchanged, {limit.limit + 7} slots"
    nightly = client.read_deployment_by_name("generate-ad/nightly")
    assert ([schedule.active for schedule in nightly.schedules], nightly.paused) == ([True], True)


def test_adreels_prefect_yaml_in_this_folder_comes_first() -> None:
    described = yaml.safe_load(PREFECT_YAML.read_text())
    assert describe_other_file() == ""
    assert read_file() == described["deployments"]
    Path("prefect.yaml").write_text(yaml.safe_dump({**described, "deployments": described["deployments"][:1]}))
    assert read_file() == described["deployments"][:1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "name: shop\ndeployments: [{name: nightly, entrypoint: 'flows/etl.py:main', work_pool: {name: shop}}]",
            "is of the project 'shop'",
        ),
        ("deployments: []", "names no project"),
        ("name: shop", "is of the project 'shop'"),
        ("{{ templated }}: [", "can't be read"),
        ("- a list", "names no project"),
        ("", "names no project"),
    ],
)
def test_a_prefect_yaml_of_another_project_is_ignored_and_named(text: str, says: str) -> None:
    Path("prefect.yaml").write_text(text)
    assert describe_other_file().startswith(f"{Path.cwd()}/prefect.yaml {says}, so adreel's own file is used")
    assert read_file() == yaml.safe_load(PREFECT_YAML.read_text())["deployments"]


@pytest.mark.parametrize(
    ("deployment", "says"),
    [
        ({"name": "mine", "entrypoint": "flows/mine.py:mine", "work_pool": {"name": "adreel"}}, "'flows/mine.py:mine'"),
        ({"name": "mine", "entrypoint": "adreel.flows.generate_ad.generate_ad"}, "work_pool"),
        ({"name": "mine"}, "entrypoint"),
        ("mine", "."),
    ],
)
def test_a_wrong_deployment_in_this_folder_is_named(deployment: object, says: str) -> None:
    Path("prefect.yaml").write_text(yaml.safe_dump({"name": "adreel", "deployments": [deployment]}))
    with pytest.raises(InputError, match=f"{Path.cwd()}/prefect.yaml: .*{says}"):
        read_file()


@pytest.mark.slow
def test_flows_of_another_project_in_this_folder_are_not_imported(prefect: str) -> None:
    for package in ("flows", "tasks", "deployments"):
        Path(package).mkdir()
        for module in ("__init__", "generate_ad", "generate_scene", "deploy"):
            Path(package, f"{module}.py").write_text("raise SystemExit('imported from the current folder')")
    Path("prefect.yaml").write_text("name: shop\ndeployments: [{name: nightly, entrypoint: flows.etl.main}]")
    for command in ("deploy", "doctor"):
        ran = adreel(command, PREFECT_API_URL=prefect)
        assert "prefect.yaml is of the project 'shop', so adreel's own file is used" in ran.stdout, ran.stderr
        assert ran.stderr == ""
    with get_client(sync_client=True) as client:
        assert "nightly" in {deployment.name for deployment in client.read_deployments()}


def test_without_an_installed_file_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploying, "__file__", str(tmp_path / "elsewhere" / "package" / "deploy.py"))
    with pytest.raises(InputError, match=r"no prefect\.yaml of adreel is installed"):
        read_file()

"""The files for containers and clusters say what is true: by their own schemas, and by what Prefect and adreel know."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import kubernetes_validate
import prefect.settings
import pytest
import yaml
from dotenv import dotenv_values
from prefect.settings import Settings as PrefectSettings
from prefect_redis.cleanup_queue import RedisWorkerCleanupQueueSettings
from prefect_redis.client import RedisMessagingSettings

from adreel import __version__
from adreel.settings import Settings
from tests.containers import COMPOSE, FOLDER, ROOT, Container, containers, filled_in, image
from tests.workers import BIN

CLUSTER = ROOT / "deployments" / "kubernetes"
VARIABLES = {"POSTGRES_PASSWORD": "secret", "PREFECT_AUTH": "adreel:secret", "ADREEL_API_KEYS": "tests:" + "x" * 16}
CONTAINERS = containers(VARIABLES)
OURS = [container for container in CONTAINERS.values() if container.is_ours]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMAGE = f"adreel:{__version__}"
PINNED = re.compile(r"^docker\.io/library/[a-z]+:\d+\.\d+[\w.-]+@sha256:[0-9a-f]{64}$")
QUANTITY = re.compile(r"^\d+(m|Mi|Gi)$")
PROBES = {"startupProbe", "livenessProbe", "readinessProbe"}
# What servers keep in common, by the class that Prefect looks for in each module.
SHARED = {
    "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "Publisher",
    "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "Cache",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "CausalOrdering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "ConcurrencyLeaseStorage",
    "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "WorkerCleanupQueue",
}
OF_THE_API = {"API_KEYS", "CORS_ORIGINS", "REQUESTS_PER_MINUTE", "SIGNED_SECONDS", "TRUSTED_PROXIES", "MAX_BODY_KB"}


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    files = yaml.safe_load((CLUSTER / "kustomization.yaml").read_text())["resources"]
    documents = chain.from_iterable(yaml.safe_load_all((CLUSTER / file).read_text()) for file in files)
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


MANIFESTS = manifests()
PODS = {key: manifest["spec"]["template"] for key, manifest in MANIFESTS.items() if key[0] in {"Deployment", "Job"}}


def ids(container: Container) -> str:
    return container.name


def test_the_containerfile_passes_its_linter() -> None:
    done = subprocess.run([BIN / "hadolint", FOLDER / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_passes_its_schema() -> None:
    command: list[str | Path] = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("key", MANIFESTS, ids="/".join)
def test_each_manifest_passes_the_schema_of_its_kind(key: tuple[str, str]) -> None:
    manifest = MANIFESTS[key]
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    assert manifest["metadata"]["name"]


def test_the_kustomization_names_every_file() -> None:
    named = yaml.safe_load((CLUSTER / "kustomization.yaml").read_text())["resources"]
    assert sorted([*named, "kustomization.yaml"]) == sorted(file.name for file in CLUSTER.iterdir())


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl")
def test_the_kustomization_can_be_built() -> None:
    built = subprocess.run(["kubectl", "kustomize", CLUSTER], capture_output=True, text=True, check=True)
    documents = list(yaml.safe_load_all(built.stdout))
    assert len(documents) == len(MANIFESTS)
    assert {container["image"] for pod in map(pod_of, documents) for container in pod.get("containers", [])} == {IMAGE}


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = document.get("spec", {}).get("template", {}).get("spec", {})
    return pod


def test_every_image_is_of_one_content() -> None:
    theirs = {*image().parent_images, *(found.described["image"] for found in CONTAINERS.values() if not found.is_ours)}
    assert [name for name in theirs if not PINNED.match(name)] == []
    assert {container.described["image"] for container in OURS} == {IMAGE}
    [kustomized] = yaml.safe_load((CLUSTER / "kustomization.yaml").read_text())["images"]
    assert f"{kustomized['newName']}:{kustomized['newTag']}" == IMAGE
    assert {container["image"] for pod in PODS.values() for container in pod["spec"]["containers"]} == {"adreel"}


def test_nothing_runs_as_root_or_may_become_it() -> None:
    user = [line["value"] for line in image().structure if line["instruction"] == "USER"][-1]
    assert int(user.partition(":")[0]) > 0
    for container in CONTAINERS.values():
        described = container.described
        assert container.is_ours or described["user"] not in {"root", "0"}
        assert (described["cap_drop"], described["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    for pod in PODS.values():
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert f"{pod['spec']['securityContext']['runAsUser']}:{pod['spec']['securityContext']['runAsGroup']}" == user
        for container in pod["spec"]["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"]
            assert (rights["allowPrivilegeEscalation"], rights["capabilities"]) == (False, {"drop": ["ALL"]})


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=ids)
def test_each_container_has_a_health_check_or_a_reason(container: Container) -> None:
    assert (container.health_check is None) == bool(container.described.get("x-no-health-check"))


def test_each_pod_has_probes_or_a_reason() -> None:
    for pod in PODS.values():
        [container] = pod["spec"]["containers"]
        reasons = {"adreel/no-probe": PROBES, "adreel/no-liveness": {"livenessProbe"}}
        excused = chain.from_iterable(reasons[name] for name in pod["metadata"].get("annotations", {}))
        assert PROBES & container.keys() == PROBES - set(excused)


def test_what_waits_for_another_container_waits_for_something_that_comes() -> None:
    for container in CONTAINERS.values():
        for name, wait in container.described.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert CONTAINERS[name].health_check
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert CONTAINERS[name].described["restart"] == "on-failure"


@pytest.mark.parametrize("container", OURS, ids=ids)
def test_each_setting_is_known_and_valid(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = {name for name in all_names(container.described["environment"]) if not is_known(name)}
    assert unknown == set()
    for name, value in {**image().envs, **container.environment}.items():
        if name.startswith(("PREFECT_", "ADREEL_")):
            monkeypatch.setenv(name, value)
    PrefectSettings()
    Settings.load()


def all_names(*environments: dict[str, Any]) -> Iterator[str]:
    return (name for names in (*environments, image().envs) for name in names)


def is_known(name: str) -> bool:
    if name.startswith("PREFECT_REDIS_"):
        return name in of_redis()
    if name.startswith("PREFECT_"):
        return hasattr(prefect.settings, name)
    if name.startswith(("ADREEL_", "RUNWARE_")):
        return name in of_adreel()
    return name.startswith("AWS_") or name in {"PATH", "HOME", "PYTHONUNBUFFERED", "DO_NOT_TRACK"}


def of_redis() -> set[str]:
    groups = (RedisMessagingSettings, RedisWorkerCleanupQueueSettings)
    return {f"{group.model_config['env_prefix']}{name}".upper() for group in groups for name in group.model_fields}


def of_adreel() -> set[str]:
    return {(field.alias or name).upper() for name, field in Settings.model_fields.items()}


def test_workers_and_pages_can_be_given_every_setting() -> None:
    of_the_api = {f"ADREEL_{name}" for name in OF_THE_API}
    of_deploy = {"ADREEL_NOTIFY_URL"}
    assert set(CONTAINERS["deploy"].described["environment"]) >= of_deploy
    assert set(CONTAINERS["worker"].described["environment"]) >= of_adreel() - of_the_api - of_deploy
    of_worker = {"RUNWARE_API_KEY", "RUNWARE_URL"}
    assert set(CONTAINERS["serve"].described["environment"]) >= of_adreel() - of_worker - of_deploy


def test_the_servers_share_what_a_lone_server_keeps_in_memory() -> None:
    for name in ("server-a", "server-b", "services"):
        environment = CONTAINERS[name].environment
        for setting, wanted in SHARED.items():
            assert environment[setting].startswith("prefect_redis.")
            assert hasattr(importlib.import_module(environment[setting]), wanted)
        assert environment["PREFECT_SERVER_DOCKET_URL"].startswith("redis://")
        assert environment == CONTAINERS["server-a"].environment


def test_the_cluster_runs_the_commands_of_compose() -> None:
    commands = {tuple(pod["spec"]["containers"][0]["args"]) for pod in PODS.values()}
    assert commands == {tuple(container.command) for container in OURS}


def test_the_cluster_has_the_settings_of_compose() -> None:
    data = MANIFESTS["ConfigMap", "prefect-server"]["data"]
    compose = CONTAINERS["server-a"].environment
    secret = {name for name, value in compose.items() if "://" in value and "http" not in value} | {
        "PREFECT_SERVER_API_AUTH_STRING"
    }
    assert data == {name: value for name, value in compose.items() if name not in secret}
    page = (ROOT / "docs" / "many-machines.md").read_text()
    assert [name for name in secret if name not in page] == []


def test_prefect_wants_credentials_that_have_no_default() -> None:
    described = yaml.safe_load(COMPOSE.read_text())["services"]
    for name, service in described.items():
        environment = service.get("environment", {})
        for setting in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
            assert environment.get(setting) in {None, "${PREFECT_AUTH:?see example.env}"}, name
        # Each service with the API's address, and each server, needs the credentials.
        assert ("PREFECT_API_URL" in environment) == ("PREFECT_API_AUTH_STRING" in environment), name
        assert ("PREFECT_SERVER_API_HOST" in environment) == ("PREFECT_SERVER_API_AUTH_STRING" in environment), name


def test_no_pod_starts_without_its_credentials() -> None:
    clients = ["adreel-deploy", "adreel-recover", "adreel-serve", "adreel-worker"]
    wanted = {
        **dict.fromkeys(["prefect", "prefect-services"], ("prefect-server", "PREFECT_SERVER_API_AUTH_STRING")),
        **dict.fromkeys(clients, ("prefect-client", "PREFECT_API_AUTH_STRING")),
    }
    found = {}
    for (_, name), pod in PODS.items():
        [container] = pod["spec"]["containers"]
        for variable in container.get("env", []):
            reference = variable["valueFrom"]["secretKeyRef"]
            assert (variable["name"], reference.get("optional", False)) == (reference["key"], False)
            found[name] = (reference["name"], reference["key"])
    assert found == wanted
    assert not any(kind == "Secret" for kind, _ in MANIFESTS)
    data = [manifest["data"] for (kind, _), manifest in MANIFESTS.items() if kind == "ConfigMap"]
    assert not any("AUTH_STRING" in name for settings in data for name in settings)


def test_only_the_ui_may_call_prefect_from_a_browser() -> None:
    servers = [CONTAINERS[name].environment for name in ("server-a", "server-b")]
    for environment in (*servers, MANIFESTS["ConfigMap", "prefect-server"]["data"]):
        origins = environment["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]
        assert f"{origins}/api" == environment["PREFECT_SERVER_UI_API_URL"]
        assert "*" not in origins


@pytest.mark.parametrize("page", ["docs/server.md", "docs/operations.md"])
def test_the_pages_about_an_own_server_demand_credentials(page: str) -> None:
    text = (ROOT / page).read_text()
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"):
        assert name in text
    for request in re.findall(r"^.*curl .*PREFECT_API_URL.*$", text, re.MULTILINE):
        assert '-u "$PREFECT_API_AUTH_STRING"' in request


def test_services_and_budgets_find_their_pods() -> None:
    labels = {name: pod["metadata"]["labels"] for (kind, name), pod in PODS.items() if kind == "Deployment"}
    for (kind, name), manifest in MANIFESTS.items():
        if kind == "Service":
            assert manifest["spec"]["selector"] == labels[name]
            [port], [theirs] = manifest["spec"]["ports"], PODS["Deployment", name]["spec"]["containers"][0]["ports"]
            assert (port["targetPort"], port["port"]) == (theirs["name"], theirs["containerPort"])
        if kind in {"PodDisruptionBudget", "Deployment"}:
            assert manifest["spec"]["selector"]["matchLabels"] == labels[name]


def test_pods_ask_for_memory_and_take_no_settings_from_the_names_of_services() -> None:
    for pod in PODS.values():
        assert pod["spec"]["enableServiceLinks"] is False
        [container] = pod["spec"]["containers"]
        assert all(QUANTITY.match(amount) for amount in container["resources"]["requests"].values())


def test_the_example_names_every_variable_and_holds_no_secret() -> None:
    text = (FOLDER / "example.env").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
    assert dotenv_values(FOLDER / "example.env") == dict.fromkeys(asked, "")
    offered = set(re.findall(r"^#(\w+)=", text, re.MULTILINE))
    handed_on = {name for found in OURS for name, value in found.described["environment"].items() if value is None}
    assert offered <= handed_on | set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))


def test_without_its_secrets_compose_does_not_start() -> None:
    with pytest.raises(KeyError, match=r"example\.env"):
        filled_in("${PREFECT_AUTH:?see example.env}", {"PREFECT_AUTH": ""})


def test_the_wheel_holds_what_runs_and_brings_the_deployments_with_it(tmp_path: Path) -> None:
    build = ["hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run([sys.executable, "-m", *build], cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    shutil.unpack_archive(wheel, installed, "zip")
    files = [file for name in ("deployments", "flows", "tasks") for file in (installed / "adreel" / name).rglob("*.*")]
    assert [path.name for path in installed.iterdir() if path.suffix != ".dist-info"] == ["adreel"]
    assert [file.name for file in files if file.suffix != ".py"] == ["prefect.yaml"]
    ask = "import json; from adreel.deployments.deploy import read_file; print(json.dumps(read_file()))"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    asked = subprocess.run([sys.executable, "-P", "-c", ask], env=environment, capture_output=True, check=True)
    assert json.loads(asked.stdout) == yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]

"""The use cases without HTTP: what they load, and how their errors name the fields of a request."""

import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from adreel.errors import InputError, KeyReused, NotFound, SceneMissing, SessionExists
from adreel.models.api import ScenePatch, SessionCreate, VideoGenerationRequest
from adreel.models.cut_settings import CutOptions
from adreel.models.scenarios import Scenario
from adreel.orchestration.runs import Run, Runs
from adreel.records import Records
from adreel.service import Service
from adreel.settings import Settings
from tests.cut.stored_ads import store_ad
from tests.factories import make_session, session_data
from tests.storyboard.conftest import Orders


@pytest.fixture
def service(records: Records) -> Service:
    return Service(records, Settings(), cast(Runs, Orders()))


def test_the_service_loads_neither_prefect_nor_a_web_framework() -> None:
    code = "import sys, adreel.service; print({'prefect', 'fastapi', 'starlette', 'av'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_one_key_creates_one_session(service: Service) -> None:
    data = session_data()
    data.pop("session_id", None)
    first, again = (service.create_session(SessionCreate(**data), key="api-0123") for _ in range(2))
    assert first.session_id == again.session_id == "ad-0123"
    with pytest.raises(KeyReused) as error:
        service.create_session(SessionCreate(**data | {"product_name": "Tent"}), key="api-0123")
    assert list(error.value.fields) == ["Idempotency-Key"]


async def test_one_key_starts_one_run(service: Service, records: Records) -> None:
    records.save_session(make_session())
    request = VideoGenerationRequest(session_id="ad")
    runs = [await service.generate(request, key="api-1") for _ in range(2)]
    assert runs[0] == runs[1]
    with pytest.raises(KeyReused):
        await service.generate(VideoGenerationRequest(session_id="ad", scenarios=[Scenario.HOOK]), key="api-1")


async def test_errors_name_the_field(service: Service, records: Records) -> None:
    with pytest.raises(NotFound) as missing:
        await service.generate(VideoGenerationRequest(session_id="nothing"))
    assert list(missing.value.fields) == ["session_id"]
    scenes = make_session().model_dump()["scene_descriptions"][:3]
    records.save_session(make_session(scene_descriptions=scenes))
    with pytest.raises(NotFound) as undescribed:
        service.change_scene("ad", Scenario.CTA, ScenePatch(seed=7))
    assert list(undescribed.value.fields) == ["scenario"]
    with pytest.raises(SessionExists) as taken:
        service.create_session(SessionCreate(**session_data(session_id="ad")))
    assert list(taken.value.fields) == ["session_id"]


async def test_a_cut_is_started_once_and_only_if_it_can_be_made(
    service: Service, records: Records, tmp_path: Path
) -> None:
    with pytest.raises(NotFound) as unknown:
        await service.cut("ad", CutOptions())
    assert list(unknown.value.fields) == ["session_id"]
    store_ad(records, tmp_path, scenarios=[Scenario.HOOK])
    with pytest.raises(SceneMissing, match="has no clip of problem, solution, cta"):
        await service.cut("ad", CutOptions())
    options = CutOptions(allow_missing=True, formats=("9:16",), captions=False)
    first, again = [await service.cut("ad", options, key="api-2") for _ in range(2)]
    assert first == again
    assert isinstance(first, Run)
    assert first.parameters == {"session_id": "ad", "formats": ["9:16"], "captions": False, "allow_missing": True}
    assert service.cuts("ad").cuts == []


def test_a_remote_session_names_no_files_for_its_cut(service: Service) -> None:
    with pytest.raises(InputError, match=r"cut.music.file '/etc/passwd' is a file") as error:
        service.create_session(SessionCreate(**session_data(cut={"music": {"file": "/etc/passwd"}})))
    assert list(error.value.fields) == ["cut.music.file"]

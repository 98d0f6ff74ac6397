"""The marks of generated media: XMP in every file, and a signed C2PA manifest where there is a certificate."""

import asyncio
import json
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from adreel.cut.making import make_cut
from adreel.cut.planning import plan_cut
from adreel.cut.render.process import describe
from adreel.cut.signing import CLIPS, Signer, find_signer
from adreel.errors import InputError
from adreel.models.cuts import Cut
from adreel.models.scenarios import Scenario
from adreel.records import Records
from adreel.records.verification import verify
from adreel.records.views import cut_views
from adreel.settings import Settings
from tests.cut.certificates import Key, write_signer
from tests.cut.measuring import ffmpeg
from tests.cut.sounds import sine, words
from tests.cut.stored_ads import FRAMES, store_ad, store_music, store_voice

needs_c2pa = pytest.mark.skipif(find_spec("c2pa") is None, reason="c2pa-python (the extra c2pa) is not installed")
TERM = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PLAIN: dict[str, Any] = {"cut": {"captions": False}}


async def make(records: Records, signer: Signer | None = None) -> Cut:
    return await make_cut(records, await asyncio.to_thread(plan_cut, records, "ad", None, signer))


def metadata_of(file: str | Path) -> str:
    return ffmpeg("-v", "error", "-export_xmp", "1", "-i", file, "-f", "ffmetadata", "-")[0].decode()


def settings_with(certificates: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("ADREEL_C2PA_CERT", str(certificates))
    monkeypatch.setenv("ADREEL_C2PA_KEY", str(key))
    return Settings.load()


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Signer:
    found = find_signer(settings_with(*write_signer(tmp_path), monkeypatch))
    assert found is not None
    return found


async def test_another_program_reads_the_mark_of_every_file(records: Records, tmp_path: Path) -> None:
    store_ad(records, tmp_path, **PLAIN)
    [file] = (await make(records)).files
    assert f'DigitalSourceType\\="{TERM}"' in metadata_of(records.storage.location(file.file))


@needs_c2pa
async def test_a_signed_manifest_names_the_clips(records: Records, tmp_path: Path, signer: Signer) -> None:
    store_ad(records, tmp_path, **PLAIN)
    unsigned = await make(records)
    cut = await make(records, signer)
    assert cut.cut_id != unsigned.cut_id
    assert cut.segments == unsigned.segments
    assert await make(records, signer) == cut
    assert verify(records) == []
    assert [view.state for view in cut_views(records, "ad")] == ["current", "current"]
    path = Path(records.storage.location(cut.files[0].file))
    with import_module("c2pa").Reader(str(path)) as reader:
        assert reader.get_validation_state() == "Valid"
        manifest = json.loads(reader.json())["manifests"][reader.get_active_manifest()["label"]]
    assert manifest["signature_info"]["common_name"] == "signer"
    assertions = {each["label"]: each["data"] for each in manifest["assertions"]}
    assert assertions["c2pa.actions.v2"]["actions"] == [{"action": "c2pa.created", "digitalSourceType": TERM}]
    takes = plan_cut(records, "ad").recipe.takes
    assert assertions[CLIPS]["clips"] == [
        {
            "scenario": take.scenario,
            "sha256": clip.sha256,
            "model": take.request.model,
            "created_at": take.created_at.isoformat(timespec="seconds"),
        }
        for take, clip in zip(takes, cut.inputs, strict=True)
    ]
    # It is the same film, with its index and its mark in their places.
    [facts] = await describe([path])
    assert (facts.index_first, cut.files[0].frames) == (True, FRAMES)
    assert f'DigitalSourceType\\="{TERM}"' in metadata_of(path)


@needs_c2pa
async def test_a_signed_manifest_names_the_bought_sound(records: Records, tmp_path: Path, signer: Signer) -> None:
    store_ad(records, tmp_path, **PLAIN)
    store_voice(records, tmp_path, Scenario.CTA, words(1))
    store_music(records, tmp_path, sine(1, -20))
    cut = await make(records, signer)
    with import_module("c2pa").Reader(records.storage.location(cut.files[0].file)) as reader:
        manifest = json.loads(reader.json())["manifests"][reader.get_active_manifest()["label"]]
    [clips] = [each["data"]["clips"] for each in manifest["assertions"] if each["label"] == CLIPS]
    assert [(each["scenario"], each["sha256"]) for each in clips[4:]] == [
        (each.part, each.sha256) for each in cut.additions
    ]
    assert [each.part for each in cut.additions] == ["voice-cta", "music"]


@needs_c2pa
@pytest.mark.parametrize(
    "make_key",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
    ids=["P-384", "RSA", "Ed25519"],
)
def test_keys_of_other_kinds_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_key: Callable[[], Key]) -> None:
    assert find_signer(settings_with(*write_signer(tmp_path, make_key()), monkeypatch)) is not None


@needs_c2pa
def test_a_key_of_another_certificate_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates, _ = write_signer(tmp_path)
    (tmp_path / "other").mkdir()
    _, other = write_signer(tmp_path / "other")
    with pytest.raises(InputError, match="ADREEL_C2PA_CERT and ADREEL_C2PA_KEY can't sign: "):
        find_signer(settings_with(certificates, other, monkeypatch))
    with pytest.raises(InputError, match="ADREEL_C2PA_KEY is not a private key in PEM"):
        find_signer(settings_with(certificates, certificates, monkeypatch))
    with pytest.raises(InputError, match=r"ADREEL_C2PA_CERT: can't read .*gone.pem"):
        find_signer(settings_with(tmp_path / "gone.pem", other, monkeypatch))


def test_the_settings_belong_together_and_need_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_signer(Settings.load()) is None
    settings = settings_with(*write_signer(tmp_path), monkeypatch)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(InputError, match=r"ADREEL_C2PA_CERT is set: for that, pip install 'adreel\[c2pa\]'"):
        find_signer(settings)
    monkeypatch.delenv("ADREEL_C2PA_KEY")
    with pytest.raises(InputError, match="set both or none"):
        find_signer(Settings.load())

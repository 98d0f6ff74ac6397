"""Content Credentials: a signed C2PA manifest in each finished file, that names the bought files it was made of."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from adreel.cut.render.marks import source_type
from adreel.errors import CutFailed, InputError
from adreel.models.takes import Take
from adreel.settings import Settings

CLIPS = "org.adreel.clips"
"""Label of the assertion that names the clips, the bought voices and the bought music."""
CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Signer:
    """A certificate chain with its key, as PEM."""

    certificates: bytes
    key: bytes = field(repr=False)
    algorithm: str

    @property
    def name(self) -> str:
        """What tells files of this signer from others: the start of the digest of its certificates."""
        return f"c2pa-{hashlib.sha256(self.certificates).hexdigest()[:8]}"

    def sign(self, file: Path, takes: Sequence[Take], *, title: str, composite: bool) -> None:
        """Sign an MP4 file in its place; CutFailed if that fails."""
        signed = file.with_name(f"{file.name}.signed")
        try:
            with file.open("rb") as source, signed.open("w+b") as target:
                self._sign("video/mp4", source, target, _manifest(takes, title, composite=composite))
            with _c2pa().Reader(str(signed)) as reader:
                if reader.get_validation_state() == "Invalid":
                    raise CutFailed("signing failed: the signature does not fit the file")
        except _c2pa().C2paError as error:
            raise CutFailed(f"signing failed: {error}") from error
        signed.replace(file)

    def check(self) -> None:
        """Sign a picture on trial; InputError if the certificate or the key is unusable."""
        from PIL import Image  # noqa: PLC0415 - only signers need it

        picture = io.BytesIO()
        Image.new("RGB", (8, 8)).save(picture, "PNG")
        picture.seek(0)
        try:
            self._sign("image/png", picture, io.BytesIO(), _manifest([], "", composite=False))
        except _c2pa().C2paError as error:
            raise InputError(
                f"ADREEL_C2PA_CERT and ADREEL_C2PA_KEY can't sign: {error}; the certificate has to come first in its"
                " file, before those of its issuers, and must allow signing"
            ) from None

    def _sign(self, kind: str, source: Any, target: Any, manifest: Mapping[str, Any]) -> None:
        c2pa = _c2pa()
        # Without a time stamp authority: signing needs no network.
        info = c2pa.C2paSignerInfo(self.algorithm, self.certificates, self.key, None)
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(manifest)) as builder:
            builder.sign(signer, kind, source, target)


def find_signer(settings: Settings) -> Signer | None:
    """Return the signer of the settings, None without one; InputError if it is unusable."""
    if settings.c2pa_cert is None and settings.c2pa_key is None:
        return None
    if settings.c2pa_cert is None or settings.c2pa_key is None:
        raise InputError("ADREEL_C2PA_CERT and ADREEL_C2PA_KEY belong together: set both or none")
    _c2pa()
    certificates = _read("ADREEL_C2PA_CERT", settings.c2pa_cert)
    key = _read("ADREEL_C2PA_KEY", settings.c2pa_key)
    signer = Signer(certificates, key, _algorithm(key))
    signer.check()
    return signer


def _manifest(takes: Sequence[Take], title: str, *, composite: bool) -> dict[str, Any]:
    clips = [
        {
            "scenario": take.scenario.value,
            "sha256": take.clip.sha256,
            "model": take.request.model,
            "created_at": take.created_at.astimezone(UTC).isoformat(timespec="seconds"),
        }
        for take in takes
        if take.clip
    ]
    created = {"action": "c2pa.created", "digitalSourceType": source_type(composite=composite)}
    return {
        "claim_generator_info": [{"name": "adreel", "version": version("adreel")}],
        "title": title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": CLIPS, "data": {"clips": clips}},
        ],
    }


def _c2pa() -> Any:
    try:
        return import_module("c2pa")
    except ImportError:
        raise InputError("ADREEL_C2PA_CERT is set: for that, pip install 'adreel[c2pa]'") from None


def _read(setting: str, file: Path) -> bytes:
    try:
        return file.expanduser().read_bytes()
    except OSError as error:
        raise InputError(f"{setting}: can't read {str(file)!r}: {error.strerror or error}") from None


def _algorithm(key: bytes) -> str:
    """Return C2PA's name of the algorithm that fits a private key."""
    # c2pa-python depends on it.
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError):
        raise InputError("ADREEL_C2PA_KEY is not a private key in PEM without a password") from None
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in CURVES:
        return CURVES[private.curve.name]
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise InputError("ADREEL_C2PA_KEY is a key of a kind that C2PA does not have: use P-256, P-384, RSA or Ed25519")

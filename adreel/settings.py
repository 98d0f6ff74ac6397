"""Everything that can be set, read from the environment and a `.env` file."""

import json
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adreel.errors import InputError
from adreel.sessions import ID_PATTERN, SIZE_PATTERN

RUNWARE_URL = "wss://ws-api.runware.ai/v1"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Settings(BaseSettings):
    """The settings of one process; `Settings.load()` turns a wrong one into an InputError."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    runware_api_key: SecretStr | None = Field(
        None, description="Runware's key. Without it the local Runware renders: real files, no money"
    )
    runware_url: str | None = Field(
        None, pattern=r"^wss?://", description=f"WebSocket address of the provider; with a key {RUNWARE_URL}"
    )
    storage: str = Field(
        "./outputs", min_length=1, alias="ADREEL_STORAGE", description="Where clips and records live: any fsspec URL"
    )
    storage_options: SecretStr = Field(
        SecretStr("{}"),
        alias="ADREEL_STORAGE_OPTIONS",
        description='What the storage\'s file system takes, as JSON: {"endpoint_url": "https://..."}; docs/storage.md',
    )
    model: str = Field("klingai:6@1", alias="ADREEL_MODEL", description="Video model for scenes that name none")
    size: str = Field(
        "1280x720", pattern=SIZE_PATTERN, alias="ADREEL_SIZE", description="WIDTHxHEIGHT for scenes that name none"
    )
    concurrency: int = Field(
        4, ge=1, alias="ADREEL_CONCURRENCY", description="Slots of the limit `runware`: scenes in flight at once"
    )
    deadline: float = Field(
        900,
        gt=0,
        allow_inf_nan=False,
        alias="ADREEL_DEADLINE",
        description="Seconds to wait for one clip; then it stays open to resume",
    )
    attempts: int = Field(
        2, ge=1, le=10, alias="ADREEL_ATTEMPTS", description="Runware tasks that one take may cost at most"
    )
    download_hosts: Annotated[list[str], NoDecode] = Field(
        ["runware.ai"],
        alias="ADREEL_DOWNLOAD_HOSTS",
        description="Hosts that clips may be fetched from, with their subdomains; comma-separated",
    )
    max_clip_mb: float = Field(
        500, gt=0, allow_inf_nan=False, alias="ADREEL_MAX_CLIP_MB", description="Largest clip that is fetched, in MB"
    )
    local_render_seconds: float = Field(
        6,
        ge=0,
        allow_inf_nan=False,
        alias="ADREEL_LOCAL_RENDER_SECONDS",
        description="Render time of the built-in local Runware",
    )
    local_faults: Annotated[list[str], NoDecode] = Field(
        [],
        alias="ADREEL_LOCAL_FAULTS",
        description="Faults of the built-in local Runware, such as providerTimeout:solution; comma-separated",
    )
    api_keys: Annotated[dict[str, SecretStr], NoDecode] = Field(
        {},
        alias="ADREEL_API_KEYS",
        description="Keys of the HTTP API as name:key,name:key, each of 16 characters or more; none: loopback only",
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        [],
        alias="ADREEL_CORS_ORIGINS",
        description="Origins whose pages may call the HTTP API, such as https://shop.example; comma-separated",
    )
    requests_per_minute: int = Field(
        6000, ge=1, alias="ADREEL_REQUESTS_PER_MINUTE", description="Requests to the HTTP API per key"
    )
    signed_seconds: int = Field(
        0,
        ge=0,
        le=7 * 24 * 3600,
        alias="ADREEL_SIGNED_SECONDS",
        description="Lead clients to the object store's own URLs, good for so long; 0 serves the clips itself",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://",
        alias="ADREEL_PUBLIC_URL",
        description="Where browsers find `adreel serve`, such as https://ads.example: Prefect's UI links to the clips",
    )
    max_body_kb: int = Field(
        512, ge=1, alias="ADREEL_MAX_BODY_KB", description="Largest body of a request to the HTTP API, in KB"
    )

    notify_url: SecretStr | None = Field(
        None,
        alias="ADREEL_NOTIFY_URL",
        description="Webhook that `adreel deploy` has told of runs that end badly, as JSON: http:// or https://",
    )

    @field_validator("runware_api_key", "runware_url", "public_url", "notify_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        # An empty variable has to win over a `.env`: it is how one makes sure that nothing is spent.
        return None if value == "" else value

    @field_validator("storage_options")
    @classmethod
    def _is_object(cls, value: SecretStr) -> SecretStr:
        try:
            found = json.loads(value.get_secret_value())
        except ValueError as error:
            raise ValueError(f"it is no JSON: {error}") from None
        if not isinstance(found, dict):
            raise ValueError('it has to be a JSON object, such as {"endpoint_url": "https://..."}')  # noqa: TRY004 - pydantic takes no other
        return value

    @field_validator("notify_url")
    @classmethod
    def _is_web_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.match(r"https?://[^/]", value.get_secret_value()):
            raise ValueError("it has to begin with http:// or https://")
        return value

    @field_validator("runware_url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            urlsplit(value)
        return value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _named_keys(cls, value: object) -> object:
        return parse_api_keys(value) if isinstance(value, str) else value

    @field_validator("download_hosts", "local_faults", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("download_hosts")
    @classmethod
    def _lower_case(cls, hosts: list[str]) -> list[str]:
        return [host.lower() for host in hosts]

    @classmethod
    def load(cls) -> "Settings":
        """Read the settings; InputError names each variable that is wrong."""
        try:
            settings = cls()
        except ValidationError as error:
            reasons = [f"{_variable(item['loc'])}: {item['msg']}" for item in error.errors()]
            raise InputError("; ".join(reasons)) from None
        except UnicodeDecodeError as error:
            raise InputError(f".env is no UTF-8 text: {error}") from None
        if "runware_api_key" in settings.model_fields_set:
            settings.check_provider()
        return settings

    @property
    def file_system_options(self) -> dict[str, Any]:
        """What the storage's file system takes, secrets included."""
        options: dict[str, Any] = json.loads(self.storage_options.get_secret_value())
        return options

    @property
    def is_storage_of_process(self) -> bool:
        """Whether the storage is another one for each process: in its memory, or relative to its folder."""
        return self.storage.startswith("memory:") or not ("://" in self.storage or Path(self.storage).is_absolute())

    @property
    def absolute_storage(self) -> str:
        """The storage, by a name that means the same in every folder."""
        return str(Path(self.storage).absolute()) if self.is_storage_of_process else self.storage

    @property
    def is_local(self) -> bool:
        """Whether nothing can be spent: no key, so only a local Runware is spoken to."""
        return self.runware_api_key is None

    @property
    def provider_url(self) -> str | None:
        """The WebSocket address to use; None asks for the built-in local Runware."""
        self.check_provider()
        return self.runware_url if self.is_local else self.runware_url or RUNWARE_URL

    def check_provider(self) -> None:
        """Raise InputError if an address wants a key and there is none, or would get it in clear text."""
        if not self.runware_url or is_loopback(self.runware_url):
            return
        if not self.runware_url.startswith("wss://"):
            raise InputError(f"RUNWARE_URL is {self.runware_url}: only wss:// keeps the key secret on its way")
        if self.is_local:
            raise InputError(f"RUNWARE_URL is {self.runware_url}, but RUNWARE_API_KEY is not set: set both or none")

    def openable(self, path: str | None) -> str | None:
        """Return the address at which a browser opens a path of `adreel serve`, if that address is known."""
        return f"{self.public_url.rstrip('/')}{path}" if self.public_url and path else None

    @property
    def key(self) -> str:
        """The key to authenticate with; the local Runware takes any."""
        return self.runware_api_key.get_secret_value() if self.runware_api_key else "local"


def parse_api_keys(text: str) -> dict[str, str]:
    """Read `name:key,name:key`; ValueError names what is wrong, and no key."""
    pairs = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    names = [name.strip() for name, _, _ in pairs]
    for name, (_, _, key) in zip(names, pairs, strict=True):
        if not key:
            raise ValueError("each key needs a name for the log: name:key, comma-separated")
        if not re.fullmatch(ID_PATTERN, name) or names.count(name) > 1:
            raise ValueError("each name is letters, digits, '-' and '_', and is given once")
        if not re.fullmatch(r"[!-~]{16,}", key.strip()):
            raise ValueError(f"the key of {name!r} needs at least 16 visible ASCII characters")
    return {name: key.strip() for name, (_, _, key) in zip(names, pairs, strict=True)}


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    return name if name.isupper() else name.upper()

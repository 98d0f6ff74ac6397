"""The settings of a process, read from the environment and a `.env` file."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from adreel.errors import InputError
from adreel.settings import values
from adreel.settings.env_file import read_env_file, share_with_storages
from adreel.settings.paths import storage_place
from adreel.settings.proxies import LOOPBACK_HOSTS

RUNWARE_URL = "wss://ws-api.runware.ai/v1"
KEPT_EMPTY = {"runware_api_key", "ADREEL_STORAGE"}
LOOPBACK = frozenset(LOOPBACK_HOSTS)


class Settings(BaseSettings):
    """All settings; `Settings.load()` raises InputError for an invalid one."""

    # The variable of `model` is ADREEL_MODEL. Those of the provider have no prefix.
    model_config = SettingsConfigDict(
        extra="ignore", alias_generator=lambda name: name if name.startswith("runware_") else f"ADREEL_{name.upper()}"
    )

    runware_api_key: Annotated[SecretStr, AfterValidator(values.secret_key)] | None = Field(
        None, description="API key of Runware. Without it, the emulator renders: real files, no cost"
    )
    runware_url: Annotated[str, Field(pattern=r"^wss?://"), AfterValidator(values.parsed_address)] | None = Field(
        None, description=f"WebSocket address of the provider; {RUNWARE_URL} if a key is set"
    )
    storage: Annotated[str, AfterValidator(storage_place)] = Field(
        "./outputs", description="Storage of clips and records: a folder, or any fsspec URL"
    )
    storage_options: Annotated[SecretStr, AfterValidator(values.json_object)] = Field(
        SecretStr("{}"),
        description='Options of the storage\'s file system, as JSON: {"endpoint_url": "https://..."}; docs/storage.md',
    )
    storage_id: str | None = Field(
        None, description="Expected id in the storage's adreel-storage.json; another id, or none, is an error"
    )
    model: str = Field("klingai:kling-video@3-standard", description="Video model of scenes without their own")
    voice_model: str = Field("inworld:tts@2", description="Speech model of narrations; `adreel voices` lists them")
    music_model: str = Field(
        "runware:ace-step@v1.5-base", description="Music model of ads; `adreel voices --music` lists them"
    )
    still_model: str = Field("runware:400@2", description="Image model of stills")
    size: Annotated[str, AfterValidator(values.clip_size)] | None = Field(
        None, description="WIDTHxHEIGHT of scenes that name neither a size nor an aspect nor a resolution"
    )
    catalog: Literal["checked", "unchecked"] = Field(
        "checked", description="`unchecked` sends requests that the catalogue of models advises against"
    )
    catalog_url: Annotated[str, AfterValidator(values.catalog_address)] | None = Field(
        None, description="Base address of the pages that `adreel models refresh` reads, by default Runware's"
    )
    concurrency: int = Field(4, ge=1, description="Scenes in flight at once: slots of the limit `runware`")
    cut: bool = Field(True, description="Make the finished ad at the end of `generate` and of each ad of a campaign")
    c2pa_cert: Path | None = Field(
        None, description="File with the certificates (PEM) that sign finished ads by C2PA; with ADREEL_C2PA_KEY"
    )
    c2pa_key: Path | None = Field(None, description="File with the private key (PEM) of ADREEL_C2PA_CERT")
    deadline: float = Field(
        900, gt=0, allow_inf_nan=False, description="Seconds to wait for one clip; afterwards a resume can download it"
    )
    attempts: int = Field(2, ge=1, le=10, description="Maximum number of Runware tasks per take")
    download_hosts: Annotated[list[Annotated[str, AfterValidator(values.host)]], NoDecode] = Field(
        ["runware.ai"], description="Hosts that clips may be downloaded from, including subdomains; comma-separated"
    )
    max_clip_mb: float = Field(500, gt=0, allow_inf_nan=False, description="Maximum size of a clip, in MB")
    local_render_seconds: float = Field(6, ge=0, allow_inf_nan=False, description="Render time of the emulator")
    local_faults: Annotated[list[str], NoDecode] = Field(
        [], description="Faults of the emulator, such as providerTimeout:solution; comma-separated"
    )
    api_keys: Annotated[dict[str, SecretStr], NoDecode] = Field(
        {},
        description="Keys of the HTTP API as name:key,name/view:key, 16 characters or more each; none: loopback only",
    )
    cors_origins: Annotated[list[Annotated[str, AfterValidator(values.origin)]], NoDecode] = Field(
        [], description="Origins whose pages may call the HTTP API, such as https://shop.example; comma-separated"
    )
    trusted_proxies: Annotated[list[Annotated[str, AfterValidator(values.network)]], NoDecode] = Field(
        ["127.0.0.1", "::1"],
        description="Proxies (addresses, networks) that may set X-Forwarded-For and X-Forwarded-Proto; comma-separated",
    )
    requests_per_minute: int = Field(6000, ge=1, description="Requests to the HTTP API per key")
    signed_seconds: int = Field(
        0,
        ge=0,
        le=7 * 24 * 3600,
        description="Validity of the signed URLs that clients are redirected to; 0 serves the clips directly",
    )
    public_url: Annotated[str, Field(pattern=r"^https?://"), AfterValidator(values.public_address)] | None = Field(
        None,
        description="Public address of `adreel serve`, such as https://ads.example, for links to clips in Prefect's UI",
    )
    max_body_kb: int = Field(512, ge=1, description="Maximum size of a request body of the HTTP API, in KB")
    notify_url: Annotated[SecretStr, AfterValidator(values.web_address)] | None = Field(
        None,
        description="Webhook (http:// or https://) for JSON about failed runs and budgets, set up by `adreel deploy`,"
        " and about what guests say",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read `.env` with the parser for workers and storages, and export the variables of storage libraries."""
        variables = read_env_file()
        share_with_storages(variables)
        given = {name.upper(): value for name, value in variables.items()}
        aliases = [field.alias or name for name, field in settings_cls.model_fields.items()]
        of_file = {alias: given[alias.upper()] for alias in aliases if alias.upper() in given}
        return init_settings, env_settings, InitSettingsSource(settings_cls, of_file)

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Strip the values. An empty variable selects the default, even if `.env` has a value."""
        stripped = {name: value.strip() if isinstance(value, str) else value for name, value in given.items()}
        # The default storage would lose clips in a container, and an empty key forbids spending.
        return {name: value for name, value in stripped.items() if value != "" or name in KEPT_EMPTY}

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_in_quotes(cls, value: object) -> object:
        if isinstance(value, str) and re.fullmatch(values.IN_QUOTES, value):
            raise ValueError("its quotes would be part of the value: remove them")
        return value

    @field_validator("runware_api_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _named_keys(cls, value: object) -> object:
        return values.api_keys(value) if isinstance(value, str) else value

    @field_validator("download_hosts", "local_faults", "cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @classmethod
    def load(cls) -> "Settings":
        """Read the settings; InputError names each invalid variable."""
        try:
            settings = cls()
        except ValidationError as error:
            # A location is the alias of a field, else its name.
            reasons = [
                f"{str(item['loc'][0]).upper()}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()
            ]
            raise InputError("; ".join(reasons)) from None
        if "runware_api_key" in settings.model_fields_set:
            settings.check_provider()
        return settings

    @property
    def file_system_options(self) -> dict[str, Any]:
        """Options of the storage's file system, secrets included."""
        options: dict[str, Any] = json.loads(self.storage_options.get_secret_value())
        return options

    @property
    def is_process_local_storage(self) -> bool:
        """Whether the storage differs between processes: in memory, or relative to the current folder."""
        return self.storage.startswith("memory:") or not ("://" in self.storage or Path(self.storage).is_absolute())

    @property
    def absolute_storage(self) -> str:
        """The storage with a local path made absolute."""
        return str(Path(self.storage).absolute()) if self.is_process_local_storage else self.storage

    @property
    def is_local(self) -> bool:
        """Whether nothing can be spent: without a key, only the emulator is used."""
        return self.runware_api_key is None

    @property
    def provider_url(self) -> str | None:
        """The WebSocket address to use; None selects the emulator."""
        self.check_provider()
        return self.runware_url if self.is_local else self.runware_url or RUNWARE_URL

    def check_provider(self) -> None:
        """Raise InputError if the provider's address needs a key and there is none, or would get it unencrypted."""
        if not self.runware_url or is_loopback(self.runware_url):
            return
        if not self.runware_url.startswith("wss://"):
            raise InputError(f"RUNWARE_URL is {self.runware_url}: only wss:// encrypts the key")
        if self.is_local:
            raise InputError(f"RUNWARE_URL is {self.runware_url}, but RUNWARE_API_KEY is not set: set both or none")

    def public_link(self, path: str | None) -> str | None:
        """Return the public URL of a path of `adreel serve`, if ADREEL_PUBLIC_URL is set."""
        return f"{self.public_url.rstrip('/')}{path}" if self.public_url and path else None

    def with_key(self, key: str, origin: str) -> "Settings":
        """Return these settings with a key from elsewhere; InputError names the origin of an invalid key."""
        try:
            return self.model_copy(update={"runware_api_key": SecretStr(values.checked_key(key.strip()))})
        except ValueError as error:
            raise InputError(f"{origin}: {error}") from None

    @property
    def key(self) -> str:
        """The key to authenticate with; the emulator accepts any."""
        return self.runware_api_key.get_secret_value() if self.runware_api_key else "local"


def is_loopback(url: str) -> bool:
    """Whether a URL points to this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK

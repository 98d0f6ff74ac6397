"""The settings of a process, read from the environment and a `.env` file."""

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from adreel.errors import InputError
from adreel.models.documents import SIZE_ADVICE, read_json
from adreel.models.sessions import ID_PATTERN, SIZE_PATTERN
from adreel.settings.env_file import read_env_file, share_with_storages
from adreel.settings.paths import storage_place
from adreel.settings.proxies import LOOPBACK_HOSTS

RUNWARE_URL = "wss://ws-api.runware.ai/v1"
KEPT_EMPTY = {"runware_api_key", "ADREEL_STORAGE"}
IN_QUOTES = re.compile(r"""(["']).*\1""", re.DOTALL)
HOST_PATTERN = re.compile(r"[\w-]+(\.[\w-]+)*")
LOOPBACK = frozenset(LOOPBACK_HOSTS)


class Settings(BaseSettings):
    """All settings; `Settings.load()` raises InputError for an invalid one."""

    # The variable of `model` is ADREEL_MODEL. Those of the provider have no prefix.
    model_config = SettingsConfigDict(
        extra="ignore", alias_generator=lambda name: name if name.startswith("runware_") else f"ADREEL_{name.upper()}"
    )

    runware_api_key: SecretStr | None = Field(
        None, description="API key of Runware. Without it, the emulator renders: real files, no cost"
    )
    runware_url: str | None = Field(
        None, pattern=r"^wss?://", description=f"WebSocket address of the provider; {RUNWARE_URL} if a key is set"
    )
    storage: Annotated[str, AfterValidator(storage_place)] = Field(
        "./outputs", description="Storage of clips and records: a folder, or any fsspec URL"
    )
    storage_options: SecretStr = Field(
        SecretStr("{}"),
        description='Options of the storage\'s file system, as JSON: {"endpoint_url": "https://..."}; docs/storage.md',
    )
    storage_id: str | None = Field(
        None, description="Expected id in the storage's adreel-storage.json; another id, or none, is an error"
    )
    model: str = Field("klingai:6@1", description="Video model for scenes that name none")
    size: str = Field("1280x720", description="WIDTHxHEIGHT for scenes that name none")
    concurrency: int = Field(4, ge=1, description="Scenes in flight at once: slots of the limit `runware`")
    deadline: float = Field(
        900, gt=0, allow_inf_nan=False, description="Seconds to wait for one clip; afterwards a resume can fetch it"
    )
    attempts: int = Field(2, ge=1, le=10, description="Maximum number of Runware tasks per take")
    download_hosts: Annotated[list[str], NoDecode] = Field(
        ["runware.ai"], description="Hosts that clips may be downloaded from, including subdomains; comma-separated"
    )
    max_clip_mb: float = Field(500, gt=0, allow_inf_nan=False, description="Maximum size of a clip, in MB")
    local_render_seconds: float = Field(6, ge=0, allow_inf_nan=False, description="Render time of the emulator")
    local_faults: Annotated[list[str], NoDecode] = Field(
        [], description="Faults of the emulator, such as providerTimeout:solution; comma-separated"
    )
    api_keys: Annotated[dict[str, SecretStr], NoDecode] = Field(
        {}, description="Keys of the HTTP API as name:key,name:key, each of 16 characters or more; none: loopback only"
    )
    cors_origins: Annotated[list[str], NoDecode] = Field(
        [], description="Origins whose pages may call the HTTP API, such as https://shop.example; comma-separated"
    )
    trusted_proxies: Annotated[list[str], NoDecode] = Field(
        ["127.0.0.1", "::1"],
        description="Proxies (addresses, networks) that may set X-Forwarded-For and X-Forwarded-Proto; comma-separated",
    )
    requests_per_minute: int = Field(6000, ge=1, description="Requests to the HTTP API per key")
    signed_seconds: int = Field(
        0,
        ge=0,
        le=7 * 24 * 3600,
        description="Redirect clients to signed URLs of the object store, valid for this time; 0 serves clips directly",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Public address of `adreel serve`, such as https://ads.example, for links to clips in Prefect's UI",
    )
    max_body_kb: int = Field(512, ge=1, description="Maximum body of a request to the HTTP API, in KB")
    notify_url: SecretStr | None = Field(
        None, description="Webhook that `adreel deploy` sets up for failed runs; it gets JSON: http:// or https://"
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
        values = {alias: given[alias.upper()] for alias in aliases if alias.upper() in given}
        return init_settings, env_settings, InitSettingsSource(settings_cls, values)

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
        if isinstance(value, str) and re.fullmatch(IN_QUOTES, value):
            raise ValueError("its quotes would be part of the value: remove them")
        return value

    @field_validator("runware_api_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("runware_api_key")
    @classmethod
    def _looks_like_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            checked_key(value.get_secret_value())
        return value

    @field_validator("size")
    @classmethod
    def _is_size(cls, value: str) -> str:
        if not re.fullmatch(SIZE_PATTERN, value):
            raise ValueError(f"{value!r} is {'an aspect ratio' if ':' in value else 'not a size'}: {SIZE_ADVICE}")
        return value

    @field_validator("storage_options")
    @classmethod
    def _is_object(cls, value: SecretStr) -> SecretStr:
        try:
            found = read_json(value.get_secret_value(), "it")
        except InputError as error:
            raise ValueError(str(error)) from None
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

    @field_validator("download_hosts", "local_faults", "cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: list[str]) -> list[str]:
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise ValueError(f"{proxy!r} is neither an address nor a network, such as 10.0.0.0/8") from None
        return proxies

    @field_validator("download_hosts")
    @classmethod
    def _are_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if not re.fullmatch(HOST_PATTERN, host):
                raise ValueError(
                    f"{host!r} is not a host: give only its name, such as cdn.example; subdomains count too"
                )
        # URLs are compared in Unicode, the form that people read.
        return [host.encode().decode("idna") if "xn--" in host.lower() else host.lower() for host in hosts]

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        origins = [origin.rstrip("/").lower() for origin in origins]
        for origin in origins:
            if not re.fullmatch(r"https?://[^/?#@*\s]+", origin):
                raise ValueError(f"{origin!r} is not an origin: give a scheme and a host, such as https://shop.example")
        return origins

    @field_validator("public_url")
    @classmethod
    def _is_public_address(cls, value: str | None) -> str | None:
        if value is not None and (not urlsplit(value).hostname or re.search(r"[?#\s]", value)):
            raise ValueError("it has to be the address of a page, without ? and #, such as https://ads.example")
        return value

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
            raise InputError(f"RUNWARE_URL is {self.runware_url}: only wss:// keeps the key secret on its way")
        if self.is_local:
            raise InputError(f"RUNWARE_URL is {self.runware_url}, but RUNWARE_API_KEY is not set: set both or none")

    def public_link(self, path: str | None) -> str | None:
        """Return the public URL of a path of `adreel serve`, if ADREEL_PUBLIC_URL is set."""
        return f"{self.public_url.rstrip('/')}{path}" if self.public_url and path else None

    def with_key(self, key: str, origin: str) -> "Settings":
        """Return these settings with a key from elsewhere; InputError names the origin of an invalid key."""
        try:
            return self.model_copy(update={"runware_api_key": SecretStr(checked_key(key.strip()))})
        except ValueError as error:
            raise InputError(f"{origin}: {error}") from None

    @property
    def key(self) -> str:
        """The key to authenticate with; the emulator accepts any."""
        return self.runware_api_key.get_secret_value() if self.runware_api_key else "local"


def checked_key(key: str) -> str:
    """Validate a key of Runware; the ValueError does not repeat it."""
    if not re.fullmatch(r"[!-~]+", key) or re.fullmatch(IN_QUOTES, key):
        raise ValueError(
            "it is empty, in quotes, or has a blank, a line break or a letter that no key has: copy it again"
        )
    return key


def parse_api_keys(text: str) -> dict[str, str]:
    """Parse `name:key,name:key`; the ValueError repeats no key."""
    keys: dict[str, str] = {}
    for part in filter(str.strip, text.split(",")):
        name, _, key = (each.strip() for each in part.partition(":"))
        if not key:
            raise ValueError("each key needs a name for the log: name:key, comma-separated")
        if not re.fullmatch(ID_PATTERN, name) or name in keys:
            raise ValueError("each name is letters, digits, '-' and '_', and is given once")
        if not re.fullmatch(r"[!-~]{16,}", key):
            raise ValueError(f"the key of {name!r} needs at least 16 visible ASCII characters")
        keys[name] = key
    return keys


def is_loopback(url: str) -> bool:
    """Whether a URL points to this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK

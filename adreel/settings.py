"""Everything that can be set, read from the environment and a `.env` file."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from adreel.errors import InputError
from adreel.sessions import SIZE_PATTERN

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

    @field_validator("runware_api_key", "runware_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        # An empty variable has to win over a `.env`: it is how one makes sure that nothing is spent.
        return None if value == "" else value

    @field_validator("runware_url")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None:
            urlsplit(value)
        return value

    @field_validator("download_hosts", "local_faults", mode="before")
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

    @property
    def key(self) -> str:
        """The key to authenticate with; the local Runware takes any."""
        return self.runware_api_key.get_secret_value() if self.runware_api_key else "local"


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    return name if name.isupper() else name.upper()

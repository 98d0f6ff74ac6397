"""Models that can be ordered, as the HTTP API shows them."""

from datetime import date

from pydantic import BaseModel, Field


class ModelView(BaseModel):
    """A video model and what it is known to offer; null is unknown."""

    model: str = Field(description="Value for `model`", examples=["klingai:kling-video@3-standard"])
    name: str
    creator: str
    status: str | None = Field(description="live or deprecated")
    usd_per_second: float | None = Field(description="Least price, as public pages had it on `priced_on`")
    priced_on: date | None
    durations: str | None = Field(description="Offered seconds, as text", examples=["3 to 15 seconds"])
    seconds: list[int] | None = Field(None, description="Offered whole seconds", examples=[[5, 10]])
    aspects: list[str] | None
    resolutions: list[str] | None
    sound: bool | None
    first_frame: bool | None
    last_frame: bool | None
    references: int | None = Field(description="Most reference images")
    negative_prompt: bool | None
    seed: bool | None


class ModelList(BaseModel):
    """The models that can be ordered, the cheapest first."""

    as_of: date = Field(description="Date of the catalogue")
    models: list[ModelView]


class VoiceModelView(BaseModel):
    """A speech model and what it is known to offer; null is unknown."""

    model: str = Field(description="Value for `voice.model`", examples=["inworld:tts@2"])
    name: str
    creator: str
    status: str | None = Field(description="live or deprecated")
    voices: dict[str, list[str]] = Field(description="Voices by language; `*` for those of every language")
    voice_names: dict[str, str] = Field(description="Names of voices that are mere ids; either can be given")
    default_voice: str | None = Field(description="Voice of a narrator who names none; null for the model's own choice")
    languages: list[str] | None = Field(description="Languages that can be named; null if none has to be, or unknown")
    most_characters: int | None = Field(description="Of the text")
    speeds: tuple[float, float] | None = Field(description="Slowest and fastest; null for one speed only")
    usd_per_1000_characters: float | None = Field(description="As public pages had it on `priced_on`")
    priced_on: date | None


class MusicModelView(BaseModel):
    """A music model and what it is known to offer; null is unknown."""

    model: str = Field(description="Value for `music.model`", examples=["runware:ace-step@v1.5-base"])
    name: str
    creator: str
    status: str | None = Field(description="live or deprecated")
    seconds: tuple[float, float] | None = Field(description="Shortest and longest; null if the model decides")
    most_characters: int | None = Field(description="Of the prompt")
    usd: float | None = Field(description="Of music for an ad of 30 s, as public pages had it on `priced_on`")
    priced_on: date | None


class VoiceList(BaseModel):
    """The models of narrations and music that can be ordered, the cheapest first."""

    as_of: date = Field(description="Date of the catalogue")
    models: list[VoiceModelView]
    music: list[MusicModelView]

"""The models of narrations and music that can be ordered, as the API and the commands show them."""

from adreel.catalog import Catalog
from adreel.catalog.additions import AudioModel
from adreel.models.model_views import MusicModelView, VoiceList, VoiceModelView
from adreel.models.spend import to_usd
from adreel.models.takes import MusicRequest, VoiceRequest
from adreel.purchase.additions import DEFAULT_LANGUAGE
from adreel.spend.addition_prices import listed_audio_price

USUAL_SECONDS = 30
"""Length of an ad whose music is priced."""


def list_voices(catalog: Catalog, *, language: str | None = None, model: str | None = None) -> VoiceList:
    """Return the models of narrations that are known to speak a language, and those of music, the cheapest first."""
    offered = [
        found
        for air, found in catalog.audio.items()
        if found.status != "deprecated" and not catalog.is_gone(air) and model in {None, air}
    ]
    voices = [
        voice_view(found, language)
        for found in offered
        if found.is_narrator and (not language or found.speaks(language))
    ]
    music = [music_view(found) for found in offered if found.is_composer]
    return VoiceList(
        as_of=catalog.as_of,
        models=sorted(voices, key=lambda view: _cheapest(view.usd_per_1000_characters, view.model)),
        music=sorted(music, key=lambda view: _cheapest(view.usd, view.model)),
    )


def voice_view(model: AudioModel, language: str | None = None) -> VoiceModelView:
    """Return a speech model for the API; with a language, only the voices for it."""
    price = to_usd(listed_audio_price(VoiceRequest(model=model.air, text="a" * 1000), model))
    voices = {language: model.voices_of(language)} if language else model.voices
    return VoiceModelView(
        model=model.air,
        name=model.name,
        creator=model.creator,
        status=model.status,
        voices={code: list(names) for code, names in voices.items() if names},
        voice_names=model.voice_names,
        default_voice=model.usual_voice(language or DEFAULT_LANGUAGE, is_named=language is not None),
        languages=list(model.languages) if model.languages and model.speech.takes("language") else None,
        most_characters=model.text_length[1] if model.text_length else None,
        speeds=model.speed if model.speech.takes("speed") else None,
        usd_per_1000_characters=price,
        priced_on=model.priced_on if price is not None else None,
    )


def music_view(model: AudioModel) -> MusicModelView:
    """Return a music model for the API."""
    seconds = max(USUAL_SECONDS, model.duration.min) if model.duration else None
    price = to_usd(listed_audio_price(MusicRequest(model=model.air, prompt="music", duration=seconds), model))
    return MusicModelView(
        model=model.air,
        name=model.name,
        creator=model.creator,
        status=model.status,
        seconds=(model.duration.min, model.duration.max) if model.duration else None,
        most_characters=model.prompt_length[1] if model.prompt_length else None,
        usd=price,
        priced_on=model.priced_on if price is not None else None,
    )


def _cheapest(price: float | None, air: str) -> tuple[bool, float, str]:
    return price is None, price or 0, air

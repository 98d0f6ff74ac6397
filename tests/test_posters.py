"""Posters come after their clips, at once or when one asks for them, and never cost a clip anything."""

import io
from pathlib import Path

import pytest
from PIL import Image

from adreel.models.scenarios import Scenario
from adreel.models.takes import Take
from adreel.purchase import posters
from adreel.purchase.jobs import buy_scene
from adreel.purchase.posters import draw_missing_poster
from adreel.purchase.probe.process import draw_now
from adreel.records.pruning import prune
from adreel.records.verification import verify
from adreel.records.views import session_view
from adreel.storage.media import sha256_of
from tests.api.serving import served
from tests.odd_clips import without_its_parameters
from tests.studio import Studio, studio


async def stored(it: Studio) -> tuple[Take, str]:
    """Buy a scene as a campaign does; return its take and the name of its poster."""
    take = await buy_scene(it.records, it.settings, it.start(Scenario.HOOK), Scenario.HOOK, draws_poster=False)
    assert take.clip is not None
    assert take.clip.poster is not None
    return take, take.clip.poster


async def test_the_poster_of_a_campaign_s_clip_is_drawn_when_a_page_asks() -> None:
    async with studio() as it:
        take, name = await stored(it)
        assert not it.records.storage.exists(name)
        assert verify(it.records) == []
        with served() as client:
            answers = [client.get(f"/outputs/{name}") for _ in range(2)]
            assert client.get("/outputs/ad_hook_01234567.jpg").status_code == 404
            assert client.get(f"/outputs/{name.replace('_hook_', '_cta_')}").status_code == 404
        for answer in answers:
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
            assert Image.open(io.BytesIO(answer.content)).size == (128, 72)
        assert it.records.storage.read(name) == answers[0].content
        assert it.take() == take
        assert verify(it.records) == []


async def test_a_clip_whose_pictures_can_t_be_decoded_gets_a_warning_and_stays() -> None:
    async with studio() as it:
        take, name = await stored(it)
        assert take.clip is not None
        # The record names these bytes, as if the provider had sent them.
        without_its_parameters(it.clip_path(take))
        with it.records.storage.open(take.clip.file) as stream:
            take.clip.sha256 = sha256_of(stream)
        it.records.update_take(take, lambda _: False)
        assert not draw_missing_poster(it.records, name)
        clip = it.take().clip
        assert clip is not None
        assert (clip.poster, [warning.code for warning in clip.warnings]) == (None, ["noPoster"])
        assert "no picture of it can be decoded" in clip.warnings[0].message
        assert it.take().model_copy(update={"clip": take.clip}) == take
        assert session_view(it.records, "ad").scene_videos[0].poster_url is None
        assert verify(it.records) == []
        assert not draw_missing_poster(it.records, name)


async def test_a_take_that_is_pruned_meanwhile_leaves_no_poster(monkeypatch: pytest.MonkeyPatch) -> None:
    async with studio() as it:
        take, name = await stored(it)

        def prune_meanwhile(*paths: Path) -> str:
            prune(it.records, take)
            return draw_now(*paths)

        monkeypatch.setattr(posters, "draw_now", prune_meanwhile)
        assert not draw_missing_poster(it.records, name)
        assert [each for each in it.records.storage.names("") if each.endswith((".jpg", ".mp4"))] == []
        assert it.records.takes("ad", Scenario.HOOK) == []

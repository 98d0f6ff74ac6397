"""The size or the resolution of a request: by aspect and resolution, frames, platform and settings."""

import pytest

from tests.ordering import (
    FLUX,
    GEMINI,
    HAILUO_23,
    IMAGE,
    KLING,
    KLING_25,
    KLING_26,
    KLING_26_STANDARD,
    LTX,
    PIXVERSE_55,
    SEEDANCE,
    SEEDANCE_25,
    SEEDANCE_FAST,
    VEO_FAST,
    VEO_LITE,
    codes,
    order,
    refusal,
    shape,
)


@pytest.mark.parametrize(
    ("model", "aspect", "resolution", "expected"),
    [
        (KLING, None, None, "1280x720"),
        (KLING, "9:16", "720p", "720x1280"),
        (KLING, "1:1", None, "960x960"),
        (KLING_25, "1:1", None, "720x720"),
        (SEEDANCE, None, None, "864x480"),
        (SEEDANCE, "16:9", "1080p", "1920x1088"),
        (SEEDANCE, "9:16", "480p", "480x864"),
        (SEEDANCE, "9:21", "1080p", "928x2176"),
        (FLUX, "16:9", "720p", "1280x704"),
        (FLUX, "9:16", "1080p", "1088x1920"),
        (VEO_FAST, "9:16", "4k", "2160x3840"),
        (HAILUO_23, None, None, "1366x768"),
        (PIXVERSE_55, "4:3", "540p", "720x540"),
        # The pair of a model whose sizes are not known is the usual one. Without an aspect, its resolution is enough.
        (SEEDANCE_FAST, "9:16", "1080p", "1080x1920"),
        (SEEDANCE_FAST, "4:5", None, "720x900"),
        (SEEDANCE_FAST, None, None, "720p"),
        (SEEDANCE_FAST, None, "480p", "480p"),
        (VEO_LITE, None, "1080p", "1080p"),
        (LTX, None, None, "1280x720"),
        (KLING_26_STANDARD, None, None, None),
    ],
)
def test_aspect_and_resolution_become_the_pair_of_the_model(
    model: str, aspect: str | None, resolution: str | None, expected: str | None
) -> None:
    seconds = 6 if model in {HAILUO_23, VEO_FAST, VEO_LITE} else 5
    assert shape(order(model=model, aspect=aspect, resolution=resolution, duration=seconds)) == expected


def test_a_size_is_left_out_next_to_a_frame_where_it_is_refused() -> None:
    request = order(model=KLING, first_frame=IMAGE)
    assert (shape(request), codes(request)) == (None, [])
    assert shape(order(model=SEEDANCE_25, first_frame=IMAGE, resolution="1080p")) == "1080p"
    assert shape(order(model=VEO_FAST, first_frame=IMAGE, duration=6)) == "720p"
    assert shape(order(model=KLING_25, first_frame=IMAGE, aspect="9:16")) == "720x1280"


def test_an_aspect_next_to_a_frame_that_decides_is_left_out_with_a_warning() -> None:
    request = order(model=KLING, first_frame=IMAGE, aspect="9:16")
    assert (shape(request), codes(request)) == (None, ["imageDecides"])
    assert order(model=KLING, first_frame=IMAGE, facts={"target_platform": "TikTok"}).warnings == ()


def test_an_exact_size_next_to_a_frame_is_refused_where_the_image_decides() -> None:
    told = refusal(model=KLING, first_frame=IMAGE, size="1280x720")["size"]
    assert told.startswith("Kling VIDEO 3.0 Standard (klingai:kling-video@3-standard) takes no size next to a first")
    assert told.count(" or ") >= 2


def test_an_exact_size_is_one_of_the_model() -> None:
    assert shape(order(model=SEEDANCE, size="928x2176")) == "928x2176"
    told = refusal(model=SEEDANCE, size="1280x720")["size"]
    assert "size 1280x720 is not offered by Seedance 1.0 Pro (bytedance:2@1): it offers 864x480, 736x544" in told
    assert told.endswith("; try Wan2.6 Flash (alibaba:wan@2.6-flash) or Vidu Q3 (vidu:4@1)")


def test_the_size_of_the_settings_gives_way_to_an_aspect_and_to_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADREEL_SIZE", "1280x720")
    assert shape(order(model=KLING)) == "1280x720"
    assert shape(order(model=KLING, aspect="9:16")) == "720x1280"
    assert shape(order(model=KLING, first_frame=IMAGE)) is None


def test_a_size_and_an_aspect_exclude_each_other() -> None:
    assert refusal(model=KLING, size="1280x720", aspect="16:9") == {
        "size": "size says the same as aspect and resolution: give one of them"
    }


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("TikTok", "720x1280"),
        ("Instagram Reels", "720x1280"),
        ("YouTube Shorts", "720x1280"),
        ("YouTube", "1280x720"),
        ("a billboard", "1280x720"),
        ("Instagram feed", "960x960"),
    ],
)
def test_the_platform_decides_the_aspect_where_nothing_else_does(platform: str, expected: str) -> None:
    request = order(model=KLING, facts={"target_platform": platform})
    assert shape(request) == expected
    nearest = [warning.message for warning in request.warnings]
    assert nearest == (
        ["Kling VIDEO 3.0 Standard (klingai:kling-video@3-standard) has no 4:5 for Instagram feed: 1:1 is used"]
        if platform == "Instagram feed"
        else []
    )
    assert shape(order(model=KLING, aspect="16:9", facts={"target_platform": platform})) == "1280x720"


def test_an_aspect_or_a_resolution_that_is_not_offered_names_those_that_are() -> None:
    wrong = refusal(model=GEMINI, aspect="1:1", resolution="480p", duration=6)
    assert "it offers 360p, 720p, 1080p, 4K; try" in wrong["resolution"]
    assert "it offers 16:9, 9:16; try" in refusal(model=GEMINI, aspect="1:1", duration=6)["aspect"]
    assert "it offers 720p; try" in refusal(model=KLING, resolution="1080p")["resolution"]
    assert "it takes no size" in refusal(model=KLING_26_STANDARD, aspect="9:16")["aspect"]
    assert "no such parameter" in refusal(model=KLING_26, first_frame=IMAGE, resolution="1080p")["resolution"]
    assert refusal(model=KLING, aspect="4:5")["aspect"].endswith(
        "it offers 16:9, 9:16, 1:1; no other model is known to offer it"
    )

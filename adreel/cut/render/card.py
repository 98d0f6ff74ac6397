"""The end card."""

from av.video.frame import VideoFrame

from adreel.cut.plan import CardPlan


def card_picture(card: CardPlan, width: int, height: int) -> VideoFrame:
    """Draw a card."""
    return VideoFrame(width, height, "yuv420p")

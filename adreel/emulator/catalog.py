"""The models that the local Runware knows: which lengths and sizes each renders.

Lengths in whole seconds, sizes in pixels. A model that is not listed renders anything sane.
"""

from dataclasses import dataclass

Size = tuple[int, int]

HD = ((1280, 720), (720, 1280))
FULL_HD = ((1920, 1080), (1080, 1920))


@dataclass(frozen=True)
class Model:
    """Durations and sizes of a model; empty means any."""

    durations: tuple[int, ...] = ()
    sizes: tuple[Size, ...] = ()


MODELS: dict[str, Model] = {
    "klingai:6@1": Model((5, 10), (*HD, (720, 720))),
    "google:3@3": Model((4, 6, 7, 8), (*HD, *FULL_HD, (3840, 2160), (2160, 3840))),
    "bytedance:seedance@1.5-pro": Model(
        tuple(range(4, 13)),
        (*HD, (864, 496), (496, 864), (752, 560), (560, 752), (640, 640), (992, 432), (960, 960), (1112, 834)),
    ),
    "bytedance:2@1": Model(
        (5, 10), ((864, 480), (480, 864), (640, 640), (736, 544), (544, 736), (1920, 1088), (1088, 1920), (1440, 1440))
    ),
    "minimax:3@1": Model((6, 10), ((1366, 768), (1920, 1080))),
    "vidu:4@1": Model(tuple(range(1, 17))),
    "alibaba:wan@2.6": Model((5, 10, 15), (*HD, *FULL_HD, (960, 960), (1440, 1440))),
    "prunaai:p-video@0": Model(tuple(range(1, 16)), (*HD, *FULL_HD)),
}

ANY = Model()


def model_named(air: str) -> Model:
    """Return what a model renders."""
    return MODELS.get(air, ANY)

"""Structure of an H.264 picture in an MP4 file, read without decoding it.

Only the usual shapes are recognised. For all others the answer is None or False, and the picture has to be decoded.
"""

from collections.abc import Iterator

SLICE, KEY_SLICE, SUPPLEMENT, PARAMETERS = 1, 5, 6, 7
ORIENTATION = 47
"""Type of the supplement that rotates a picture."""
INTRA_SLICES = {2, 4, 7, 9}
HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}
MACROBLOCK = 16
MAX_PARAMETER_BYTES = 4096
MAX_GOLOMB_ZEROS = 32
SQUARE_PIXELS = {0, 1}
CROP_UNITS = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
"""Width and height of a cropping step, by the chroma format."""


def coded_size(configuration: bytes) -> tuple[int, int] | None:
    """Return width and height by the parameter set in an `avcC` box."""
    try:
        count, length = configuration[5] & 0x1F, int.from_bytes(configuration[6:8])
        parameters = configuration[8 : 8 + length]
        if configuration[0] != 1 or count != 1 or not length == len(parameters) <= MAX_PARAMETER_BYTES:
            return None
        if parameters[0] & 0x1F != PARAMETERS:
            return None
        return _size(parameters)
    except (IndexError, ValueError):
        return None


def is_key_picture(configuration: bytes, sample: bytes) -> bool:
    """Whether a sample is a complete sequence of NAL units with an intra-coded picture that is shown as it is coded."""
    try:
        return _is_key_picture(configuration[4] & 3, sample)
    except (IndexError, ValueError):
        return False


def _is_key_picture(last_byte: int, sample: bytes) -> bool:
    position, slices = 0, 0
    while position < len(sample):
        start = position + last_byte + 1
        end = start + int.from_bytes(sample[position:start])
        if not start < end <= len(sample) or sample[start] & 0x80:
            return False
        kind = sample[start] & 0x1F
        if kind == SUPPLEMENT and ORIENTATION in _supplements(sample[start + 1 : end]):
            return False
        if kind in {SLICE, KEY_SLICE}:
            bits = _Bits(sample[start + 1 : min(end, start + 32)])
            first_block, slice_type = bits.golomb(), bits.golomb()
            if slice_type not in INTRA_SLICES or (first_block == 0) != (slices == 0):
                return False
            slices += 1
        position = end
    return slices > 0


def _size(parameters: bytes) -> tuple[int, int] | None:
    profile, bits = parameters[1], _Bits(parameters[4:])
    bits.golomb()  # id
    chroma = 1
    if profile in HIGH_PROFILES:
        chroma = bits.golomb()
        bits.golomb(), bits.golomb()  # depths of brightness and colour
        if chroma not in CROP_UNITS or chroma == max(CROP_UNITS) or bits.read(1) or bits.read(1):
            return None  # A separate plane for each colour, or scaling lists.
    bits.golomb()  # frame numbers
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order != 2:
        return None
    bits.golomb(), bits.read(1)  # references
    width, height = (bits.golomb() + 1) * MACROBLOCK, (bits.golomb() + 1) * MACROBLOCK
    if not bits.read(1):
        return None  # Interlaced.
    bits.read(1)
    if bits.read(1):
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        unit_width, unit_height = CROP_UNITS[chroma]
        width, height = width - (left + right) * unit_width, height - (top + bottom) * unit_height
    if bits.read(1) and bits.read(1) and bits.read(8) not in SQUARE_PIXELS:
        return None
    return width, height


def _supplements(unit: bytes) -> Iterator[int]:
    """Yield the types of the messages in a unit of supplemental information."""
    content, position = unit.replace(b"\0\0\3", b"\0\0"), 0
    while position < len(content) - 1:
        kind_and_length = []
        for _ in range(2):
            value = 0
            while content[position] == 0xFF:
                value, position = value + 0xFF, position + 1
            kind_and_length.append(value + content[position])
            position += 1
        yield kind_and_length[0]
        position += kind_and_length[1]


class _Bits:
    """Reader of the bits of a unit without its emulation prevention bytes; IndexError behind the end."""

    def __init__(self, unit: bytes) -> None:
        content = unit.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(content), 8 * len(content)

    def read(self, count: int) -> int:
        if count > self._left:
            raise IndexError("the unit is too short")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """Read an unsigned Exp-Golomb code."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > MAX_GOLOMB_ZEROS:
                raise ValueError("the number is too large")
        return (1 << zeros) - 1 + self.read(zeros)

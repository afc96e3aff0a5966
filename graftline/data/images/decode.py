"""Image files and pixel arrays to stored samples: uint8 (C, H, W), one way for all, hostile files told apart.

The header is read before any pixel: a file that is too large, too long or of another kind costs no memory. EXIF
rotation is applied, transparency is laid on white, 16 bit grey keeps its upper 8, of several frames the first is taken.
What is larger or smaller than wanted is scaled (bilinear, antialiased) to cover the wanted shape and cut to its centre.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 100_000_000
"""Pixels of one image, by its header."""
MAX_BYTES = 256 * 2**20
"""Bytes of one image file."""
MAX_ASPECT = 50
"""Longer side over shorter; beyond it the central cut would show nothing of the image."""

_KINDS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTERS = (5, 6, 7, 8)  # those that exchange width and height
_ORIENTATION = 0x0112
# What Pillow's readers raise for damaged files, as fuzzing shows; MemoryError is not among them.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

Source = BinaryIO | NDArray[np.uint8]


class UnreadableError(Exception):
    """A file that does not become a sample; the message says why."""


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of itself before its pixels are decoded."""

    width: int
    height: int
    grey: bool


def header(source: Source) -> ImageHeader:
    """Reads a header.

    Args:
        source: An encoded image, or pixels (C, H, W).

    Raises:
        UnreadableError: Not an image of a known kind, too large, or damaged.
    """
    if isinstance(source, np.ndarray):
        return ImageHeader(source.shape[2], source.shape[1], source.shape[0] == 1)
    try:
        with source, _opened(source) as image:
            width, height = image.size[::-1] if _turn(image) in _QUARTERS else image.size
            return ImageHeader(width, height, image.mode in _GREY)
    except _DAMAGE as error:
        raise UnreadableError(_reason(error)) from None


def pixels(source: Source, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decodes one image to uint8 of `shape`; see `sized`."""
    return sized(source, shape)[0]


def sized(source: Source, shape: tuple[int, int, int], least: int = 1) -> tuple[NDArray[np.uint8], int]:
    """Decodes one image.

    Args:
        source: An encoded image, or pixels (C, H, W).
        shape: (C, H, W) wanted, C 1 or 3.
        least: Pixels that its shorter side must have.

    Returns:
        uint8 of that shape, and the shorter side that the image had.

    Raises:
        UnreadableError: As `header`, too small, or the pixels are damaged.
    """
    _, height, width = shape
    if isinstance(source, np.ndarray):
        side = _large_enough(source.shape[2], source.shape[1], least)
        return (source if source.shape == shape else _stored(_of_array(source), shape)), side
    try:
        with source, _opened(source) as image:
            side = _large_enough(*image.size, least)
            turn = _turn(image)
            wanted = (height, width) if turn in _QUARTERS else (width, height)
            image.draft(None, (2 * wanted[0], 2 * wanted[1]))  # a JPEG decodes at 1/2, 1/4 or 1/8 where that is enough
            image.load()
    except _DAMAGE as error:
        raise UnreadableError(_reason(error)) from None
    flat = _on_white(_covering(_resizable(image), *wanted))
    return _stored(flat.transpose(_TURNS[turn]) if turn in _TURNS else flat, shape), side


def _large_enough(width: int, height: int, least: int) -> int:
    side = min(width, height)
    if side < least:
        raise UnreadableError(f"too small: {width}x{height} pixels; min_side asks for {least}")
    return side


def _opened(source: BinaryIO) -> Image.Image:
    source.seek(0, 2)
    size = source.tell()
    source.seek(0)
    if size == 0:
        raise UnreadableError("an empty file")
    if size > MAX_BYTES:
        raise UnreadableError(f"{size:,} bytes; at most {MAX_BYTES:,} are read")
    image = Image.open(source, formats=_KINDS)
    width, height = image.size
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise UnreadableError(f"{width}x{height} pixels; at most {MAX_PIXELS:,} are decoded")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnreadableError(f"{width}x{height} pixels; one side at most {MAX_ASPECT} times the other")
    return image


def _turn(image: Image.Image) -> int:
    return int(image.getexif().get(_ORIENTATION, 1))


def _resizable(image: Image.Image) -> Image.Image:
    """To a mode that can be scaled without artefacts, transparency kept."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode not in _MODES:
        raise UnreadableError(f"pixels of mode {image.mode}, whose range is not known; save it as 8 bit grey or RGB")
    if image.mode in ("LA", "RGBA") or (image.mode in ("L", "RGB") and "transparency" not in image.info):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "L" if image.mode == "1" else "RGB")


def _covering(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scales so that the image just covers width x height, and cuts the centre out."""
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    left, top = max(0.0, (image.width - scale * width) / 2), max(0.0, (image.height - scale * height) / 2)
    box = (left, top, image.width - left, image.height - top)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "RGBA"):
        whole = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return whole.convert("L" if image.mode == "LA" else "RGB")
    return image


def _of_array(array: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def _stored(image: Image.Image, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    channels, height, width = shape
    flat = _covering(image, width, height).convert("L" if channels == 1 else "RGB")
    array = np.asarray(flat)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known kind ({', '.join(_KINDS)})"
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels; at most {MAX_PIXELS:,} are decoded"
    return f"damaged: {error}" if str(error) else f"damaged: {type(error).__name__}"

"""Decodes image files and pixel arrays to uint8 (C, H, W), and refuses unusable or hostile files.

The header is read before any pixels, so a file that is too large or of an unknown format uses no memory. EXIF
orientation is applied, transparency is composited on white, 16-bit grayscale is reduced to its upper 8 bits, and only
the first frame is used. Images of another size are scaled (bilinear, antialiased) to cover the requested shape, and
center-cropped.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 100_000_000
"""Largest number of pixels of an image, according to its header."""
MAX_BYTES = 256 * 2**20
"""Largest size of an image file in bytes."""
MAX_ASPECT = 50
"""Largest ratio of the longer to the shorter side; a center crop of narrower images would be meaningless."""

_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
_GRAY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = (5, 6, 7, 8)  # orientations that swap width and height
_ORIENTATION = 0x0112
# Exceptions of Pillow's decoders for damaged files, found by fuzzing; MemoryError is not one of them.
_DECODE_ERRORS = (
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

ImageSource = BinaryIO | NDArray[np.uint8]


class UnreadableError(Exception):
    """Raised for a file that cannot become a sample; the message gives the reason."""


@dataclass(frozen=True)
class ImageHeader:
    """Size and mode of an image, known before its pixels are decoded."""

    width: int
    height: int
    is_gray: bool


def read_header(source: ImageSource) -> ImageHeader:
    """Reads the header of an image.

    Args:
        source: An encoded image, or pixels (C, H, W).

    Raises:
        UnreadableError: The file is not an image of a supported format, too large, or damaged.
    """
    if isinstance(source, np.ndarray):
        return ImageHeader(source.shape[2], source.shape[1], source.shape[0] == 1)
    try:
        with source, _open(source) as image:
            width, height = image.size[::-1] if _orientation(image) in _SWAPS_SIDES else image.size
            return ImageHeader(width, height, image.mode in _GRAY)
    except _DECODE_ERRORS as error:
        raise UnreadableError(_reason(error)) from None


def decode_image(source: ImageSource, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Decodes one image to uint8 of `shape`; see `decode_image_and_side`."""
    return decode_image_and_side(source, shape)[0]


def decode_image_and_side(
    source: ImageSource, shape: tuple[int, int, int], min_side: int = 1
) -> tuple[NDArray[np.uint8], int]:
    """Decodes one image.

    Args:
        source: An encoded image, or pixels (C, H, W).
        shape: Requested (C, H, W), with C 1 or 3.
        min_side: Smallest shorter side in pixels.

    Returns:
        Pixels, uint8 of that shape, and the original shorter side of the image.

    Raises:
        UnreadableError: As `read_header`; or the image is too small, or its pixels are damaged.
    """
    _, height, width = shape
    if isinstance(source, np.ndarray):
        side = _check_side(source.shape[2], source.shape[1], min_side)
        return (source if source.shape == shape else _to_stored_array(_to_image(source), shape)), side
    try:
        with source, _open(source) as image:
            side = _check_side(*image.size, min_side)
            orientation = _orientation(image)
            requested = (height, width) if orientation in _SWAPS_SIDES else (width, height)
            image.draft(
                None, (2 * requested[0], 2 * requested[1])
            )  # decodes a JPEG at 1/2, 1/4, or 1/8 if that is large enough
            image.load()
    except _DECODE_ERRORS as error:
        raise UnreadableError(_reason(error)) from None
    flat = _composite_on_white(_cover(_to_resizable_mode(image), *requested))
    return _to_stored_array(
        flat.transpose(_TRANSPOSITIONS[orientation]) if orientation in _TRANSPOSITIONS else flat, shape
    ), side


def _check_side(width: int, height: int, min_side: int) -> int:
    side = min(width, height)
    if side < min_side:
        raise UnreadableError(f"too small: {width}x{height} pixels; min_side requires {min_side}")
    return side


def _open(source: BinaryIO) -> Image.Image:
    source.seek(0, 2)
    size = source.tell()
    source.seek(0)
    if size == 0:
        raise UnreadableError("empty file")
    if size > MAX_BYTES:
        raise UnreadableError(f"{size:,} bytes; the maximum is {MAX_BYTES:,}")
    image = Image.open(source, formats=_FORMATS)
    width, height = image.size
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise UnreadableError(f"{width}x{height} pixels; the maximum is {MAX_PIXELS:,} pixels")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnreadableError(f"{width}x{height} pixels; the maximum aspect ratio is {MAX_ASPECT}")
    return image


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(_ORIENTATION, 1))


def _to_resizable_mode(image: Image.Image) -> Image.Image:
    """Converts to a mode that can be scaled without artifacts; keeps transparency."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode not in _MODES:
        raise UnreadableError(
            f"pixels of mode {image.mode}, whose value range is unknown; save it as 8-bit grayscale or RGB"
        )
    if image.mode in ("LA", "RGBA") or (image.mode in ("L", "RGB") and "transparency" not in image.info):
        return image
    return image.convert("RGBA" if image.has_transparency_data else "L" if image.mode == "1" else "RGB")


def _cover(image: Image.Image, width: int, height: int) -> Image.Image:
    """Scales an image to just cover width x height, and crops the center."""
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    left, top = max(0.0, (image.width - scale * width) / 2), max(0.0, (image.height - scale * height) / 2)
    box = (left, top, image.width - left, image.height - top)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)


def _composite_on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "RGBA"):
        composite = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return composite.convert("L" if image.mode == "LA" else "RGB")
    return image


def _to_image(array: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def _to_stored_array(image: Image.Image, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    channels, height, width = shape
    flat = _cover(image, width, height).convert("L" if channels == 1 else "RGB")
    array = np.asarray(flat)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a supported format ({', '.join(_FORMATS)})"
    if isinstance(error, Image.DecompressionBombError):
        return f"too many pixels; the maximum is {MAX_PIXELS:,}"
    return f"damaged: {error}" if str(error) else f"damaged: {type(error).__name__}"

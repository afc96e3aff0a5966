import contextlib
import io
import resource
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from graftline.data.images import decode
from graftline.data.images.decode import UnreadableError, decode_image, read_header

RED, GREY = (250, 10, 20), 90


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return io.BytesIO(file.getvalue())


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds almost nothing."""

    def piece(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + piece(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + piece(b"IDAT", zlib.compress(bytes(1000)))
        + piece(b"IEND", b"")
    )


def flat(mode: str, color: Any) -> Image.Image:
    return Image.new(mode, (20, 20), color)


def palette_with_hole() -> Image.Image:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([*RED, *RED])
    image.info["transparency"] = 1
    return image


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (flat("L", GREY), "PNG", (GREY,) * 3),
        (flat("RGB", RED), "PNG", RED),
        (flat("1", 1), "PNG", (255,) * 3),
        (flat("LA", (GREY, 255)), "PNG", (GREY,) * 3),
        (flat("LA", (GREY, 0)), "PNG", (255,) * 3),
        (flat("RGBA", (*RED, 255)), "PNG", RED),
        (flat("RGBA", (0, 0, 0, 0)), "PNG", (255,) * 3),
        (flat("RGBA", (0, 0, 0, 128)), "PNG", (127,) * 3),
        (palette_with_hole(), "PNG", (255,) * 3),
        (flat("RGB", RED).quantize(4), "PNG", RED),
        (flat("I;16", 90 * 256 + 200), "PNG", (90,) * 3),
        (flat("I;16", 90 * 256 + 200), "TIFF", (90,) * 3),
        (flat("CMYK", (0, 255, 255, 0)), "JPEG", (254, 0, 0)),
        (flat("RGB", RED), "GIF", RED),
        (flat("RGB", RED), "TIFF", RED),
        (flat("RGB", RED), "BMP", RED),
        (flat("RGB", RED), "PPM", RED),
        (flat("RGB", RED), "WEBP", RED),
    ],
)
def test_modes_and_kinds(image: Image.Image, kind: str, expected: tuple[int, int, int]) -> None:
    found = decode_image(file_of(image, kind), (3, 20, 20))
    assert found.shape == (3, 20, 20)
    assert found.dtype == np.uint8
    most = 4 if kind in ("JPEG", "WEBP") else 1
    assert np.abs(found.astype(int) - np.array(expected)[:, None, None]).max() <= most


@pytest.mark.parametrize(
    ("mode", "grey"),
    [("1", True), ("L", True), ("LA", True), ("I;16", True), ("RGB", False), ("RGBA", False), ("P", False)],
)
def test_headers_tell_size_and_grey(mode: str, grey: bool) -> None:
    found = read_header(file_of(Image.new(mode, (30, 20))))
    assert (found.width, found.height, found.is_gray) == (30, 20, grey)


def corner(orientation: int) -> Image.Image:
    """What a viewer must turn by `orientation` to see a white upper left corner."""
    upright = Image.new("L", (40, 20))
    upright.paste(255, (0, 0, 20, 10))
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    return upright if back is None else upright.transpose(Image.Transpose(back))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = file_of(corner(orientation), "JPEG", exif=exif, quality=95)
    found = read_header(io.BytesIO(file.getvalue()))
    assert (found.width, found.height) == (40, 20)
    image = decode_image(file, (1, 20, 40))[0]
    assert image[:10, :20].min() > 200
    assert image[12:].max() < 60
    assert image[:, 24:].max() < 60


def test_the_first_of_several_frames_is_taken() -> None:
    first, second = flat("RGB", RED), flat("RGB", (0, 0, 250))
    for kind in ("GIF", "TIFF", "WEBP"):
        found = decode_image(
            file_of(first, kind, save_all=True, append_images=[second], **{"lossless": True} if kind == "WEBP" else {}),
            (3, 20, 20),
        )
        assert found[0].min() > 240


def test_scales_to_cover_and_keeps_the_center() -> None:
    wide = Image.new("L", (90, 30))
    wide.paste(200, (30, 0, 60, 30))
    assert decode_image(file_of(wide), (1, 10, 10)).min() > 150
    assert np.median(decode_image(file_of(wide), (1, 10, 10))) == 200
    assert decode_image(file_of(wide), (1, 30, 90)).min() == 0


def test_the_stored_size_is_left_as_it_is() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 17, 23), dtype=np.uint8)
    assert np.array_equal(decode_image(file_of(Image.fromarray(noise.transpose(1, 2, 0))), (3, 17, 23)), noise)
    assert np.array_equal(decode_image(noise, (3, 17, 23)), noise)


def test_large_photographs_decode_small_and_alike() -> None:
    ramp = Image.fromarray(np.linspace(0, 255, 1600 * 1200).reshape(1200, 1600).astype(np.uint8))
    fast = decode_image(file_of(ramp, "JPEG", quality=95), (1, 96, 96)).astype(int)
    slow = decode_image(file_of(ramp, "PNG"), (1, 96, 96)).astype(int)
    assert np.abs(fast - slow).max() <= 3


def test_arrays_change_size_and_channels() -> None:
    grey = np.full((1, 16, 16), 90, np.uint8)
    assert (decode_image(grey, (3, 28, 28)) == 90).all()
    assert (decode_image(np.repeat(grey, 3, axis=0), (1, 16, 16)) == 90).all()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>Not found</html>", r"not an image of a supported format \(JPEG, PNG"),
        (b"\xff\xd8\xff\xe0", "damaged|not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not an image of a supported format"),
    ],
)
def test_what_is_no_image_says_so(content: bytes, why: str) -> None:
    for read in (read_header, lambda file: decode_image(file, (3, 8, 8))):
        with pytest.raises(UnreadableError, match=why):
            read(io.BytesIO(content))


def test_a_jpeg_cut_in_half_is_damaged() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    content = file_of(noise, "JPEG").getvalue()
    with pytest.raises(UnreadableError, match="damaged: image file is truncated"):
        decode_image(io.BytesIO(content[: len(content) // 2]), (3, 32, 32))


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ((30_000, 30_000), "too many pixels; the maximum is 100,000,000"),
        ((10_001, 10_000), "10001x10000 pixels; the maximum is"),
        ((100_000, 1), "100000x1 pixels; the maximum aspect ratio is 50"),
        ((0, 5), "."),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_sizes_out_of_bounds_are_refused_by_the_header(size: tuple[int, int], why: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_header, lambda file: decode_image(file, (3, 224, 224))):
        with pytest.raises(UnreadableError, match=why):
            read(io.BytesIO(png_header(*size)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


def test_a_file_of_too_many_bytes_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "MAX_BYTES", 50)
    with pytest.raises(UnreadableError, match="bytes; the maximum is 50"):
        read_header(file_of(flat("RGB", RED)))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_pixels_have_no_known_range(mode: str) -> None:
    with pytest.raises(UnreadableError, match=f"pixels of mode {mode}, whose value range is unknown"):
        decode_image(file_of(Image.new(mode, (20, 20)), "TIFF"), (1, 20, 20))


NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 24, 3), dtype=np.uint8))
WHOLE = [file_of(NOISE, kind).getvalue() for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "PPM")]


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0.1, 1),
)
def test_damage_never_escapes(whole: bytes, changes: list[tuple[float, int]], keep: float) -> None:
    content = bytearray(whole[: int(keep * len(whole))])
    for where, value in changes:
        content[int(where * len(content))] = value
    readers: list[Callable[[io.BytesIO], Any]] = [read_header, lambda file: decode_image(file, (3, 8, 8))]
    for read in readers:
        with contextlib.suppress(UnreadableError):
            read(io.BytesIO(bytes(content)))

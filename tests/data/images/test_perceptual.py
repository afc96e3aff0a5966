import io
import itertools
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from graftline.data.duplicates.clusters import MAX_DISTANCE, SMALL_MAX_DISTANCE
from graftline.data.images.decode import decode_image
from graftline.data.images.perceptual import HASH_BYTES, perceptual_hash

Picture = NDArray[np.uint8]


def distance(one: Picture, other: Picture) -> int:
    hashes = np.frombuffer(perceptual_hash(one) + perceptual_hash(other), np.uint8).reshape(2, -1)
    return int(np.bitwise_count(hashes[0] ^ hashes[1]).sum())


def scene(seed: int, side: int = 224, grain: int = 20, channels: int = 3) -> Picture:
    """Clouds of color, unlike for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (channels, grain, grain), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC)) for one in coarse])


def stored(image: Image.Image, side: int = 224, **options: object) -> Picture:
    """As graftline stores it after it was a file."""
    file = io.BytesIO()
    image.save(file, **options)  # type: ignore[arg-type]
    return decode_image(file, (3, side, side))


def of(picture: Picture) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))


@given(st.integers(0, 2**32), st.integers(34, 90), st.integers(34, 90))
def test_the_bits_are_the_signs_of_the_waves(seed: int, height: int, width: int) -> None:
    signs = np.random.default_rng(seed).choice([-1, 1], (16, 16))
    along = [np.cos(np.pi * np.arange(1, 17)[:, None] * (np.arange(size) + 0.5) / size) for size in (height, width)]
    picture = 128 + 2 * (along[0].T @ signs @ along[1])
    assert perceptual_hash(picture.round().clip(0, 255).astype(np.uint8)[None]) == np.packbits(signs > 0).tobytes()


def test_a_mirrored_picture_has_no_odd_waves() -> None:
    half = scene(0, 64)
    found = np.frombuffer(perceptual_hash(np.concatenate([half, half[..., ::-1]], axis=2)), np.uint8)
    bits = np.unpackbits(found).reshape(16, 16)
    assert not bits[:, ::2].any()
    assert 40 < bits[:, 1::2].sum() < 88


def test_ledgers_of_earlier_runs_hold_the_same_hash() -> None:
    y, x = np.mgrid[:50, :70]
    picture = np.stack([(x * x + 3 * y) % 251, (x * y) % 241, (x + y * y) % 239]).astype(np.uint8)
    assert perceptual_hash(picture).hex() == ("01fe5ff05f907d077c7ff8f8f1e0e3c7c78e4618c631cc67dcc699c899939326")
    assert perceptual_hash(np.full((1, 8, 8), 7, np.uint8)).hex() == (
        "28f36852b39d06549d6685fd20794ea1a232c41dd1d221a0af0e34964ae32d2e"
    )


@given(st.integers(0, 2**32), st.integers(8, 70), st.integers(8, 70), st.integers(0, 255), st.integers(0, 255))
def test_grey_is_the_same_in_one_channel_and_in_three(seed: int, height: int, width: int, low: int, high: int) -> None:
    low, high = sorted((low, high))
    grey = np.random.default_rng(seed).integers(low, high, (1, height, width), np.uint8, endpoint=True)
    one = perceptual_hash(grey)
    assert one == perceptual_hash(np.repeat(grey, 3, axis=0))
    assert len(one) == HASH_BYTES


def test_brightness_and_contrast_change_nothing() -> None:
    picture = scene(0) // 4
    assert distance(picture, picture + np.uint8(100)) == 0
    assert distance(picture, 3 * picture) <= 2


def test_a_view_is_hashed_as_its_copy() -> None:
    picture = scene(0)[:, ::2, ::-1]
    assert perceptual_hash(picture) == perceptual_hash(picture.copy())


def test_pictures_without_structure_are_near_to_none() -> None:
    stripes = np.broadcast_to((np.arange(224) % 16 * 9).astype(np.uint8), (1, 224, 224))
    noise = np.random.default_rng(0).integers(99, 102, (1, 224, 224), np.uint8)
    red = np.stack([np.full((224, 224), value, np.uint8) for value in (100, 0, 0)])
    flat = [np.full((1, 224, 224), value, np.uint8) for value in (0, 1, 30, 255)]
    plain = [*flat, np.zeros((1, 28, 28), np.uint8), red, stripes, stripes.swapaxes(1, 2), noise, noise[:, ::-1]]
    for one, other in itertools.combinations([*plain, scene(0), scene(1)], 2):
        assert distance(one, other) > 80
    assert distance(flat[0], np.repeat(flat[0], 3, axis=0)) == 0


@pytest.mark.parametrize("side", [8, 9, 16, 17, 28, 64, 224])
def test_different_pictures_differ_in_half_of_the_bits(side: int) -> None:
    pictures = [scene(seed, side, min(side, 20), 1) for seed in range(30)]
    apart = [distance(one, other) for one, other in itertools.combinations(pictures, 2)]
    assert 96 < np.mean(apart) < 160
    assert min(apart) > 2 * (SMALL_MAX_DISTANCE if side <= 64 else MAX_DISTANCE)


def test_a_changed_copy_is_near() -> None:
    for seed in range(4):
        picture = of(scene(seed, 400))
        first = stored(picture, format="PNG")
        half, quarter = picture.resize((200, 200)), picture.resize((100, 100))
        for copy in (
            stored(picture, format="JPEG", quality=30),
            stored(half, format="PNG"),
            stored(quarter, format="JPEG", quality=75),
            stored(picture.crop((4, 4, 396, 396)), format="PNG"),
            stored(ImageEnhance.Brightness(picture).enhance(1.2), format="WEBP"),
        ):
            assert distance(first, copy) <= MAX_DISTANCE


def test_a_changed_copy_of_a_small_picture_is_near() -> None:
    for seed in range(4):
        picture = of(scene(seed, 32))
        first = stored(picture, 32, format="PNG")
        for copy in (
            stored(picture, 32, format="JPEG", quality=75),
            stored(ImageEnhance.Brightness(picture).enhance(0.8), 32, format="PNG"),
        ):
            assert distance(first, copy) <= SMALL_MAX_DISTANCE


def test_photographs_are_near_to_their_copies_only(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "hymenoptera.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:60:4]
        photographs = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names]
    first = [stored(photograph, format="PNG") for photograph in photographs]
    for picture, photograph in zip(first, photographs, strict=True):
        small = photograph.resize((photograph.width // 2, photograph.height // 2))
        assert distance(picture, stored(small, format="JPEG", quality=50)) <= MAX_DISTANCE
    assert min(distance(one, other) for one, other in itertools.combinations(first, 2)) > 2 * MAX_DISTANCE


def test_threads_give_the_same_hashes() -> None:
    pictures = [scene(seed, 40 + seed) for seed in range(30)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(perceptual_hash, pictures)) == [perceptual_hash(picture) for picture in pictures]

"""A 256 bit perceptual hash: pictures that look the same differ in few bits, others in about half of them.

It is the pHash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), with the
frequencies of PDQ (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019): 1 to 16
along both axes, so that brightness and even slopes count for nothing. Two things are decided otherwise: a bit is the
sign of its coefficient, which fewer changes of a picture turn than its side of the median, and the picture is projected
on the 256 waves as it is, not scaled to 64x64 first, which gives the same bits in less time.

All sums are of integers and fit a float64's 53 bits, so they are exact in any order: every machine gives the same hash.
"""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 32

_WAVES = 16
_SCALE = 2**22  # 8 bits of grey and twice 22 of waves stay below 53
_FLAT = _SCALE**2 // 16


def perceptual_hash(image: NDArray[np.uint8]) -> bytes:
    """Hashes one image.

    A picture without structure in both directions (one colour, plain stripes, faint noise only) has no such
    hash: all its coefficients are below 1/16 grey level. It gets the sha256 of its pixels, which is near no other hash.

    Args:
        image: uint8 (C, H, W), C 1 or 3, H and W from 8 up. Up to 16 pixels a side its frequencies repeat.

    Returns:
        HASH_BYTES bytes, the same for grey in one channel and in three.
    """
    grey = _grey(image)
    height, width = grey.shape
    coefficients = _waves(height) @ grey.astype(np.float64) @ _waves(width).T
    if np.abs(coefficients).max() < _FLAT:
        plain = image[:1] if (image == image[:1]).all() else image
        return hashlib.sha256(repr(plain.shape).encode() + plain.tobytes()).digest()
    return np.packbits(coefficients > 0).tobytes()


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The weights of ITU-R BT.601 in 1/256, so that three equal channels give just their value."""
    if len(image) == 1:
        grey: NDArray[np.uint8] = image[0]
        return grey
    red, green, blue = image.astype(np.uint16)
    weighted: NDArray[np.uint16] = 77 * red + 150 * green + 29 * blue + 128
    return (weighted >> 8).astype(np.uint8)


@lru_cache(maxsize=8)
def _waves(length: int) -> NDArray[np.float64]:
    """Rows 1 to 16 of the DCT-II of `length` samples, integers that sum up to _SCALE at most, (16, length)."""
    frequencies = np.arange(1, _WAVES + 1)[:, None]
    waves: NDArray[np.float64] = np.cos(np.pi * frequencies * (2 * np.arange(length) + 1) / (2 * length))
    waves -= waves.mean(axis=1, keepdims=True)  # of 8 samples the 16th would be their mean
    waves *= _SCALE / length
    return np.rint(waves, out=waves)

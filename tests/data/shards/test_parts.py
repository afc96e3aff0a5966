"""The same dataset bit for bit, whatever the number of shards."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftline.config import Data
from graftline.config.jobs import DecodeJob, PreprocessJob
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest
from graftline.data.shards.part import PartManifest
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.decode import decode
from graftline.steps.merge import merge
from graftline.steps.preprocess import preprocess
from tests.builders.raw_data import make_png, write_folder


def pets(folder: Path, grey: int = 0) -> Path:
    """Forty pictures of two classes, so many of them grey, one damaged, one twice."""
    for number in range(40):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert("L" if number < grey else "RGB").save(path)
    shutil.copy(folder / "a/0.png", folder / "a/again.png")
    return write_folder(folder, {"b/half.png": make_png(7)[:90]})


def job(place: Path, **more: object) -> PreprocessJob:
    data = Data(data=str(place), max_dropped=0.1)
    return PreprocessJob(label="pets", data=data, image_size=16, seed=0, fingerprint="f", **more)  # type: ignore[arg-type]


def sharded(asked: PreprocessJob, shards: int, out: Path, target: Path | None = None) -> DatasetManifest:
    parts = [out / f"part{shard}" for shard in range(shards)]
    for shard, part in enumerate(parts):
        decode(DecodeJob(data=asked, shard=shard, shards=shards), out=part)
    return merge(asked, parts[::-1], out=out / "merged", target=target)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("shards", "grey", "packed_above"), list(itertools.product([2, 7], [0, 39, 40], [16.0, 0.0])))
def test_any_number_of_shards_makes_the_same_files(tmp_path: Path, shards: int, grey: int, packed_above: float) -> None:
    asked = job(pets(tmp_path / "pets", grey), packed_above=packed_above)
    whole = preprocess(asked, out=tmp_path / "one")
    assert whole.layout == ("jpeg" if packed_above == 0 else "raw")
    assert whole.image_shape[0] == (1 if grey == 40 else 3)
    assert sharded(asked, shards, tmp_path / "many") == whole
    assert files(tmp_path / "many/merged") == files(tmp_path / "one")


def test_a_sources_shards_leave_out_what_the_target_tests(tmp_path: Path) -> None:
    asked = job(pets(tmp_path / "pets"))
    preprocess(asked, out=tmp_path / "target")
    whole = preprocess(asked, out=tmp_path / "one", target=tmp_path / "target")
    assert whole.leaked == 6
    sharded(asked, 3, tmp_path / "many", tmp_path / "target")
    assert files(tmp_path / "many/merged") == files(tmp_path / "one")


def test_more_shards_than_images_are_no_fault(tmp_path: Path) -> None:
    asked = job(pets(tmp_path / "pets"))
    assert sharded(asked, 90, tmp_path / "many") == preprocess(asked, out=tmp_path / "one")


def test_jpeg_has_the_digests_of_raw_pixels(tmp_path: Path) -> None:
    place = pets(tmp_path / "pets")
    raw, packed = (preprocess(job(place, packed_above=most), out=tmp_path / str(most)) for most in (16.0, 0.0))
    assert (raw.digest, raw.ledger, raw.mean, raw.std) == (packed.digest, packed.ledger, packed.mean, packed.std)
    assert raw.identity != packed.identity
    assert "stored as JPEG of quality 95" in " ".join(packed.notes)
    one, other = (dataset.read(tmp_path / str(most)).train.images[:8].astype(float) for most in (16.0, 0.0))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.5  # noise is what JPEG keeps least


def test_mean_and_deviation_are_those_of_the_stored_pixels(tmp_path: Path) -> None:
    told = preprocess(job(pets(tmp_path / "pets", grey=13)), out=tmp_path / "one")
    images = dataset.read(tmp_path / "one").train.images / 255
    assert told.mean == pytest.approx(images.mean(axis=(0, 2, 3)).tolist(), rel=1e-12)
    assert told.std == pytest.approx(images.std(axis=(0, 2, 3)).tolist(), rel=1e-12)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    asked = job(pets(tmp_path / "pets"))
    for shard in (0, 2):
        decode(DecodeJob(data=asked, shard=shard, shards=3), out=tmp_path / f"part{shard}")
    with pytest.raises(RefusedError, match=r"pets: of 3 shards \[1\] \(counted from 0\) are missing; run them"):
        merge(asked, [tmp_path / "part0", tmp_path / "part2"], out=tmp_path / "out")
    with pytest.raises(RefusedError, match="pets: no decoded shard of it is here"):
        merge(asked, [], out=tmp_path / "out")


def test_a_shard_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    asked = job(pets(tmp_path / "pets"))
    decode(DecodeJob(data=asked), out=tmp_path / "part")
    (tmp_path / "part/manifest.json").unlink()
    with pytest.raises(RefusedError, match=r"part: no manifest\.json, so this is not a whole part artifact"):
        merge(asked, [tmp_path / "part"], out=tmp_path / "out")


def test_data_that_changed_between_two_shards_are_refused(tmp_path: Path) -> None:
    asked = job(pets(tmp_path / "pets"))
    decode(DecodeJob(data=asked, shard=0, shards=2), out=tmp_path / "part0")
    write_folder(tmp_path / "pets", {"c/1.png": make_png(1), "c/2.png": make_png(2)})
    decode(DecodeJob(data=asked, shard=1, shards=2), out=tmp_path / "part1")
    with pytest.raises(RefusedError, match="shards 0 and 1 saw different data; it was changed meanwhile, run again"):
        merge(asked, [tmp_path / "part0", tmp_path / "part1"], out=tmp_path / "out")


def test_parts_of_other_data_are_passed_over(tmp_path: Path) -> None:
    asked, other = job(pets(tmp_path / "pets")), job(pets(tmp_path / "others"))
    for name, each in (("a", asked), ("b", other)):
        decode(DecodeJob(data=each), out=tmp_path / name)
    assert merge(asked, [tmp_path / "a", tmp_path / "b"], out=tmp_path / "out").files
    assert manifest.read(tmp_path / "a", PartManifest).job != manifest.read(tmp_path / "b", PartManifest).job

from pathlib import Path
from typing import Any

import pytest

from graftline.config import Config
from graftline.config.jobs import Jobs, decode_jobs, jobs_of
from graftline.data.dataset import LEDGER, DatasetManifest
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.decode import decode
from graftline.steps.merge import merge
from graftline.steps.merge_sources import merge_sources
from graftline.steps.preprocess import preprocess
from tests.builders.raw_data import make_images, write_folder

SHARDS = 2


def pets(folder: Path, count: int = 12) -> Path:
    return write_folder(
        folder, make_images([f"{label}/{number}.png" for label in ("ants", "bees") for number in range(count)])
    )


def jobs(folder: Path, sources: list[dict[str, Any]], **more: Any) -> Jobs:
    return jobs_of(
        Config.model_validate(
            {"target": {"data": str(pets(folder / "target")), **more}, "image_size": 16, "source": sources}
        ),
        {},
    )


def decoded(asked: Jobs, folder: Path) -> list[Path]:
    for job in decode_jobs(asked, SHARDS):
        decode(job, out=folder / job.name)
    return sorted(folder.iterdir())


def test_each_source_gets_the_dataset_that_preprocess_would_make(tmp_path: Path) -> None:
    asked = jobs(tmp_path, [{"data": str(pets(tmp_path / "more", 30))}, {"init": "random", "name": "../out"}])
    parts = decoded(asked, tmp_path / "parts")
    target = tmp_path / "merged"
    merge(asked.target, parts, out=target)
    made = merge_sources(asked.sources, parts, target=target, out=tmp_path / "sources")
    folders = sorted((tmp_path / "sources").iterdir())
    assert [manifest.read(folder, DatasetManifest).label for folder in folders] == ["../out", "more"]
    assert [job.label for job in made] == ["more", "../out"]
    for folder, source, job in zip(reversed(folders), asked.sources, made, strict=True):
        whole = preprocess(source.preprocess, out=tmp_path / "whole", target=target)
        assert manifest.read(folder, DatasetManifest, verify=True) == whole
        assert job == source.pretrain.model_copy(update={"inputs": manifest.identity(folder)})
    assert manifest.read(tmp_path / "sources/more", DatasetManifest).leaked


def test_a_shard_that_is_missing_is_refused(tmp_path: Path) -> None:
    asked = jobs(tmp_path, [{"data": str(pets(tmp_path / "more"))}])
    parts = decoded(asked, tmp_path / "parts")
    merge(asked.target, parts, out=tmp_path / "merged")
    with pytest.raises(RefusedError, match=r"more: of 2 shards, \[0\] \(counted from 0\) are missing; decode them"):
        merge_sources(
            asked.sources,
            [part for part in parts if part.name != "more-1of2"],
            target=tmp_path / "merged",
            out=tmp_path / "sources",
        )


def test_shards_of_another_size_than_the_targets_are_refused(tmp_path: Path) -> None:
    earlier = jobs(tmp_path, [{"init": "random"}]).target.model_copy(update={"image_size": 24})
    preprocess(earlier, out=tmp_path / "earlier")
    asked = jobs(tmp_path, [{"data": str(pets(tmp_path / "more", 30))}], ledger=str(tmp_path / "earlier" / LEDGER))
    parts = decoded(asked, tmp_path / "parts")
    assert merge(asked.target, parts, out=tmp_path / "merged").image_shape == (3, 24, 24)
    with pytest.raises(RefusedError, match="more: decoded at 16x16, but the target's ledger was made at 24x24"):
        merge_sources(asked.sources, parts, target=tmp_path / "merged", out=tmp_path / "sources")


def test_what_an_earlier_try_left_is_gone(tmp_path: Path) -> None:
    asked = jobs(tmp_path, [{"init": "random"}])
    merge(asked.target, decoded(asked, tmp_path / "parts"), out=tmp_path / "merged")
    write_folder(tmp_path / "sources", {"other/manifest.json": b"{}", "random/half.npy": b"x"})
    merge_sources(asked.sources, [], target=tmp_path / "merged", out=tmp_path / "sources")
    assert [path.name for path in (tmp_path / "sources").iterdir()] == ["random"]
    assert "half.npy" not in manifest.read(tmp_path / "sources/random", DatasetManifest).files

"""Decoding fanned out: real data through the real DAG up to plan, with a stub for pretrain; shards that fail."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_digits

from graftline.config import Config
from graftline.pipelines.local.run import RunResult
from tests.builders.stub_runs import StubRuns

SHARDS = 3
DECODED = {f"decode-{task}-{shard}of{SHARDS}" for task in ("target", "source") for shard in range(1, SHARDS + 1)}


def digits(folder: Path, first: int, last: int) -> Path:
    """Handwritten digits as PNG files, the last one in color, and one file that is no image."""
    scans = load_digits()
    for number in range(first, last):
        image = Image.fromarray((scans.images[number] * 15).astype(np.uint8))
        path = folder / str(scans.target[number]) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        (ImageOps.colorize(image, "black", "red") if number == last - 1 else image).save(path)
    (folder / "0" / "page.png").write_text("<html>not found</html>")
    return folder


def config(folder: Path, **more: Any) -> Config:
    return Config.model_validate(
        {
            "target": {"data": str(folder / "target")},
            "image_size": 16,
            "strategies": ["full"],
            "confirm_seeds": 2,
            "source": [{"data": str(folder / "source")}, {"init": "random", "name": "nothing"}],
        }
        | more
    )


def names(result: RunResult, *, cached: bool) -> set[str]:
    return {step["name"] for step in result.run["steps"] if step["cached"] == cached}


def datasets(result: RunResult, *folders: str) -> dict[str, dict[str, bytes]]:
    """Files of the dataset artifacts that steps of these names left in the cache, by label."""
    files = {}
    for name in folders:
        for path in (result.out.parent / "cache" / "artifacts").rglob(f"{name}/dataset/**/manifest.json"):
            label = json.loads(path.read_bytes())["label"]
            files[label] = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    return files


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunResult]:
    """The same data decoded in one step a task, in three, and once more in three."""
    stubs = StubRuns(tmp_path_factory.mktemp("fan_out"))
    digits(stubs.folder / "target", 0, 400)
    digits(stubs.folder / "source", 300, 500)
    return [
        stubs.run(config(stubs.folder, **more), fail="refused=plan", real="data")
        for more in ({}, {"shards": SHARDS}, {"shards": SHARDS})
    ]


def test_datasets_are_bitwise_equal_for_any_number_of_shards(runs: list[RunResult]):
    plain, sharded, _ = runs
    one = datasets(plain, "preprocess", "preprocess-2")
    assert one.keys() == {"target", "source", "nothing"}
    assert all(
        {"images.npy", "labels.npy", "ledger.json", "page.html", "samples.jsonl", "manifest.json"} == set(files)
        for files in one.values()
    )
    assert datasets(sharded, "merge", "merge-sources") == one
    manifests = {label: json.loads(files["manifest.json"]) for label, files in one.items()}
    assert [manifests[label]["image_shape"] for label in one] == [[3, 16, 16]] * 3
    assert {label: len(manifest["dropped"]) for label, manifest in manifests.items()} == {
        "target": 1,
        "source": 1,
        "nothing": 0,
    }
    assert manifests["source"]["leaked"]


def test_pretraining_is_read_from_the_cache_of_the_other_variant(runs: list[RunResult]):
    _, sharded, _ = runs
    assert names(sharded, cached=False) == {"fingerprint", *DECODED, "merge-target", "merge-sources"}
    assert names(sharded, cached=True) == {"pretrain-source", "pretrain-nothing"}


def test_a_second_run_decodes_nothing(runs: list[RunResult]):
    *_, again = runs
    assert names(again, cached=False) == {"fingerprint"}
    assert names(again, cached=True) >= DECODED


def test_the_targets_data_page_is_copied_to_the_runs_folder(runs: list[RunResult]):
    for run in runs:
        made = datasets(runs[0], "preprocess", "preprocess-2")["target"]
        assert (run.out / "data.html").read_bytes() == made["page.html"]
        assert (run.out / "ledger.json").read_bytes() == made["ledger.json"]
        assert run.run["data"]["warnings"] == json.loads(made["manifest.json"])["warnings"]


def test_after_a_killed_shard_only_that_shard_is_decoded_again(tmp_path: Path):
    stubs = StubRuns(tmp_path)
    asked = stubs.config(image_size=8, shards=2)
    killed = stubs.run(asked, fail="kill=decode-one-1of2")
    assert (killed.exit_code, killed.run["error"]["step"]) == (1, "decode-one-1of2")
    assert killed.run["error"]["kind"] == "preempted"
    assert {"decode-target-1of2", "decode-target-2of2"} <= names(killed, cached=False)
    assert not {"merge-target", "merge-sources"} & names(killed, cached=False)
    again = stubs.run(asked, fail="refused=pretrain-one")
    assert {"decode-one-1of2", "merge-target", "merge-sources"} <= names(again, cached=False)
    assert names(again, cached=True) == names(killed, cached=False) - {"fingerprint"}

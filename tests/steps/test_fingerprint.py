import os
from pathlib import Path
from typing import Any

import pytest

from graftline.config import Config, Data
from graftline.runtime.errors import RefusedError
from graftline.steps.fingerprint import fingerprint, fingerprint_data, fingerprint_uri
from tests.builders.raw_data import CLASS_FILES, make_images, write_folder
from tests.builders.tables import format_csv


def config(place: Path | str, **source: Any) -> Config:
    return Config.model_validate({"source": source or {"init": "random"}, "target": {"data": str(place)}})


def test_each_job_carries_the_fingerprint_of_its_data(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", make_images(CLASS_FILES))
    jobs = fingerprint(config(place, data="builtin:digits/clean"))
    assert jobs.target.fingerprint == fingerprint_uri(str(place))
    assert jobs.sources[0].preprocess.fingerprint == fingerprint_uri("builtin:digits/clean")
    assert jobs.sources[0].pretrain.fingerprint == ""


def test_fingerprint_covers_weights_in_a_file(tmp_path: Path) -> None:
    weights = tmp_path / "net.pth"
    weights.write_bytes(b"one")
    first = fingerprint(config("builtin:digits/scanned", init=str(weights)))
    weights.write_bytes(b"two")
    second = fingerprint(config("builtin:digits/scanned", init=str(weights)))
    assert first.sources[0].pretrain.to_json() != second.sources[0].pretrain.to_json()
    assert first.target == second.target


def test_fingerprint_depends_on_content_and_names_only(tmp_path: Path) -> None:
    files = make_images(CLASS_FILES)
    one, other = write_folder(tmp_path / "one", files), write_folder(tmp_path / "other", files)
    os.utime(other / CLASS_FILES[0], (0, 0))
    assert fingerprint_uri(str(one)) == fingerprint_uri(str(other)) == fingerprint_uri(one.as_uri())
    (other / CLASS_FILES[0]).write_bytes(files[CLASS_FILES[0]][:-1] + b"x")
    changed = fingerprint_uri(str(other))
    (other / CLASS_FILES[0]).rename(other / "ants" / "new.png")
    assert len({fingerprint_uri(str(one)), changed, fingerprint_uri(str(other))}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": {"data": "/no/such/place"}}, "/no/such/place: there is no such file or folder"),
        ({"source": {"data": "/no/such/source"}}, "/no/such/source: there is no such file or folder"),
        ({"target": {"data": "builtin:digits/dirty"}}, "builtin:digits/dirty: unknown built-in dataset; use"),
        (
            {"target": {"data": "builtin:digits/clean", "format": "jpegs"}},
            "format: unknown format 'jpegs'; use one of auto",
        ),
        (
            {"source": {"init": "/no/net.pth"}},
            "source.init: '/no/net.pth' is neither random nor DEFAULT nor an existing file",
        ),
        ({"source": {"init": "imagenet"}}, "source.init: 'imagenet' is neither random nor DEFAULT"),
        ({"target": {"data": "s3://bucket/x"}}, "'s3://bucket/x': not a local path, file:// or gs:// URI"),
    ],
)
def test_refuses_unusable_locations_and_formats(change: dict[str, Any], message: str) -> None:
    whole = {"source": {"init": "random"}, "target": {"data": "builtin:digits/scanned"}, **change}
    with pytest.raises(RefusedError, match=message):
        fingerprint(Config.model_validate(whole))


def test_refuses_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="the folder is empty"):
        fingerprint_uri(str(tmp_path))


def write_table(folder: Path) -> Path:
    names = [f"{label}/{number}.png" for label in ("ants", "bees") for number in range(3)]
    write_folder(folder / "images", make_images(names))
    return (
        write_folder(folder / "images", {"labels.csv": format_csv([(n, n[:4]) for n in names]).encode()}) / "labels.csv"
    )


def test_fingerprint_of_a_table_covers_the_files_of_its_rows(tmp_path: Path) -> None:
    table = write_table(tmp_path / "a")
    before = fingerprint_data(Data(data=str(table)))
    assert fingerprint_data(Data(data=str(write_table(tmp_path / "elsewhere")))) == before
    (table.parent / "beside.png").write_bytes(b"no row names it")
    assert fingerprint_data(Data(data=str(table))) == before
    (table.parent / "ants/0.png").write_bytes(b"another picture")
    changed = fingerprint_data(Data(data=str(table)))
    (table.parent / "ants/0.png").unlink()
    assert len({before, changed, fingerprint_data(Data(data=str(table)))}) == 3


def test_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, graftline.steps.fingerprint, graftline.steps.preprocess; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

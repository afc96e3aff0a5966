import os
from pathlib import Path
from typing import Any

import pytest

from graftline.config import Config, Data
from graftline.runtime.errors import RefusedError
from graftline.steps.fingerprint import fingerprint, of_data, of_place
from tests.builders.raw_data import CLASS_FILES, make_images, write_folder
from tests.builders.tables import format_csv


def config(place: Path | str, **source: Any) -> Config:
    return Config.model_validate({"source": source or {"init": "random"}, "target": {"data": str(place)}})


def test_each_job_carries_the_fingerprint_of_its_data(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", make_images(CLASS_FILES))
    jobs = fingerprint(config(place, data="builtin:digits/clean"))
    assert jobs.target.fingerprint == of_place(str(place))
    assert jobs.sources[0].preprocess.fingerprint == of_place("builtin:digits/clean")
    assert jobs.sources[0].pretrain.fingerprint == ""


def test_weights_in_a_file_have_a_fingerprint_too(tmp_path: Path) -> None:
    weights = tmp_path / "net.pth"
    weights.write_bytes(b"one")
    first = fingerprint(config("builtin:digits/scanned", init=str(weights)))
    weights.write_bytes(b"two")
    second = fingerprint(config("builtin:digits/scanned", init=str(weights)))
    assert first.sources[0].pretrain.to_json() != second.sources[0].pretrain.to_json()
    assert first.target == second.target


def test_content_and_names_count_time_and_place_do_not(tmp_path: Path) -> None:
    files = make_images(CLASS_FILES)
    one, other = write_folder(tmp_path / "one", files), write_folder(tmp_path / "other", files)
    os.utime(other / CLASS_FILES[0], (0, 0))
    assert of_place(str(one)) == of_place(str(other)) == of_place(one.as_uri())
    (other / CLASS_FILES[0]).write_bytes(files[CLASS_FILES[0]][:-1] + b"x")
    changed = of_place(str(other))
    (other / CLASS_FILES[0]).rename(other / "ants" / "new.png")
    assert len({of_place(str(one)), changed, of_place(str(other))}) == 3


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
        ({"source": {"init": "/no/net.pth"}}, "source.init: '/no/net.pth' is neither random nor DEFAULT nor a file"),
        ({"source": {"init": "imagenet"}}, "source.init: 'imagenet' is neither random nor DEFAULT"),
        ({"target": {"data": "s3://bucket/x"}}, "'s3://bucket/x': not a local path, file:// or gs:// URI"),
    ],
)
def test_what_cannot_work_is_refused_first(change: dict[str, Any], message: str) -> None:
    whole = {"source": {"init": "random"}, "target": {"data": "builtin:digits/scanned"}, **change}
    with pytest.raises(RefusedError, match=message):
        fingerprint(Config.model_validate(whole))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="an empty folder"):
        of_place(str(tmp_path))


def _table(folder: Path) -> Path:
    names = [f"{label}/{number}.png" for label in ("ants", "bees") for number in range(3)]
    write_folder(folder / "images", make_images(names))
    return (
        write_folder(folder / "images", {"labels.csv": format_csv([(n, n[:4]) for n in names]).encode()}) / "labels.csv"
    )


def test_a_tables_fingerprint_covers_the_files_that_its_rows_name(tmp_path: Path) -> None:
    table = _table(tmp_path / "a")
    before = of_data(Data(data=str(table)))
    assert of_data(Data(data=str(_table(tmp_path / "elsewhere")))) == before
    (table.parent / "beside.png").write_bytes(b"no row names it")
    assert of_data(Data(data=str(table))) == before
    (table.parent / "ants/0.png").write_bytes(b"another picture")
    changed = of_data(Data(data=str(table)))
    (table.parent / "ants/0.png").unlink()
    assert len({before, changed, of_data(Data(data=str(table)))}) == 3


def test_imports_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, graftline.steps.fingerprint, graftline.steps.preprocess; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

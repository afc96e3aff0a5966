import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data.splits.ledger import Ledger, read, stricter, strictest
from graftline.runtime.errors import RefusedError

names = st.sampled_from(["train", "val", "test"])
hexadecimal = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(
    st.builds(
        Ledger,
        seed=st.integers(0, 2**63),
        image_size=st.tuples(st.integers(1, 999), st.integers(1, 999)),
        entries=st.dictionaries(hexadecimal, names),
        groups=st.dictionaries(st.text(), names),
        hashes=st.dictionaries(hexadecimal, hexadecimal),
    )
)
def test_a_ledger_comes_back_as_it_was_written(one: Ledger) -> None:
    assert Ledger.model_validate_json(one.to_json()) == one


def test_test_is_stricter_than_val_than_train() -> None:
    assert strictest(["train", "test", "val"]) == "test"
    assert strictest(["train", "val"]) == "val"
    assert stricter("test", "val")
    assert stricter("val", "train")
    assert not stricter("val", "val")


def test_one_text_for_one_ledger(tmp_path: Path) -> None:
    one = Ledger(seed=1, image_size=(2, 3), entries={"b": "val", "a": "train"}, groups={"p": "val", "o": "train"})
    other = Ledger(seed=1, image_size=(2, 3), entries={"a": "train", "b": "val"}, groups={"o": "train", "p": "val"})
    assert one.to_json() == other.to_json()
    assert one.digest == other.digest
    (tmp_path / "ledger.json").write_text(one.to_json())
    assert read(tmp_path) == read(tmp_path / "ledger.json") == one


def test_the_first_version_is_read_as_the_second(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"entries":{"aa":"val"},"image_shape":[3,8,9],"schema_version":1,"seed":5}')
    found = read(tmp_path / "old.json")
    assert found == Ledger(seed=5, image_size=(8, 9), entries={"aa": "val"})
    assert json.loads(found.to_json()) == {
        "schema_version": 2,
        "seed": 5,
        "image_size": [8, 9],
        "entries": {"aa": "val"},
        "groups": {},
        "hashes": {},
    }


good = {"schema_version": 2, "seed": 0, "image_size": [2, 3], "entries": {}}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "Input should be an object"),
        ({**good, "entries": {"a": "best"}}, r"entries\.a: Input should be 'train', 'val' or 'test'"),
        ({**good, "groups": {"p": None}}, r"groups\.p: "),
        ({**good, "hashes": {"a": "00"}}, r"hashes\.a: String should match"),
        ({**good, "hashes": {"a": "g" * 64}}, r"hashes\.a: String should match"),
        ({"schema_version": 1, "seed": 0, "image_shape": 3, "entries": {}}, "image_size: Field required"),
        ({**good, "schema_version": 3}, "schema version 3, this graftline reads up to 2: upgrade graftline"),
    ],
)
def test_what_is_no_ledger_is_refused(tmp_path: Path, value: Any, why: str) -> None:
    (tmp_path / "ledger.json").write_text(json.dumps(value))
    with pytest.raises(RefusedError, match=rf"ledger\.json: not a split ledger: {why}.*; give the ledger\.json of"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"seed":' + b"[" * 100_000])
def test_a_damaged_ledger_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.json").write_bytes(content)
    with pytest.raises(RefusedError, match=r"ledger\.json: not a split ledger: Invalid JSON"):
        read(tmp_path)


def test_a_missing_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"none\.json: not a split ledger: No such file"):
        read(tmp_path / "none.json")
    with pytest.raises(RefusedError, match=r"ledger\.json: not a split ledger: No such file"):
        read(tmp_path)

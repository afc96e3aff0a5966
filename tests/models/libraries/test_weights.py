import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from graftline.models.inputs.sizes import contract_for
from graftline.models.libraries.shapes import Unfilled
from graftline.models.libraries.weights import read_state
from graftline.models.transfer.keys import ours
from graftline.runtime.errors import RefusedError
from tests.builders.networks import build

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(3)}


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE},
        {f"module.{key}": value for key, value in STATE.items()},
        {"state_dict": {f"module.{key}": value for key, value in STATE.items()}},
    ],
    ids=["plain", "state_dict", "model", "module", "both"],
)
def test_state_dicts_as_they_come(tmp_path: Path, content: object) -> None:
    state = read_state(saved(tmp_path / "w.pth", content))
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


def test_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert torch.equal(read_state(tmp_path / "w.safetensors")["a.weight"], STATE["a.weight"])


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("exploded"),)


def test_a_pickle_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match=r"w\.pth: not a state dict that can be read without running code"):
        read_state(saved(tmp_path / "w.pth", {"a": Bomb()}))
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RefusedError, match="without running code"):
        read_state(tmp_path / "raw.pth")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"PK\x03\x04half a zip"], ids=["empty", "html", "zip"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_other_files_are_refused(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(RefusedError, match=name):
        read_state(tmp_path / name)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.pth", {"a": torch.randn(1000)}).read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RefusedError, match=r"half\.pth"):
        read_state(tmp_path / "half.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds list; expected a state dict"),
        ({}, "holds dict; expected a state dict"),
        ({"a": 3}, "'a' is int; expected a state dict, names to tensors"),
        ({"a": torch.tensor([1.0, float("nan")])}, "a has NaN or infinite values"),
        ({"a": torch.tensor([float("inf")])}, "a has NaN or infinite values"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read_state(saved(tmp_path / "w.pth", content))


def header(text: bytes, *, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize(
    "content",
    [
        header(b"{" + b" " * 100_000_001 + b"}"),
        header(b"{}", length=2**63),
        header(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
            data=bytes(12),
        ),
        header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', data=bytes(8)),
        header(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,8]}}', data=bytes(8)),
    ],
    ids=["100 MB header", "endless header", "overlapping offsets", "short data", "shape and bytes disagree"],
)
def test_hostile_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(RefusedError, match=r"w\.safetensors: not a whole safetensors file"):
        read_state(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("backbone", "old", "new"),
    [
        (
            "densenet121",
            "features.denseblock1.denselayer1.norm.1.weight",
            "features.denseblock1.denselayer1.norm1.weight",
        ),
        ("vit_b_32", "encoder.layers.encoder_layer_0.mlp.linear_2.bias", "encoder.layers.encoder_layer_0.mlp.3.bias"),
    ],
)
def test_old_names_in_published_files(backbone: str, old: str, new: str) -> None:
    with Unfilled():
        network = build(backbone, 2, input=contract_for(backbone, stored=(3, 64, 64), mean=[0.5], std=[0.5]))
    assert list(ours({old: torch.zeros(1)}, network)) == [f"backbone.{new}"]
    assert f"backbone.{new}" in network.state_dict()

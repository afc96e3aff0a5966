import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from graftline.config import Head, Small
from graftline.models import checkpoint
from graftline.models.checkpoint import CandidateResult, CheckpointManifest
from graftline.models.inputs.sizes import contract_for
from graftline.models.loading import load_checkpoint
from graftline.models.network import Network
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from tests.builders.networks import build

SMALL, HEAD = Small(widths=[4, 5], activation="tanh", kernel=5), Head(hidden=[6], dropout=0.2)


def made(folder: Path, backbone: str = "cnn", stored=(1, 12, 12), **changes) -> tuple[Network, CheckpointManifest]:
    contract = contract_for(backbone, stored=stored, mean=[0.1], std=[0.3])
    fields = {
        "small": SMALL,
        "head": HEAD,
        "source_head": False,
        "architecture": {},
        "row": CandidateResult(),
        **changes,
    }
    network = build(backbone, 3, input=contract, **{k: v for k, v in fields.items() if k != "row"})
    written = CheckpointManifest(
        name="it",
        backbone=backbone,
        classes=["a", "b", "c"],
        input=contract,
        strategy="full",
        seed=0,
        dataset_digest=None,
        config="{}",
        licence="none",
        **fields,
    )
    return network, checkpoint.write(folder, written, network if fields["row"].status == "ok" else None)


@pytest.mark.parametrize(
    ("backbone", "stored", "changes"),
    [
        ("mlp", (3, 6, 5), {}),
        ("cnn", (1, 12, 12), {}),
        ("rnn", (1, 12, 12), {}),
        ("cnn", (1, 12, 12), {"architecture": {"width": 2.0, "depth": 1, "kernel": 3}}),
        ("shufflenet_v2_x0_5", (3, 40, 40), {}),
        ("squeezenet1_1", (3, 40, 40), {"source_head": True}),
        ("mnasnet0_5", (3, 32, 32), {}),
        ("mobilenet_v3_small", (3, 32, 32), {"architecture": {"width": 0.5, "stem": "small"}}),
    ],
)
def test_what_is_read_is_what_was_written(tmp_path: Path, backbone: str, stored, changes) -> None:
    network, written = made(tmp_path, backbone, stored, **changes)
    read, found = load_checkpoint(tmp_path)
    assert found == written
    assert read.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in read.state_dict().items())
    assert all(p.requires_grad for p in read.parameters())
    images = torch.randn(2, found.input.channels, found.input.height, found.input.width)
    assert torch.allclose(read(images), network.eval()(images), atol=1e-5)


@pytest.mark.parametrize("backbone", ["resnet18", "regnet_y_400mf", "swin_t", "vit_b_32", "maxvit_t"])
@pytest.mark.slow
def test_large_ones_too(tmp_path: Path, backbone: str) -> None:
    network, _ = made(tmp_path, backbone, (3, 64, 64))
    read, found = load_checkpoint(tmp_path)
    images = torch.randn(1, 3, found.input.height, found.input.width)
    assert torch.allclose(read(images), network.eval()(images), atol=1e-5)


def test_running_statistics_are_kept(tmp_path: Path) -> None:
    network, written = made(tmp_path / "a", "shufflenet_v2_x0_5", (3, 40, 40))
    network.train()(torch.randn(4, 3, 40, 40))
    checkpoint.write(tmp_path / "b", written, network)
    read, _ = load_checkpoint(tmp_path / "b")
    assert read.backbone.conv1[1].num_batches_tracked == 1
    assert torch.equal(read.backbone.conv1[1].running_mean, network.backbone.conv1[1].running_mean)


def test_the_loaded_network_trains(tmp_path: Path) -> None:
    made(tmp_path, "rnn")
    network, _ = load_checkpoint(tmp_path)
    network.train()(torch.randn(4, 1, 12, 12)).sum().backward()
    assert network.backbone.gru1.weight_ih_l0.grad.abs().sum() > 0


def test_the_digest_is_the_weights(tmp_path: Path) -> None:
    _, written = made(tmp_path)
    assert written.digest == manifest.digest_file(tmp_path / "weights.safetensors")
    assert written.files == {"weights.safetensors": written.digest}


def test_a_failed_training_leaves_its_row_and_no_weights(tmp_path: Path) -> None:
    made(tmp_path)
    _, written = made(tmp_path, row=CandidateResult(status="diverged", reason="NaN in epoch 2"))
    assert (written.digest, written.files) == ("", {})
    assert not (tmp_path / "weights.safetensors").exists()
    with pytest.raises(RefusedError, match="no weights, its training ended as 'diverged': NaN in epoch 2"):
        load_checkpoint(tmp_path)


def test_a_good_row_needs_a_network(tmp_path: Path) -> None:
    _, written = made(tmp_path)
    with pytest.raises(ValueError, match=r"row\.status 'ok' without a network"):
        checkpoint.write(tmp_path, written, None)


def test_without_a_manifest_it_is_not_whole(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(RefusedError, match=r"no manifest\.json, so this is not a whole checkpoint artifact"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("place", [8, 300, -1])
def test_one_flipped_bit_is_refused(tmp_path: Path, place: int) -> None:
    made(tmp_path)
    data = bytearray((tmp_path / "weights.safetensors").read_bytes())
    data[place] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(data)
    with pytest.raises(RefusedError, match=r"weights\.safetensors: its bytes are not those"):
        load_checkpoint(tmp_path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    made(tmp_path)
    data = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(data[:-5])
    with pytest.raises(RefusedError, match="its bytes are not those"):
        load_checkpoint(tmp_path)


def replaced(folder: Path, content: bytes) -> None:
    """An attacker who rewrites the manifest too."""
    _, written = made(folder)
    (folder / "weights.safetensors").write_bytes(content)
    digest = manifest.digest_file(folder / "weights.safetensors")
    manifest.write(folder, written.model_copy(update={"digest": digest, "files": {}}))


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 100_000_001) + b"{" + b" " * 100_000_000,
        struct.pack("<Q", 112)
        + (
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32",'
            b'"shape":[2],"data_offsets":[4,12]}}'
        ).ljust(112)
        + bytes(12),
        b"\x80\x04\x95pickle",
    ],
    ids=["100 MB header", "overlapping offsets", "pickle"],
)
def test_hostile_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    replaced(tmp_path, content)
    with pytest.raises(RefusedError, match="not a whole safetensors file"):
        load_checkpoint(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    made(tmp_path / "other", "mlp")
    replaced(tmp_path / "it", (tmp_path / "other" / "weights.safetensors").read_bytes())
    with pytest.raises(RefusedError, match="source weights: they do not fit the network"):
        load_checkpoint(tmp_path / "it")


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    made(tmp_path / "whole")
    state = load_file(tmp_path / "whole" / "weights.safetensors")
    save_file({key: value.half() for key, value in state.items()}, tmp_path / "half.safetensors")
    replaced(tmp_path / "it", (tmp_path / "half.safetensors").read_bytes())
    with pytest.raises(RefusedError, match="do not fit"):
        load_checkpoint(tmp_path / "it")


def test_a_manifest_that_names_a_file_outside_is_refused(tmp_path: Path) -> None:
    _, written = made(tmp_path / "it")
    text = written.model_copy(update={"files": {"../../etc/passwd": written.digest}}).model_dump_json()
    (tmp_path / "it" / "manifest.json").write_text(text)
    with pytest.raises(RefusedError, match="outside of the folder"):
        load_checkpoint(tmp_path / "it")


def test_the_manifest_is_read_without_torch() -> None:
    code = "import sys, graftline.models.checkpoint; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

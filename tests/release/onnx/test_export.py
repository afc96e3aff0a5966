"""The same numbers from PyTorch and from the file, for each kind of network, with a resize in the contract."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from graftline.models.input_contract import InputContract
from graftline.release.onnx import export, model_file
from graftline.release.onnx.model_file import ModelMetadata
from graftline.release.onnx.parity import compare
from tests.builders.networks import build

CLASSES = ["ant", "bee", "<b>&"]
NETWORKS = {  # backbone -> stored shape, side that it is resized to
    "mlp": ((1, 16, 16), 16),
    "cnn": ((3, 20, 24), 16),
    "rnn": ((1, 20, 20), 16),
    "mobilenet_v2": ((3, 40, 48), 64),
    "resnet18": ((1, 28, 28), 64),
    "squeezenet1_1": ((3, 80, 60), 64),
}
SLOW = {
    "vit_b_16": ((1, 28, 28), 224),
    "convnext_tiny": ((3, 64, 64), 64),
    "efficientnet_b0": ((3, 64, 64), 64),
    "densenet121": ((3, 64, 64), 64),
    "inception_v3": ((3, 96, 96), 96),
    "googlenet": ((3, 64, 64), 64),
    "vgg11": ((3, 64, 64), 64),
    "swin_t": ((3, 64, 64), 64),
    "regnet_y_400mf": ((3, 64, 64), 64),
    "shufflenet_v2_x0_5": ((3, 64, 64), 64),
    "mnasnet0_5": ((3, 64, 64), 64),
    "alexnet": ((3, 64, 64), 64),
}


def facts_for(backbone: str, stored: tuple[int, int, int], side: int, temperature: float = 1.7) -> ModelMetadata:
    channels = stored[0] if backbone in {"mlp", "cnn", "rnn"} else 3
    contract = InputContract(
        stored=stored, channels=channels, height=side, width=side, mean=[0.45] * channels, std=[0.22] * channels
    )
    return ModelMetadata(
        classes=CLASSES,
        input=contract,
        temperature=temperature,
        backbone=backbone,
        chosen="sha256:c",
        dataset_digest="sha256:d",
        licence="BSD",
        graftline="0",
    )


def export_random(backbone: str, stored: tuple[int, int, int], side: int, file: Path) -> export.Served:
    torch.manual_seed(3)
    facts = facts_for(backbone, stored, side)
    model = export.served(build(backbone, len(CLASSES), input=facts.input), facts)
    export.export(model, facts, file)
    return model


def _proves_parity(backbone: str, stored: tuple[int, int, int], side: int, folder: Path) -> None:
    model = export_random(backbone, stored, side, folder / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (11, *stored), np.uint8)
    reference = export.logits_of(model, images, lambda done, total: None)
    parity = compare(model_file.load(folder), images, reference, reference, batch_sizes=[1, 2, 7], relative=1e-4)
    assert parity.argmax_agreement == 1
    assert parity.examples == 11


@pytest.mark.parametrize("backbone", NETWORKS)
def test_parity(backbone: str, tmp_path: Path) -> None:
    _proves_parity(backbone, *NETWORKS[backbone], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", SLOW)
def test_parity_of_larger_networks(backbone: str, tmp_path: Path) -> None:
    _proves_parity(backbone, *SLOW[backbone], tmp_path)


def test_file_holds_its_facts_and_nothing_of_this_machine(tmp_path: Path) -> None:
    export_random("mlp", (1, 8, 8), 8, tmp_path / "model.onnx")
    export_random("mlp", (1, 8, 8), 8, tmp_path / "again.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    model = onnx.load_model_from_string(content)
    assert model_file.load(tmp_path).facts == facts_for("mlp", (1, 8, 8), 8)
    assert [entry.version for entry in model.opset_import] == [export.OPSET]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert b"graftline/" not in content
    assert b".py" not in content
    assert (tmp_path / "again.onnx").read_bytes() == content


def test_latency_measures_both(tmp_path: Path) -> None:
    model = export_random("mlp", (3, 12, 12), 12, tmp_path / "model.onnx")
    figures = export.latency(model, tmp_path, np.zeros((3, 3, 12, 12), np.uint8))
    assert (
        min(
            figures.batch_1_ms,
            figures.batch_1_ms_pytorch,
            figures.batch_32_per_second,
            figures.batch_32_per_second_pytorch,
        )
        > 0
    )
    assert figures.rounds >= 3

import importlib
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from graftline.config import Head, Small, Training
from graftline.config.jobs import PretrainJob
from graftline.data.dataset import DatasetManifest
from graftline.models import checkpoint
from graftline.models.checkpoint import CandidateResult, CheckpointManifest
from graftline.models.inputs.preprocessing import prepare
from graftline.models.inputs.sizes import contract_for
from graftline.models.libraries.shapes import Unfilled
from graftline.models.source import InitialWeights, load_initial_weights
from graftline.runtime.errors import RefusedError
from tests.builders.networks import build

CLASSES = ["ants", "bees"]


def dataset(shape=(3, 32, 32), count: int = 0, classes: list[str] | None = None) -> DatasetManifest:
    return DatasetManifest(
        label="it",
        format="none",
        classes=classes or (CLASSES if count else []),
        sizes={"train": count, "val": 0, "test": 0},
        image_shape=shape,
        mean=[0.2] * shape[0],
        std=[0.0] * shape[0],
        dropped=[],
        seed=0,
        ledger="",
        fingerprint="",
        digest="sha256:0",
    )


def job(init: str | Path, backbone: str = "squeezenet1_1", seed: int = 0, **changes) -> PretrainJob:
    fields = {"small": Small(), "head": Head(), "training": Training(), **changes}
    return PretrainJob(label="it", init=str(init), backbone=backbone, seed=seed, **fields)


def state_file(folder: Path, backbone: str, name: str = "w.pth", **changes) -> Path:
    """A state dict as torchvision publishes it, of random weights."""
    network = build(
        backbone,
        1000,
        input=contract_for(backbone, stored=(3, 32, 32), mean=[0.5], std=[0.5]),
        source_head=True,
        **changes,
    )
    end = list(network.backbone._modules)[-1]
    state = {f"{end}.{key}": value for key, value in network.head.state_dict().items()}
    state |= network.backbone.state_dict()
    torch.save(state, folder / name)
    return folder / name


def photograph(archive: Path, name: str) -> torch.Tensor:
    with zipfile.ZipFile(archive) as opened:
        image = Image.open(io.BytesIO(opened.read(name))).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return torch.from_numpy(np.array(image.crop((left, top, left + 224, top + 224)))).permute(2, 0, 1)[None]


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "squeezenet1_1"])
def test_published_weights_know_ants_from_bees(shared_data: Path, backbone: str) -> None:
    start = load_initial_weights(job(shared_data / "weights" / f"{backbone}.pth", backbone), dataset((3, 224, 224)))
    assert (start.spec.source_head, start.reinitialised, start.dropped) == (True, [], [])
    assert start.notes == ["class names from imagenet_classes.txt"]
    assert start.licence == f"not known: given as {backbone}.pth"
    with zipfile.ZipFile(shared_data / "hymenoptera.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg") and "/val/" in name]
    seen = {kind: [name for name in names if f"/{kind}/" in name][:12] for kind in CLASSES}
    photographs = {kind: [photograph(shared_data / "hymenoptera.zip", name) for name in seen[kind]] for kind in seen}
    pair = [start.spec.classes.index("ant, emmet, pismire"), start.spec.classes.index("bee")]
    with torch.no_grad():
        found = {kind: start.network(prepare(torch.cat(photographs[kind]), start.spec.input)) for kind in CLASSES}
    right = (found["ants"][:, pair].argmax(1) == 0).sum() + (found["bees"][:, pair].argmax(1) == 1).sum()
    assert right / 24 > 0.85
    of_all = (found["ants"].argmax(1) == pair[0]).sum() + (found["bees"].argmax(1) == pair[1]).sum()
    assert of_all / 24 > 0.4


def test_default_comes_from_torch_home(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes((shared_data / "weights" / "squeezenet1_1.pth").read_bytes())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    start = load_initial_weights(job("DEFAULT"), dataset())
    assert start.spec.classes[:2] == ["tench", "goldfish"]
    assert len(start.spec.classes) == 1000
    assert "non-commercial" in start.licence
    assert start.spec.input.mean == [0.485, 0.456, 0.406]


def test_default_without_a_network_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RefusedError, match=r"DEFAULT needs resnet18-f37072fd\.pth .* not be fetched .* state dict"):
        load_initial_weights(job("DEFAULT", "resnet18"), dataset())


def test_a_damaged_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"PK\x03\x04 half of it")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(RefusedError, match=r"resnet18-f37072fd\.pth is damaged .*; delete it and run again"):
        load_initial_weights(job("DEFAULT", "resnet18"), dataset())


def test_small_networks_have_no_published_weights() -> None:
    with pytest.raises(RefusedError, match=r"source\.init: DEFAULT, but there are no published weights of mlp"):
        load_initial_weights(job("DEFAULT", "mlp"), dataset())


@pytest.mark.parametrize("backbone", ["mlp", "mobilenet_v3_small"])
def test_random_weights_are_drawn_by_the_seed(backbone: str) -> None:
    def weights(seed: int) -> torch.Tensor:
        return next(load_initial_weights(job("random", backbone, seed), dataset(count=4)).network.parameters())

    before = torch.get_rng_state()
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(before, torch.get_rng_state())


def test_random_with_data_has_its_classes_and_statistics() -> None:
    start = load_initial_weights(job("random", "cnn"), dataset((1, 16, 16), 4))
    assert (start.spec.classes, start.licence) == (CLASSES, "none: random weights")
    assert start.spec.input.mean == [0.2]
    assert start.spec.input.std == [1e-3]  # never nought: every pixel alike has no spread
    assert start.network.head.out.out_features == 2


def test_random_without_data_means_nothing_yet() -> None:
    start = load_initial_weights(job("random", "cnn"), dataset((1, 16, 16)))
    assert start.spec.classes == []
    assert start.network.head.out.out_features == 1


def test_data_brings_a_new_head_and_the_old_one_is_named(tmp_path: Path) -> None:
    path = state_file(tmp_path, "squeezenet1_1")
    start = load_initial_weights(job(path), dataset(count=4))
    assert (start.spec.classes, start.spec.source_head, start.network.feature_size) == (CLASSES, False, 512)
    assert start.reinitialised == ["head.out.weight", "head.out.bias"]
    assert start.dropped == ["head.1.weight", "head.1.bias"]
    given = torch.load(path, weights_only=True)
    assert torch.equal(start.network.backbone.features[0].weight, given["features.0.weight"])


def test_a_file_without_a_head_is_a_backbone(tmp_path: Path) -> None:
    path = state_file(tmp_path, "resnet18")
    state = {key: value for key, value in torch.load(path, weights_only=True).items() if not key.startswith("fc.")}
    torch.save({"state_dict": {**state, "projection_head.0.weight": torch.zeros(3)}}, path)
    start = load_initial_weights(job(path, "resnet18"), dataset())
    assert (start.spec.classes, start.spec.source_head) == ([], False)
    assert start.dropped == ["backbone.projection_head.0.weight"]
    assert start.reinitialised == ["head.out.weight", "head.out.bias"]


def test_auxiliary_heads_are_dropped_and_named(tmp_path: Path) -> None:
    path = state_file(tmp_path, "googlenet")
    torch.save({**torch.load(path, weights_only=True), "aux1.fc1.weight": torch.zeros(3)}, path)
    start = load_initial_weights(job(path, "googlenet"), dataset())
    assert start.dropped == ["backbone.aux1.fc1.weight"]
    assert start.spec.source_head
    assert start.spec.input.mean == [0.5] * 3


@pytest.mark.parametrize(
    ("files", "first", "note"),
    [
        ({}, "tench", "taken to be ImageNet's in torchvision's order"),
        ({"imagenet_classes.txt": 1000}, "name 0", "class names from imagenet_classes.txt"),
        ({"imagenet_classes.txt": 10}, "tench", "taken to be ImageNet's"),
        ({"imagenet_classes.txt": 10, "w.classes.txt": 1000}, "name 0", "class names from w.classes.txt"),
    ],
)
def test_class_names_beside_a_file(tmp_path: Path, files: dict[str, int], first: str, note: str) -> None:
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(f"name {i}\n" for i in range(lines)))
    start = load_initial_weights(job(state_file(tmp_path, "squeezenet1_1")), dataset())
    assert start.spec.classes[0] == first
    assert len(start.spec.classes) == 1000
    assert note in start.notes[0]


def test_too_few_class_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.classes.txt").write_text("ant\nbee\n")
    with pytest.raises(RefusedError, match=r"w\.classes\.txt: 2 class names; expected 1000"):
        load_initial_weights(job(state_file(tmp_path, "squeezenet1_1")), dataset())


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    path = state_file(tmp_path, "squeezenet1_1")
    with pytest.raises(
        RefusedError,
        match=r"source\.init: .*w\.pth: source weights: they do not fit .*Give the "
        "backbone that the weights are of$",
    ):
        load_initial_weights(job(path, "resnet18"), dataset())


def test_class_names_come_along_from_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    state_file(bucket, "squeezenet1_1")
    (bucket / "w.classes.txt").write_text("".join(f"name {i}\n" for i in range(1000)))

    def fetched(place: str, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(bucket / Path(place).name, folder))

    module = importlib.import_module("graftline.models.source")  # the package's name is the function
    monkeypatch.setattr(module, "exists", lambda place: (bucket / Path(place).name).exists())
    monkeypatch.setattr(module, "local", fetched)
    start = load_initial_weights(job("gs://a-bucket/weights/w.pth"), dataset((3, 96, 96)), cache=tmp_path / "cache")
    assert start.notes == ["class names from w.classes.txt"]
    assert start.licence == "not known: given as w.pth"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="there is no such file"):
        load_initial_weights(job(tmp_path / "none.pth"), dataset())


def test_vits_positions_follow_the_image_size(tmp_path: Path) -> None:
    with Unfilled():
        network = build(
            "vit_b_32", 5, input=contract_for("vit_b_32", stored=(3, 224, 224), mean=[0.5], std=[0.5]), source_head=True
        )
    state = {key: torch.zeros(value.shape) for key, value in network.state_dict().items()}
    state["backbone.encoder.pos_embedding"][:, 1:] = torch.linspace(0, 1, 7).repeat(7)[None, :, None]
    torch.save(state, tmp_path / "vit.pth")
    start = load_initial_weights(job(tmp_path / "vit.pth", "vit_b_32"), dataset((3, 96, 96)))
    assert "position embeddings interpolated from 7x7 to 3x3 patches" in start.notes
    grid = start.network.backbone.encoder.pos_embedding[0, 1:, 0].reshape(3, 3)
    assert torch.allclose(grid, torch.tensor([0, 0.5, 1]).expand(3, 3), atol=0.05)
    assert start.spec.classes == [f"class {i}" for i in range(5)]


def stored(folder: Path, start: InitialWeights, **changes) -> CheckpointManifest:
    fields = {**start.spec.fields(), "licence": start.licence}
    return checkpoint.write(
        folder,
        CheckpointManifest(
            name="it",
            strategy="pretrain",
            seed=0,
            dataset_digest=None,
            config="{}",
            row=CandidateResult(),
            **{**fields, **changes},
        ),
        start.network,
    )


@pytest.mark.parametrize("backbone", ["mlp", "rnn", "squeezenet1_1"])
def test_a_checkpoint_starts_a_chain(tmp_path: Path, backbone: str) -> None:
    first = load_initial_weights(job("random", backbone), dataset((1, 24, 24), 4))
    written = stored(tmp_path, first, licence="CC0")
    start = load_initial_weights(job(tmp_path, backbone), dataset((3, 40, 40), 4, ["x", "y", "z"]))
    assert (start.parent, start.licence, start.spec.classes) == (written.digest, "CC0", ["x", "y", "z"])
    assert start.reinitialised == start.dropped == ["head.out.weight", "head.out.bias"]
    assert start.spec.input.stored == (3, 40, 40)
    assert (start.spec.input.channels, start.spec.input.mean) == (first.spec.input.channels, first.spec.input.mean)
    assert start.network(prepare(torch.zeros(2, 3, 40, 40, dtype=torch.uint8), start.spec.input)).shape == (2, 3)
    for (key, value), other in zip(
        first.network.backbone.state_dict().items(), start.network.backbone.state_dict().values(), strict=True
    ):
        assert torch.equal(value, other), key


def test_a_checkpoint_of_the_same_classes_keeps_its_head(tmp_path: Path) -> None:
    first = load_initial_weights(job("random", "mlp"), dataset(count=4))
    stored(tmp_path, first)
    start = load_initial_weights(job(tmp_path, "mlp"), dataset(count=9))
    assert torch.equal(start.network.head.out.weight, first.network.head.out.weight)
    assert start.reinitialised == []


def test_a_checkpoint_without_data_passes_as_it_is(tmp_path: Path) -> None:
    first = load_initial_weights(job(state_file(tmp_path, "squeezenet1_1")), dataset())
    stored(tmp_path / "ckpt", first)
    start = load_initial_weights(job(tmp_path / "ckpt"), dataset((1, 64, 64)))
    assert (start.spec.source_head, len(start.spec.classes)) == (True, 1000)
    assert (start.spec.input.height, start.spec.input.stored) == (96, (1, 64, 64))  # as large as its weights saw them
    assert start.notes[-1].startswith("images of 64x64 are shown at 96x96, because")
    assert torch.equal(start.network.head.get_submodule("1").weight, first.network.head.get_submodule("1").weight)


def test_a_checkpoint_of_another_backbone_is_refused(tmp_path: Path) -> None:
    stored(tmp_path, load_initial_weights(job("random", "mlp"), dataset(count=4)))
    with pytest.raises(RefusedError, match=r"is a mlp, the run's backbone is cnn; set backbone: mlp"):
        load_initial_weights(job(tmp_path, "cnn"), dataset(count=4))

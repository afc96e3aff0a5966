"""timm's networks as backbones: the same numbers as timm's own, every weight carried or named, nothing fetched."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graftline.config import Training
from graftline.models import checkpoint
from graftline.models.checkpoint import CandidateResult, CheckpointManifest
from graftline.models.input_contract import InputContract
from graftline.models.inputs.sizes import contract_for
from graftline.models.layers import layer_keys, layers
from graftline.models.libraries.shapes import Unfilled
from graftline.models.libraries.timm_models import made_by_timm
from graftline.models.loading import load_checkpoint
from graftline.models.source import InitialWeights, load_initial_weights
from graftline.models.structure import structures
from graftline.models.transfer.gate import transfer
from graftline.runtime.errors import RefusedError
from graftline.strategies.weights.carry import place_of
from tests.builders.networks import build
from tests.models.test_source import dataset, job
from tests.release.onnx.test_export import _proves_parity

timm = pytest.importorskip("timm", reason="skipped: the extra `timm` is not installed")

CONVOLVING = ["resnet10t", "mobilenetv4_conv_small", "convnext_atto", "efficientnet_lite0"]
FIXED = ["vit_tiny_patch16_224", "test_vit", "test_vit3"]
EVERY = [*CONVOLVING, *FIXED]


def original(name: str, classes: int | None = None) -> nn.Module:
    torch.manual_seed(1)
    options = {} if classes is None else {"num_classes": classes}
    net: nn.Module = timm.create_model(name, pretrained=False, **options).eval()
    for value in net.buffers():  # running statistics other than 0 and 1 show whether they are carried
        if value.is_floating_point():
            value.add_(torch.rand_like(value) / 10)
    return net


def saved(folder: Path, state: dict[str, Tensor], name: str = "w.safetensors") -> Path:
    save_file({key: value.clone() for key, value in state.items()}, folder / name)
    return folder / name


def loaded(path: Path, name: str, side: int, **changes: object) -> InitialWeights:
    return load_initial_weights(job(path, f"timm/{name}", **changes), dataset((3, side, side)))


def image(start: InitialWeights, count: int = 2) -> Tensor:
    return torch.randn(
        count, 3, start.spec.input.height, start.spec.input.width, generator=torch.Generator().manual_seed(5)
    )


def native(name: str) -> int:
    return int(timm.get_pretrained_cfg(name).input_size[1])


@pytest.mark.parametrize("name", EVERY)
def test_a_file_of_timms_gives_timms_own_answers(name: str, tmp_path: Path) -> None:
    net = original(name)
    start = loaded(saved(tmp_path, net.state_dict()), name, native(name))
    assert (start.reinitialised, start.dropped, start.spec.source_head) == ([], [], True)
    assert start.spec.classes[0] == "tench"
    with torch.no_grad():
        assert torch.allclose(start.network(image(start)), net(image(start)), atol=1e-5)
        own = timm.create_model(name, num_classes=0).eval()
        own.load_state_dict(net.state_dict(), strict=False)
        assert torch.allclose(start.network.backbone(image(start)), own(image(start)), atol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_layers_hold_each_parameter_of_the_backbone_once(name: str) -> None:
    contract = contract_for(f"timm/{name}", stored=(3, 64, 64), mean=[0.5], std=[0.5])
    with Unfilled():
        network = build(f"timm/{name}", 3, input=contract)
    held = [id(parameter) for _, layer in layers(network) for parameter in layer.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in network.backbone.parameters()}
    keys = [key for keys in layer_keys(network).values() for key in keys]
    assert sorted(keys) == sorted(key for key in network.state_dict() if key.startswith("backbone."))
    assert place_of(2, [label for label, _ in layers(network)], "freeze") == 2


def test_layers_go_from_the_input_to_the_pool() -> None:
    contract = contract_for("timm/test_vit3", stored=(3, 64, 64), mean=[0], std=[1])
    with Unfilled():
        network = build("timm/test_vit3", 3, input=contract)
    assert [name for name, _ in layers(network)] == ["patch_embed", *(f"blocks.{i}" for i in range(9)), "attn_pool"]


@pytest.mark.parametrize("name", EVERY)
def test_a_checkpoint_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    start = load_initial_weights(job("random", f"timm/{name}"), dataset(count=4))
    manifest = CheckpointManifest(
        name="it",
        **start.spec.fields(),
        strategy="pretrain",
        seed=0,
        dataset_digest=None,
        config="",
        licence="",
        row=CandidateResult(),
    )
    checkpoint.write(tmp_path, manifest, start.network)
    network, _ = load_checkpoint(tmp_path)
    assert all(torch.equal(value, start.network.state_dict()[key]) for key, value in network.state_dict().items())
    with torch.no_grad():
        assert torch.allclose(network(image(start)), start.network(image(start)), atol=1e-5)


def test_constants_outside_of_a_state_dict_survive_a_checkpoint(tmp_path: Path) -> None:
    name = "timm/swin_tiny_patch4_window7_224"
    with Unfilled():
        network = build(name, 2, input=contract_for(name, stored=(3, 64, 64), mean=[0], std=[1]))
    assert not [key for key, value in network.named_buffers() if value.is_meta and key not in network.state_dict()]


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv4_conv_small",
        "test_vit3",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet10t", "convnext_atto", "test_vit")),
    ],
)
def test_the_onnx_file_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    _proves_parity(f"timm/{name}", (3, 40, 48), 64, tmp_path)


def openai_layout(net: nn.Module) -> dict[str, Tensor]:
    """The names of OpenAI's and OpenCLIP's files, and a little of the text tower that lies beside them."""
    swaps = {
        "patch_embed.proj": "conv1",
        "norm_pre": "ln_pre",
        "norm1": "ln_1",
        "norm2": "ln_2",
        "attn.qkv.": "attn.in_proj_",
        "attn.proj": "attn.out_proj",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "blocks.": "transformer.resblocks.",
    }
    found = {"positional_embedding": torch.ones(77, 8), "transformer.resblocks.0.ln_1.weight": torch.ones(8)}
    for key, value in net.state_dict().items():
        for theirs, old in swaps.items():
            key = key.replace(theirs, old)
        key = "ln_post" + key.removeprefix("norm") if key.startswith("norm.") else key
        if key.startswith("head."):
            found |= {"visual.proj": value.T.contiguous()} if key == "head.weight" else {}
        elif key in ("pos_embed", "cls_token"):
            theirs = "positional" if key == "pos_embed" else "class"
            found[f"visual.{theirs}_embedding"] = value[0].squeeze(0)
        else:
            found[f"visual.{key}"] = value
    return found


@pytest.mark.parametrize("side", [224, 64])
def test_a_clip_tower_in_openais_names(tmp_path: Path, side: int) -> None:
    net = original("vit_xsmall_patch16_clip_224", 512)
    start = loaded(saved(tmp_path, openai_layout(net)), "vit_xsmall_patch16_clip_224", side)
    assert (start.spec.source_head, start.spec.classes) == (False, [])  # 512 outputs are a projection, no classes
    gone = {
        "source.head.weight",
        "source.head.bias",
        "source.positional_embedding",
        "source.transformer.resblocks.0.ln_1.weight",
    }
    assert set(start.dropped) == gone
    assert start.reinitialised == ["head.out.weight", "head.out.bias"]
    own = timm.create_model("vit_xsmall_patch16_clip_224", num_classes=0, img_size=start.spec.input.height).eval()
    state = {key: value for key, value in net.state_dict().items() if not key.startswith("head.")}
    own.load_state_dict(timm.models.vision_transformer.checkpoint_filter_fn(state, own))
    with torch.no_grad():
        assert torch.allclose(start.network.backbone(image(start)), own(image(start)), atol=1e-5)
    if side == 64:
        assert start.spec.input.height == 96
        assert start.notes[0] == "position embeddings interpolated for images of this size: pos_embed to (1, 37, 256)"
    assert start.spec.input.mean[0] == pytest.approx(0.48145466)


def test_an_image_tower_in_open_clips_names(tmp_path: Path) -> None:
    net = original("test_vit3", 0)
    state = {f"visual.trunk.{key}": value for key, value in net.state_dict().items()}
    path = saved(tmp_path, {**state, "visual.head.proj.weight": torch.ones(5, 96), "logit_scale": torch.ones(())})
    start = loaded(path, "test_vit3", 160)
    assert set(start.dropped) == {"source.visual.head.proj.weight", "source.logit_scale"}
    with torch.no_grad():
        assert torch.allclose(start.network.backbone(image(start)), net(image(start)), atol=1e-5)


def test_dinov2_at_the_size_of_the_data(tmp_path: Path) -> None:
    name = "vit_small_patch14_dinov2.lvd142m"
    state = original(name, 0).state_dict()
    start = loaded(saved(tmp_path, {**state, "mask_token": torch.zeros(1, 384)}), name, 32)
    assert (start.spec.input.height, start.spec.input.mean) == (98, [0.485, 0.456, 0.406])
    assert start.dropped == ["source.mask_token"]
    assert start.licence.endswith(f"timm lists timm/{name} under apache-2.0")
    wanted = timm.layers.resample_abs_pos_embed(state["pos_embed"], [7, 7], [37, 37])
    assert torch.allclose(start.network.backbone.pos_embed, wanted)
    assert start.notes == [
        "position embeddings interpolated for images of this size: pos_embed to (1, 50, 384)",
        "images of 32x32 are shown at 98x98, because the weights were made on larger ones; "
        "`resolution` sets another side",
    ]


@pytest.mark.parametrize("name", ["test_vit", "swin_tiny_patch4_window7_224"])
def test_positions_follow_from_one_network_to_another(name: str) -> None:
    def made(side: int) -> InputContract:
        return InputContract(stored=(3, 32, 32), channels=3, height=side, width=side, mean=[0.5] * 3, std=[0.5] * 3)

    large, small = (build(f"timm/{name}", 2, input=made(side)) for side in (224, 96))
    done = transfer(large.state_dict(), small)
    assert done.reinitialised == ["head.out.weight", "head.out.bias"]
    resized = [
        key
        for key, value in small.state_dict().items()
        if key in done.carried and value.shape != large.state_dict()[key].shape
    ]
    [note] = done.notes
    assert f"{resized[0].removeprefix('backbone.')} to {tuple(small.state_dict()[resized[0]].shape)}" in note
    assert note.endswith(f" and {len(resized) - 1} more") == (len(resized) > 1)


def test_a_pth_of_timms_is_read_too(tmp_path: Path) -> None:
    torch.save({"state_dict": original("resnet10t").state_dict()}, tmp_path / "w.pth")
    assert loaded(tmp_path / "w.pth", "resnet10t", 96).spec.source_head


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, original("resnet10t").state_dict())
    with pytest.raises(RefusedError, match=r"source weights: they do not fit .*Give the backbone that the weights are"):
        loaded(path, "convnext_atto", 96)


def test_a_head_of_several_layers_is_left_out_and_named(tmp_path: Path) -> None:
    start = loaded(saved(tmp_path, original("caformer_s18").state_dict()), "caformer_s18", 224)
    assert (start.spec.source_head, start.spec.classes) == (False, [])
    assert {name.rpartition(".")[0] for name in start.dropped} == {
        f"source.head.fc.{part}" for part in ("fc1", "norm", "fc2")
    }


def test_weights_for_each_place_of_an_image_name_their_size(tmp_path: Path) -> None:
    path = saved(tmp_path, original("hiera_tiny_224").state_dict())
    with pytest.raises(RefusedError, match=r"pos_embed .*, or set pretrain\.resolution to 224, the size they"):
        loaded(path, "hiera_tiny_224", 32)
    assert loaded(path, "hiera_tiny_224", 32, training=Training(resolution=224)).spec.input.height == 224


def test_default_names_the_way_without_a_hub() -> None:
    with pytest.raises(RefusedError, match=r"weights of timm/resnet10t would have to come from a hub, which is never"):
        load_initial_weights(job("DEFAULT", "timm/resnet10t"), dataset())


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("vit_small_patch14_dino2", "timm/vit_small_patch14_dinov2"),
        ("resnet10x", "timm/resnet10t"),
        ("hf-hub:someone/something", "timm/"),
    ],
)
def test_an_unknown_name_names_its_neighbors(name: str, near: str) -> None:
    with pytest.raises(RefusedError, match=f"backbone: timm has no '{name}'; expected one of .* such as .*{near}"):
        load_initial_weights(job("random", f"timm/{name}"), dataset())


def test_without_the_extra_the_command_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(RefusedError, match=r"extra `timm`, which is not installed; pip install 'graftline\[timm\]'"):
        load_initial_weights(job("random", "timm/vit_medium_patch16_gap_240"), dataset())


def test_a_name_of_several_weights_says_whose_statistics_it_takes(tmp_path: Path) -> None:
    path = saved(tmp_path, original("vit_tiny_patch16_224", 10).state_dict())
    assert not [note for note in loaded(path, "vit_tiny_patch16_224", 224).notes if "statistics" in note]
    path = saved(tmp_path, original("vit_small_patch16_224", 10).state_dict())
    [note] = [note for note in loaded(path, "vit_small_patch16_224", 224).notes if "mean and std" in note]
    assert note.startswith("input mean and std are those of timm/vit_small_patch16_224.augreg_in21k_ft_in1k; ")


def test_random_weights_take_small_images_as_they_are() -> None:
    start = load_initial_weights(job("random", "timm/resnet10t"), dataset(count=4))
    assert (start.spec.input.height, start.notes) == (32, [])
    assert made_by_timm(start.network.backbone)


def test_resolution_by_hand(tmp_path: Path) -> None:
    path = saved(tmp_path, original("test_vit", 0).state_dict())
    start = loaded(path, "test_vit", 32, training=Training(resolution=64))
    assert start.spec.input.height == 64
    assert not [note for note in start.notes if "shown at" in note]
    with pytest.raises(RefusedError, match="resolution: timm/test_vit takes no images of 100x100 pixels; the"):
        loaded(path, "test_vit", 32, training=Training(resolution=100))


def test_what_structure_can_change() -> None:
    assert structures("timm/resnet10t") == ("stem",)
    assert structures("timm/test_vit") == ()

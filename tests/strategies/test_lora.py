import copy
import importlib
import subprocess
import sys
from typing import Any

import pytest
import torch

from graftline.config import Training
from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.strategies import lora
from graftline.strategies.lora import Lora
from graftline.strategies.methods.adapters import adaptable, insert_adapters, merge_adapters
from tests.builders.networks import build
from tests.builders.training import contract, start, task

pytest.importorskip("peft")
OTHER = ["red", "green", "blue"]


def network(backbone: str, side: int = 32) -> Network:
    return build(backbone, 3, input=contract(backbone, side=side, channels=3)).eval()


def stirred(backbone: str) -> tuple[Network, Network, torch.Tensor]:
    """The plain network, and the same with changes that do something."""
    plain = start(backbone, side=32, channels=3).network
    adapted = copy.deepcopy(plain)
    insert_adapters(adapted, adaptable(adapted, contract(backbone, side=32, channels=3)), rank=3, alpha=6)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    return plain, adapted.eval(), torch.rand(4, 3, 32, 32)


def test_only_pointwise_and_linear_layers_that_are_called() -> None:
    found = adaptable(network("mobilenet_v2"), contract("mobilenet_v2", side=32, channels=3))
    parts = dict(network("mobilenet_v2").backbone.named_modules())
    assert len(found) == 34
    assert all(parts[name].kernel_size == (1, 1) and parts[name].groups == 1 for name in found)  # type: ignore[operator]
    swin = adaptable(network("swin_t"), contract("swin_t", side=32, channels=3))
    assert not [name for name in swin if "attn.qkv" in name or "attn.proj" in name]  # weights read, never called
    assert any("mlp" in name for name in swin)


def test_it_begins_as_the_sources_network() -> None:
    plain = network("mobilenet_v2")
    adapted = copy.deepcopy(plain)
    insert_adapters(adapted, adaptable(adapted, contract("mobilenet_v2", side=32, channels=3)), rank=8, alpha=16)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(adapted.eval()(images), plain(images))


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "shufflenet_v2_x0_5"])
def test_merged_is_the_plain_network_and_says_the_same(backbone: str) -> None:
    plain, adapted, images = stirred(backbone)
    with torch.no_grad():
        before, without = adapted(images), plain(images)
        merge_adapters(adapted)
        after = adapted(images)
    assert list(adapted.state_dict()) == list(plain.state_dict())
    assert [(n, type(p)) for n, p in adapted.named_modules()] == [(n, type(p)) for n, p in plain.named_modules()]
    assert float((before - without).abs().max()) > 0.01
    assert float((after - before).abs().max() / before.abs().max()) < 1e-5


def test_what_is_frozen_is_bit_identical_and_the_count_is_adapters_and_head() -> None:
    source = start("mobilenet_v2", side=32, channels=3)
    given = task(
        "lora", source, classes=OTHER, training=Training(epochs=1, augment="none", batch_size=8), options=Lora(rank=2)
    )
    trained = lora.train(given)
    names = {f"backbone.{name}.weight" for name in adaptable(source.network, given.contract)}
    before, after = source.network.state_dict(), trained.network.state_dict()
    assert list(before) == list(after)
    for key in before:
        assert torch.equal(before[key], after[key]) == (key not in names and not key.startswith("head.")), key
    parts = [source.network.get_submodule(name.removesuffix(".weight")) for name in names]
    adapters = sum(2 * (part.weight.shape[0] + part.weight.shape[1]) for part in parts)  # type: ignore[union-attr, index, operator]
    assert trained.trained_parameters == adapters + sum(w.numel() for w in trained.network.head.parameters())


def test_its_names_and_first_weights_are_the_same_each_time() -> None:
    def made() -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        net = network("mobilenet_v2")
        insert_adapters(net, adaptable(net, contract("mobilenet_v2", side=32, channels=3)), rank=8, alpha=16)
        return net.state_dict()

    first, again = made(), made()
    assert list(first) == list(again)
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_a_backbone_without_such_layers_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"of cnn has no linear layer and no 1x1 convolution; expected .*mlp"):
        lora.train(task("lora", start("cnn")))


def test_without_peft_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def missing(name: str, *rest: Any) -> Any:
        if name == "peft":
            raise ModuleNotFoundError("No module named 'peft'")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(RefusedError, match=r"needs peft.*pip install 'graftline\[lora\]'"):
        lora.train(task("lora", start("mlp")))


def test_the_modules_need_no_peft() -> None:
    code = "import sys; sys.modules['peft'] = None; from graftline.strategies import lora"
    code += "; from graftline.strategies.methods import adapters"
    subprocess.run([sys.executable, "-c", code], check=True)

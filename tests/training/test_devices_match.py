"""Code for a GPU on a machine without one: fake CUDA tensors have no values, but refuse to meet tensors of the CPU."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from graftline.config import Training
from graftline.models.inputs import preprocessing
from graftline.models.network import Network
from graftline.models.objective import Objective
from graftline.strategies.methods.anchoring import distance_to_source
from graftline.strategies.methods.channels import tapped
from graftline.strategies.methods.distillation import matching_loss
from graftline.strategies.methods.feature_maps import map_distance
from graftline.strategies.methods.shrinkage import shrinkage
from graftline.strategies.methods.stochastic_norm import StochasticNorm
from graftline.training.batches.augment import AUGMENTATIONS
from graftline.training.batches.balance import class_weights, training_loss
from graftline.training.batches.losses import squared_norm
from graftline.training.batches.mixing import make_mixer
from graftline.training.batches.samples import Samples
from graftline.training.head.ridge import RidgeSolver
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.loop_state import capture_state, restore_state
from graftline.training.loop.optimizer import OPTIMIZERS, parameter_group
from graftline.training.loop.stepper import Criterion, LossTerms, Penalty, Stepper
from graftline.training.progress import Progress
from graftline.training.validation import outputs
from tests.builders.training import CONTRACT, constant_schedule, small_network, split, training_loop

pytestmark = pytest.mark.filterwarnings("ignore:CUDA is not available")

CUDA = torch.device("cuda", 0)
EVERY = np.arange(12)


class Drawn(TorchDispatchMode):
    """Lets random numbers of the CPU be real, for they decide what comes next, and what is pinned stay where it is."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._pin_memory.default:
            return args[0]
        real = func is torch.ops.aten._local_scalar_dense.default and not isinstance(args[0], FakeTensor)
        if real or isinstance(kwargs.get("generator"), torch.Generator):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        return func(*args, **kwargs)


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    apply: Any = nn.Module._apply

    def stay(module: nn.Module, *args: Any) -> nn.Module:
        moved: nn.Module = module if any(True for _ in module.parameters()) else apply(module, *args)
        return moved  # fake weights can't be moved: they begin where they shall be

    monkeypatch.setattr(nn.Module, "_apply", stay)
    monkeypatch.setattr(preprocessing, "_inputs", preprocessing._inputs.__wrapped__)
    with FakeTensorMode(allow_non_fake_inputs=True), Drawn():
        yield


@pytest.fixture
def forward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "backward", lambda self: None)  # autograd asks the driver for its streams


def there(seed: int = 0) -> Network:
    with CUDA:
        return small_network(seed)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def images() -> Tensor:
    return torch.empty(6, 3, 16, 12, device=CUDA)


def test_a_mismatch_would_be_seen() -> None:
    with pytest.raises(RuntimeError, match="found at least two devices"):
        images() * torch.ones(12)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation(name: str) -> None:
    assert AUGMENTATIONS[name](images(), generator()).device == CUDA


@pytest.mark.parametrize("ways", [{"mixup": 0.2}, {"cutmix": 1.0}])
@pytest.mark.parametrize("labels", [torch.tensor([0, 1, 2, 0, 1, 2]), torch.rand(6, 3)])
def test_mixing(ways: dict[str, float], labels: Tensor) -> None:
    found = make_mixer(Training(**ways), small_network())(images(), labels.to(CUDA), generator())  # type: ignore[arg-type]
    assert [each.device for each in found] == [CUDA, CUDA]


@pytest.mark.parametrize("name", ["cross_entropy", "mse"])
@pytest.mark.parametrize("weights", [None, class_weights(np.array([0, 0, 1]))])
@pytest.mark.parametrize("labels", [torch.tensor([0, 1, 2, 0, 1, 2]), torch.rand(6, 3)])
def test_loss_of_classes(name: str, weights: Tensor | None, labels: Tensor) -> None:
    loss = training_loss(name, Objective(), weights)
    assert loss(torch.empty(6, 3, device=CUDA), labels.to(CUDA), 0.1).device == CUDA


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("cross_entropy", Objective("multilabel")),
        ("mse", Objective("regression", (1.0, 2.0), (3.0, 4.0))),
        ("huber", Objective("regression", (1.0, 2.0), (3.0, 4.0))),
    ],
)
def test_loss_of_labels_and_numbers(name: str, objective: Objective) -> None:
    values = torch.empty(6, 2, device=CUDA)
    assert training_loss(name, objective, None)(values, values.clone(), 0.1).device == CUDA


Way = Callable[[Network], tuple[Criterion | None, list[Penalty]]]
WAYS: dict[str, Way] = {
    "plain": lambda net: (None, []),
    "l2": lambda net: (None, [lambda batch: squared_norm(net.parameters())]),
    "l2sp": lambda net: (None, [distance_to_source(net, ["backbone.conv1.weight"], 0.1, 0.1)]),
    "bss": lambda net: (None, [lambda batch: shrinkage(batch.features, 1)]),
    "distill": lambda net: (matching_loss(there(1).eval(), 2.0, Objective()), []),
}


@pytest.mark.usefixtures("forward")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "training",
    [
        {"augment": "crop"},
        {"augment": "shift", "precision": "bf16", "mixup": 0.2, "cutmix": 1.0},
        {"balance": "weights", "micro_batch": 5, "label_smoothing": 0.1},
    ],
)
def test_a_step_to_its_loss(way: str, training: dict[str, Any]) -> None:
    net, train = there(), Samples([split(4)])
    criterion, penalties = WAYS[way](net)
    made = Stepper(net, Training(**training), CONTRACT, CUDA, loss=LossTerms(criterion, penalties=penalties))
    made.setup(train)
    assert made.accumulate_gradients(train, EVERY, generator(), 1.0).device == CUDA


@pytest.mark.usefixtures("forward")
def test_maps_of_two_networks() -> None:
    net, source = there(), there(1).eval()
    weights = {"conv1": torch.rand(8).to(CUDA)}
    with tapped(net, ["conv1"]) as own, tapped(source, ["conv1"]) as theirs:
        made = Stepper(
            net,
            Training(precision="bf16"),
            CONTRACT,
            CUDA,
            loss=LossTerms(penalties=[map_distance(source, own, theirs, weights)]),
        )
        assert made.accumulate_gradients(Samples([split(4)]), EVERY, generator(), 1.0).device == CUDA


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_stochastic_norm(kind: torch.dtype) -> None:
    with CUDA:
        part = StochasticNorm(nn.BatchNorm2d(3), 0.5)
    found = part(images().to(kind))
    assert (found.device, found.dtype) == (CUDA, kind)


def test_outputs_and_what_is_fitted_on_them() -> None:
    train = Samples([split(4)])
    features = outputs(there().backbone, train, CONTRACT, CUDA)
    inside = features[np.arange(8)]
    assert inside.device == CUDA
    weight, bias = RidgeSolver.of(inside, torch.rand(8, 2).to(CUDA)).weights(0.1)
    assert (weight.device, bias.device) == (CUDA, CUDA)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_state_from_disk_goes_to_where_each_optimizer_keeps_it(optimizer: str) -> None:
    with unset_fake_temporarily():
        first = training_loop(small_network(), optimizer=optimizer)
        first.epoch(Samples([split(4)]), constant_schedule)
        entry = capture_state(first)
    net = there()
    later = TrainingLoop(
        net,
        [parameter_group([net], 1e-3)],
        Training(optimizer=optimizer),
        CONTRACT,
        TrainingStage(0, CUDA, Progress(1)),
    )
    restore_state(later, entry)
    kept = {"gd": set(), "sgd": {"momentum_buffer"}, "rmsprop": {"step", "square_avg", "momentum_buffer"}}
    own = "cpu" if optimizer == "rmsprop" else "cuda"  # it alone is not fused, and counts on the CPU
    for weight in net.parameters():
        devices = {key: value.device.type for key, value in later.optimizer.state[weight].items()}
        keys = kept.get(optimizer, {"step", "exp_avg", "exp_avg_sq"})
        assert devices == {key: own if key == "step" else "cuda" for key in keys}

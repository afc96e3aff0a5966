import copy

import pytest
import torch

from graftline.config import Training
from graftline.training.batches import Samples
from graftline.training.loop import Loop
from graftline.training.meter import Meter
from graftline.training.optimizer import group
from tests.training.test_loop import CONTRACT, network
from tests.training.tiny import split

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_on_a_gpu_repeats_bit_by_bit(precision: str) -> None:
    weights = []
    for _ in range(2):
        net = network()
        run = Loop(net, [group([net], 1e-3)], Training(augment="crop", batch_size=8, precision=precision), CONTRACT,
                   seed=0, device=torch.device("cuda"), meter=Meter(1))
        run.epoch(Samples([split(8)]), lambda step: 1.0)
        weights.append([weight.detach().cpu() for weight in net.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


def test_a_gpu_trains_as_a_cpu_does() -> None:
    first, ends = network(), []
    for name in ("cpu", "cuda"):
        net = copy.deepcopy(first)
        run = Loop(net, [group([net], 1e-3)], Training(augment="crop", batch_size=8), CONTRACT, seed=0,
                   device=torch.device(name), meter=Meter(1))
        ends.append(run.epoch(Samples([split(8)]), lambda step: 1.0))
    assert ends[0] == pytest.approx(ends[1], rel=1e-2)

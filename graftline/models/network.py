"""The network: a backbone that returns pooled features and a head that returns logits."""

from collections import OrderedDict

from torch import Tensor, nn

from graftline.config import DEFAULT_TASK
from graftline.models import structure
from graftline.models.class_map import ClassMap
from graftline.models.head import Scale, new_head
from graftline.models.libraries import timm_models, torchvision_models
from graftline.models.libraries.library import library_of
from graftline.models.libraries.shapes import output_shape
from graftline.models.libraries.small_models import SMALL, widths_of
from graftline.models.objective import Objective
from graftline.models.spec import NetworkSpec
from graftline.runtime.errors import RefusedError


class Network(nn.Module):
    """A backbone and a head.

    Attributes:
        backbone: Normalized float images (B, c, h, w) -> pooled features (B, D).
        head: Features (B, D) -> logits (B, K).
        feature_size: D.
        task: What the outputs are.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, feature_size: int, task: str = DEFAULT_TASK) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.feature_size = feature_size
        self.task = task

    @property
    def objective(self) -> Objective:
        """What the outputs mean, with the numbers that the head holds."""
        scale = next((part for part in self.head.children() if isinstance(part, Scale)), None)
        if scale is None:
            return Objective(self.task)
        return Objective(self.task, tuple(scale.mean.tolist()), tuple(scale.deviation.tolist()))

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalized images (B, c, h, w) to logits (B, K)."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


def build_network(spec: NetworkSpec, objective: Objective | None = None) -> Network:
    """Builds a network with random weights, drawn from torch's global generator.

    Args:
        spec: The network. With `source_head`, the features are what the architecture's own head takes: VGG's 25088
            values, SqueezeNet's flattened maps; for timm the head is its last linear layer.
        objective: The scale of a regression's outputs, in which graftline's head ends; None: mean 0, deviation 1.

    Raises:
        RefusedError: No such backbone, a change of architecture that it does not support, or images that are too small.
    """
    objective = objective or Objective.unfilled(spec.task, spec.n_outputs)
    outputs = spec.mapped_from or spec.n_outputs
    if spec.backbone not in SMALL:
        library_of(spec.backbone).check_name(spec.backbone)
    structure.check(spec.backbone, spec.architecture)
    network = _small if spec.backbone in SMALL else _published
    built = network(spec, outputs, objective)
    return built if spec.mapped_from is None else with_class_map(built, outputs, spec.n_outputs)


def _small(spec: NetworkSpec, outputs: int, objective: Objective) -> Network:
    changes, small = spec.architecture, spec.small
    kernel = int(changes.get("kernel") or small.kernel)
    widths = widths_of(spec.backbone, small, width=float(changes.get("width", 1.0)), depth=int(changes.get("depth", 0)))
    net, size = SMALL[spec.backbone](spec.input, small.model_copy(update={"kernel": kernel}), widths)
    return _with_head(net, size, outputs, spec, objective)


def _with_head(net: nn.Module, size: int, outputs: int, spec: NetworkSpec, objective: Objective) -> Network:
    return Network(net, new_head(size, outputs, spec.head, objective), size, objective.task)


def _published(spec: NetworkSpec, outputs: int, objective: Objective) -> Network:
    backbone, contract, changes = spec.backbone, spec.input, spec.architecture
    if contract.channels != 3:
        raise RefusedError(f"backbone: {backbone} takes 3 channels, the input contract gives {contract.channels}")
    width = float(changes.get("width", 1.0))
    net = library_of(backbone).construct(backbone, outputs, side=contract.height, width=width)
    if changes.get("stem", "keep") == "small":
        structure.shrink_stem(net)
    headless = timm_models.is_timm(backbone)
    own = nn.Identity() if headless else torchvision_models.split(net, own_head=not spec.source_head)
    size, *more = output_shape(net, contract.channels, contract.height, contract.width, name=backbone)
    if more:
        raise RefusedError(f"backbone: {backbone} gives maps rather than pooled features; take another backbone")
    if not spec.source_head:
        return _with_head(net, size, outputs, spec, objective)
    if headless:
        own = nn.Linear(size, outputs)
    elif torchvision_models.takes_maps(own):
        own = _on_flat_maps(own, size)
    return Network(net, own, size)


def with_class_map(network: Network, source: int, target: int) -> Network:
    """Appends an uninitialized class map to a network's head.

    Args:
        network: Its head has `source` outputs. Its modules are shared with the returned network.
        source: Number of source classes.
        target: Number of target classes.
    """
    return Network(network.backbone, nn.Sequential(network.head, ClassMap(source, target)), network.feature_size)


def _on_flat_maps(head: nn.Module, size: int) -> nn.Module:
    # The convolution is 1x1 and global pooling follows: only the number of cells matters, not their grid.
    channels = next(part.in_channels for part in head.modules() if isinstance(part, nn.Conv2d))
    parts = [("unflatten", nn.Unflatten(1, (channels, size // channels, 1))), *head.named_children()]
    return nn.Sequential(OrderedDict([*parts, ("flatten", nn.Flatten())]))

"""Networks with a backbone that returns pooled features and a head that returns logits."""

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
    """Network with a backbone and a head.

    Attributes:
        backbone: Module that maps normalized float images (B, c, h, w) to pooled features (B, D).
        head: Module that maps features (B, D) to logits (B, K).
        feature_size: Number of features, D.
        task: Task of the outputs.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, feature_size: int, task: str = DEFAULT_TASK) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.feature_size = feature_size
        self.task = task

    @property
    def objective(self) -> Objective:
        """Meaning of the outputs, with the mean and standard deviation that the head stores."""
        scale = next((part for part in self.head.children() if isinstance(part, Scale)), None)
        if scale is None:
            return Objective(self.task)
        return Objective(self.task, tuple(scale.mean.tolist()), tuple(scale.deviation.tolist()))

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalized images (B, c, h, w) to logits (B, K)."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


def build_network(spec: NetworkSpec, objective: Objective | None = None) -> Network:
    """Returns a network with random weights from torch's global generator.

    Args:
        spec: Description of the network. With `source_head`, the features are the input of the architecture's own
            head: VGG's 25088 values or SqueezeNet's flattened maps. For timm, that head is one linear layer.
        objective: Scale of the outputs of a regression, which graftline's head applies last. If None, mean 0 and
            standard deviation 1.

    Raises:
        RefusedError: The backbone is unknown, does not support a change of its architecture, or needs larger images.
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
    """Returns a network with an uninitialized class map appended to the head.

    Args:
        network: Network whose head has `source` outputs. The returned network shares its modules.
        source: Number of source classes.
        target: Number of target classes.
    """
    return Network(network.backbone, nn.Sequential(network.head, ClassMap(source, target)), network.feature_size)


def _on_flat_maps(head: nn.Module, size: int) -> nn.Module:
    # The convolution is 1x1 and global pooling follows, so only the number of cells matters, not their layout.
    channels = next(part.in_channels for part in head.modules() if isinstance(part, nn.Conv2d))
    parts = [("unflatten", nn.Unflatten(1, (channels, size // channels, 1))), *head.named_children()]
    return nn.Sequential(OrderedDict([*parts, ("flatten", nn.Flatten())]))

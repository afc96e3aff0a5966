"""The network: a backbone to pooled features, a head to logits; built from a name and an input contract."""

from collections import OrderedDict

from torch import Tensor, nn

from graftline.config import DEFAULT_TASK, Head, Small
from graftline.models import structure
from graftline.models.checkpoint import InputContract
from graftline.models.head import Scale, new_head
from graftline.models.libraries import timm_models, torchvision_models
from graftline.models.libraries.library import library_of
from graftline.models.libraries.shapes import output_shape
from graftline.models.libraries.small_models import SMALL, widths_of
from graftline.models.objective import Objective
from graftline.runtime.errors import RefusedError


class Network(nn.Module):
    """A backbone and a head.

    Attributes:
        backbone: Normalised float images (B, c, h, w) -> pooled features (B, D).
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
        """Maps normalised images (B, c, h, w) to logits (B, K)."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


def build(
    backbone: str,
    classes: int,
    *,
    input: InputContract,
    small: Small = Small(),  # noqa: B008
    head: Head = Head(),  # noqa: B008
    source_head: bool = False,
    architecture: structure.Architecture | None = None,
    objective: Objective | None = None,
) -> Network:
    """Builds a network with random weights, drawn from torch's global generator.

    Args:
        backbone: A torchvision classifier's name, `timm/NAME`, or mlp, cnn, rnn.
        classes: K, at least 1.
        input: Channels and size of the normalised images.
        small: Shape of mlp, cnn and rnn.
        head: graftline's head.
        source_head: Keep a torchvision architecture's own head instead: VGG's three layers, SqueezeNet's
            convolution. The features are then what that head takes: VGG's 25088 values, SqueezeNet's flattened maps.
            timm's: its last linear layer, on the same features as graftline's head.
        architecture: Changes by `structure`: width, depth, kernel, stem.
        objective: What the outputs mean; None: logits of classes. For regression graftline's head ends in their scale.

    Raises:
        RefusedError: No such backbone, a change that it cannot make, or images too small for it.
    """
    changes = architecture or {}
    if classes < 1:
        raise ValueError(f"classes: {classes}")
    if backbone not in SMALL:
        library_of(backbone).check_name(backbone)
    structure.check(backbone, changes)
    if backbone not in SMALL:
        return _published(backbone, classes, input, head, source_head, changes, objective)
    kernel = int(changes.get("kernel") or small.kernel)
    widths = widths_of(backbone, small, width=float(changes.get("width", 1.0)), depth=int(changes.get("depth", 0)))
    net, size = SMALL[backbone](input, small.model_copy(update={"kernel": kernel}), widths)
    return _with_head(net, size, classes, head, objective)


def _with_head(net: nn.Module, size: int, classes: int, head: Head, objective: Objective | None) -> Network:
    return Network(net, new_head(size, classes, head, objective), size, (objective or Objective()).task)


def _published(
    backbone: str,
    classes: int,
    input: InputContract,
    head: Head,
    source_head: bool,
    changes: structure.Architecture,
    objective: Objective | None,
) -> Network:
    if input.channels != 3:
        raise RefusedError(f"backbone: {backbone} takes 3 channels, the input contract gives {input.channels}")
    net = library_of(backbone).construct(backbone, classes, side=input.height, width=float(changes.get("width", 1.0)))
    if changes.get("stem", "keep") == "small":
        structure.shrink_stem(net)
    headless = timm_models.is_timm(backbone)
    own = nn.Identity() if headless else torchvision_models.split(net, own_head=not source_head)
    size, *more = output_shape(net, input.channels, input.height, input.width, name=backbone)
    if more:
        raise RefusedError(f"backbone: {backbone} gives maps rather than pooled features; take another backbone")
    if not source_head:
        return _with_head(net, size, classes, head, objective)
    if headless:
        own = nn.Linear(size, classes)
    elif torchvision_models.takes_maps(own):
        own = _on_flat_maps(own, size)
    return Network(net, own, size)


def _on_flat_maps(head: nn.Module, size: int) -> nn.Module:
    # The convolution is 1x1 and global pooling follows: only the number of cells matters, not their grid.
    channels = next(part.in_channels for part in head.modules() if isinstance(part, nn.Conv2d))
    parts = [("unflatten", nn.Unflatten(1, (channels, size // channels, 1))), *head.named_children()]
    return nn.Sequential(OrderedDict([*parts, ("flatten", nn.Flatten())]))

"""Properties of the data and the network that determine a recipe."""

from dataclasses import dataclass

import numpy as np

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import Dataset
from graftline.data.labels import LABEL_TYPES, UNLABELED
from graftline.models.input_contract import InputContract

SMALL = ("mlp", "cnn", "rnn")
"""Names of the small backbones."""
ATTENTION = ("vit", "swin", "maxvit", "deit", "beit", "eva", "cait", "xcit", "siglip", "clip")
"""Parts of the names of transformer backbones, whose weights need lower learning rates."""
CONVOLUTIONAL = (
    "vgg",
    "resnet",
    "resnext",
    "wide_resnet",
    "densenet",
    "mobilenet",
    "efficientnet",
    "convnext",
    "regnet",
    "mnasnet",
    "shufflenet",
    "googlenet",
    "squeezenet",
)
"""Prefixes of the names of backbones that support images of any size."""


@dataclass(frozen=True)
class RecipeInput:
    """Properties of the data and the network that a recipe depends on."""

    images: int
    """Number of images in the training split."""
    image_shape: tuple[int, int, int]
    """Shape (C, H, W) of the stored images."""
    backbone: str = "mobilenet_v2"
    carried: bool = True
    """Whether the network has a source's weights."""
    classes: int = 2
    ratio: float = 1.0
    """Ratio of the number of images of the largest class to that of the smallest."""
    val: int = 0
    """Number of validation images of the rarest class, or half of all validation images if the task has no classes."""
    side: int = 0
    """Shorter side of the network's input in pixels; 0: that of the stored images."""
    task: str = DEFAULT_TASK

    @property
    def small(self) -> bool:
        """Whether the backbone is one of the small ones: mlp, cnn or rnn."""
        return self.backbone in SMALL

    @property
    def attention(self) -> bool:
        """Whether the backbone is a transformer."""
        name = self.backbone.removeprefix("timm/").replace("mobilevit", "").replace("convit", "")
        return any(part in name for part in ATTENTION)


def any_size(backbone: str) -> bool:
    """Returns whether a backbone supports images of another size with the same weights."""
    return backbone.removeprefix("timm/").startswith(CONVOLUTIONAL)


def recipe_input(data: Dataset, backbone: str, contract: InputContract, *, carried: bool) -> RecipeInput:
    """Returns the recipe input of a dataset artifact and a network.

    Args:
        data: Dataset to train on.
        backbone: Name of the network's backbone.
        contract: Input contract of the network.
        carried: Whether the network has a source's weights.
    """
    task = data.manifest.task
    facts = RecipeInput(
        len(data.train),
        data.manifest.image_shape,
        backbone,
        carried,
        len(data.manifest.classes),
        val=len(data.val) // 2,
        side=min(contract.height, contract.width),
        task=DEFAULT_TASK if task == UNLABELED else task,
    )
    if task == UNLABELED or not LABEL_TYPES[task].is_class:
        return facts
    counts, held = (np.bincount(split.labels, minlength=facts.classes) for split in (data.train, data.val))
    present = counts[counts > 0]
    ratio = float(present.max() / present.min()) if len(present) else 1.0
    return RecipeInput(**{**vars(facts), "ratio": ratio, "val": int(held[counts > 0].min(initial=len(data.val)))})

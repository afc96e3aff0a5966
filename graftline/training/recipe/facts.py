"""What a recipe is chosen by."""

from dataclasses import dataclass

import numpy as np

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import Dataset
from graftline.data.labels import LABEL_TYPES, UNLABELED
from graftline.models.input_contract import InputContract

SMALL = ("mlp", "cnn", "rnn")
ATTENTION = ("vit", "swin", "maxvit", "deit", "beit", "eva", "cait", "xcit", "siglip", "clip")
"""Parts of the names of backbones whose weights want smaller steps."""
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
"""Beginnings of the names of backbones that take images of any size."""


@dataclass(frozen=True)
class RecipeInput:
    """The size of the data, and the network."""

    images: int
    """In the training split."""
    image_shape: tuple[int, int, int]
    """(C, H, W), as stored."""
    backbone: str = "mobilenet_v2"
    carried: bool = True
    """It has a source's weights."""
    classes: int = 2
    ratio: float = 1.0
    """Images of the largest class to those of the smallest."""
    val: int = 0
    """Validation images of the rarest class; half of all where the task has no classes."""
    side: int = 0
    """Of the network's input in pixels, the shorter one; 0: of the stored images."""
    task: str = DEFAULT_TASK

    @property
    def small(self) -> bool:
        """Whether the network is one of the articles'."""
        return self.backbone in SMALL

    @property
    def attention(self) -> bool:
        """Whether the network is a transformer."""
        name = self.backbone.removeprefix("timm/").replace("mobilevit", "").replace("convit", "")
        return any(part in name for part in ATTENTION)


def any_size(backbone: str) -> bool:
    """Whether a backbone takes images of another size with the same weights."""
    return backbone.removeprefix("timm/").startswith(CONVOLUTIONAL)


def recipe_input(data: Dataset, backbone: str, contract: InputContract, *, carried: bool) -> RecipeInput:
    """Reads them off a dataset artifact.

    Args:
        data: What is trained on.
        backbone: Of the network.
        contract: Its input.
        carried: Whether it has a source's weights.
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

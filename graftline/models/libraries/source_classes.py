"""Class names for the outputs of a state dict file, from a text file next to it or from torchvision."""

from pathlib import Path

from graftline.models.libraries.published import default_classes
from graftline.models.libraries.small_models import SMALL
from graftline.runtime.errors import RefusedError

IMAGENET = "imagenet_classes.txt"
"""Name of a file with the ImageNet class names next to a state dict file."""


def class_names(weights: Path, outputs: int, backbone: str) -> tuple[list[str], str]:
    """Returns the class names of a state dict file.

    The names come from the first of these sources: the file `STEM.classes.txt` in the same directory (one name per
    line, in the order of the outputs); for 1,000 outputs, `imagenet_classes.txt` in the same directory, then
    torchvision's list of ImageNet classes, except for the small networks. Without any, the names are `class 0`,
    `class 1`, ...

    Args:
        weights: Path of the state dict file.
        outputs: Number of outputs of its head.
        backbone: Name of the backbone, to look up torchvision's list.

    Returns:
        The class names, and a message that states their source.

    Raises:
        RefusedError: The number of names in `STEM.classes.txt` differs from the number of outputs.
    """
    own, imagenet = (weights.with_name(name) for name in name_files(weights.name))
    if own.is_file():
        names = _lines(own)
        if len(names) != outputs:
            raise RefusedError(
                f"{own}: {len(names)} class names; expected {outputs}, one a line, "
                f"as {weights.name} has {outputs} outputs"
            )
        return names, f"class names from {own.name}"
    if outputs == 1000 and imagenet.is_file() and len(names := _lines(imagenet)) == outputs:
        return names, f"class names from {IMAGENET}"
    if outputs == 1000 and backbone not in SMALL:
        return default_classes(backbone), "class names: 1,000 outputs, taken to be ImageNet's in torchvision's order"
    return [f"class {i}" for i in range(outputs)], f"class names unknown; put them into {own.name} beside the weights"


def name_files(weights: str) -> tuple[str, str]:
    """Returns the names of the two files that may list the classes of a state dict file of this name."""
    return f"{Path(weights).stem}.classes.txt", IMAGENET


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

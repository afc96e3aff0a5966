"""What the outputs of a state dict file's head mean: names from a file beside it, else torchvision's list."""

from pathlib import Path

from graftline.models.libraries.published import default_classes
from graftline.models.libraries.small_models import SMALL
from graftline.runtime.errors import RefusedError

IMAGENET = "imagenet_classes.txt"


def class_names(weights: Path, outputs: int, backbone: str) -> tuple[list[str], str]:
    """Finds the class names of a state dict file.

    In this order: `STEM.classes.txt` beside it (one name a line, in the order of the outputs); with 1,000 outputs
    `imagenet_classes.txt` beside it, then torchvision's own ImageNet list; else `class 0`, `class 1`, ...

    Args:
        weights: The file.
        outputs: Of its head.
        backbone: For torchvision's list.

    Returns:
        The names, and a note on where they come from.

    Raises:
        RefusedError: `STEM.classes.txt` has another number of lines than the head has outputs.
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
    """Returns the names of the two files that are looked for beside a state dict file of this name."""
    return f"{Path(weights).stem}.classes.txt", IMAGENET


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

"""Compares the outputs of an exported ONNX file with those of PyTorch.

The comparison uses the test images and several batch sizes, and raises an error if the outputs differ.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from graftline.config import DEFAULT_TASK
from graftline.data.images.stored_images import Images
from graftline.evaluation.tasks import TASKS
from graftline.evaluation.tasks.task_kind import TaskKind
from graftline.release.onnx.model_file import OnnxModel, Parity
from graftline.runtime.errors import Kind, RefusedError

Floats = NDArray[np.float32]
_TIE = 0.1  # fraction of the tolerance; below it, PyTorch's own prediction depends on the batch size
_RETESTED = 100  # multiple of the tolerance; `evaluate` may have run on a GPU with lower-precision convolutions
_PROBABILITY = 1e-4  # maximum difference of a probability
_ROUNDING = 16 * float(np.finfo(np.float32).eps)  # relative; values can be large compared with the labels' deviation
_CHUNK = 256  # minimum number of images per comparison


class ParityError(RefusedError):
    """Error raised if the outputs of the exported file differ from those of the tested model."""

    kind: Kind = "bug"


def tolerance(reference: Floats, relative: float, task: str = DEFAULT_TASK) -> float:
    """Returns the maximum allowed difference of a logit or a value.

    For logits it is `relative` times the largest absolute logit. For values it is `relative` standard deviations of the
    training labels plus rounding error.

    Args:
        reference: (N, K) logits, or (N, D) values in standard deviations of the training labels.
        relative: Relative tolerance, such as 1e-4; float32 rounding alone causes about 1e-6.
        task: Task of the outputs.
    """
    if TASKS[task].link is None:
        return relative + _ROUNDING * float(np.abs(reference).max(initial=0.0))
    return relative * max(float(np.abs(reference).max(initial=0.0)), 1e-6)


def compare(
    model: OnnxModel,
    images: Images,
    reference: Floats,
    tested: Floats,
    *,
    batch_sizes: Sequence[int],
    relative: float,
    progress: Callable[[int, int], None] | None = None,
) -> Parity:
    """Runs an exported model on all images at each batch size and compares its outputs with those of PyTorch.

    Args:
        model: The loaded ONNX model.
        images: (N, C, H, W) images of the whole test split.
        reference: (N, K) logits or values of PyTorch on the same images.
        tested: (N, K) logits or values that `evaluate` scored.
        batch_sizes: Batch sizes, each used on all images; the last batch may be smaller.
        relative: Tolerance relative to the largest absolute logit, or to the standard deviation of the training labels.
        progress: Function called with the number of images processed and the total number.

    Returns:
        The measured differences.

    Raises:
        ParityError: There are no images, an output is not finite, a difference exceeds the tolerance, or a prediction
            differs without being a tie.
    """
    if not len(images):
        raise ParityError("parity: the test split is empty, so nothing shows that the ONNX file equals the model")
    task, scale = model.facts.task, model.facts.scale.astype(np.float32)
    reference, tested = reference / scale, tested / scale
    allowed = tolerance(reference, relative, task)
    kind = TASKS[task]
    what = kind.output_noun
    _same(reference, tested, allowed * _RETESTED, f"the {what}s that `evaluate` scored", 0, what)
    worst = worst_probability = 0.0
    differ = done = 0
    for size in batch_sizes:
        step = size * max(1, _CHUNK // size)
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            outputs, shares = model.run(images[part], size)
            scaled = outputs / scale
            who = f"onnxruntime at batch size {size}"
            worst = max(worst, _same(reference[part], scaled, allowed, who, start, what))
            if kind.link is not None and kind.differing_rows is not None:
                own = kind.link(outputs / model.facts.temperature)
                worst_probability = max(worst_probability, _far(own, shares))
                rows = [int(row) for row in kind.differing_rows(reference[part], outputs)]
                for row in rows:
                    _check_tie(kind, reference[start + row], outputs[row], allowed, start + row, who)
                differ += len(rows)
            done += len(outputs)
            if progress:
                progress(done, len(images) * len(batch_sizes))
    return Parity(
        examples=len(images),
        batch_sizes=list(batch_sizes),
        max_abs_diff=worst,
        tolerance=allowed,
        argmax_agreement=None if kind.link is None else 1 - differ / done,
        ties=differ,
        probabilities_max_abs_diff=worst_probability,
        tested_max_abs_diff=float(np.abs(reference - tested).max()),
    )


def _same(reference: Floats, found: Floats, allowed: float, what: str, offset: int, output: str) -> float:
    if reference.shape != found.shape:
        raise ParityError(
            f"parity: {what} has shape {found.shape}, PyTorch gives {reference.shape}; "
            "the file belongs to another model"
        )
    with np.errstate(invalid="ignore"):
        difference = np.abs(reference - found)
    difference[~(np.isfinite(reference) & np.isfinite(found))] = np.inf
    at = np.unravel_index(int(difference.argmax()), difference.shape)
    worst = float(difference[at])
    if not (worst <= allowed and np.isfinite(worst)):
        of, unit = ("class", "") if output == "logit" else ("output", " deviations")
        raise ParityError(
            f"parity: on test image {offset + int(at[0])}, {of} {int(at[1])}, PyTorch gives {output} "
            f"{reference[at]:.6g} and {what} {found[at]:.6g}: difference {worst:.3g}{unit}, allowed "
            f"{allowed:.3g}; nothing is exported, please report this with the backbone's name"
        )
    return worst


def _check_tie(kind: TaskKind, reference: Floats, found: Floats, allowed: float, image: int, runtime: str) -> None:
    """Raises ParityError if two different predictions are not a tie."""
    assert kind.describe_flip is not None  # only called for tasks with discrete predictions
    margin, text = kind.describe_flip(reference, found)
    if margin > allowed * _TIE:
        raise ParityError(
            f"parity: {text.format(image=image, runtime=runtime)}; nothing is exported, please report this with the "
            "backbone's name"
        )


def _far(expected: Floats, found: Floats) -> float:
    worst = float(np.abs(expected - found).max())
    if not worst <= _PROBABILITY:
        raise ParityError(
            f"parity: probabilities are up to {worst:.3g} away from those of logits / temperature, "
            f"allowed {_PROBABILITY:g}; the temperature in the file is not the one that was fitted"
        )
    return worst

"""Exports a network to an ONNX file and measures the latency of both. This module requires torch."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftline.data.images.stored_images import Images
from graftline.evaluation.tasks import TASKS
from graftline.models.inputs.preprocessing import Inputs
from graftline.models.network import Network
from graftline.release.onnx import model_file
from graftline.release.onnx.model_file import INPUT, KEY, Latency, ModelMetadata

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the lowest opset with antialiased resizing; more runtimes support a lower opset than a higher one
_ROUNDS = 30  # maximum number of timed calls per batch size
_SECONDS = 3.0  # maximum time in seconds per batch size


class Served(nn.Module):
    """Network with preprocessing that maps stored uint8 images to logits and calibrated probabilities, or to values."""

    def __init__(self, network: Network, facts: ModelMetadata) -> None:
        super().__init__()
        self.inputs = Inputs(facts.input)
        self.network = network
        self.temperature = facts.temperature
        self.link = TASKS[facts.task].torch_link

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Returns the outputs for a batch of images.

        Args:
            images: (B, C, H, W) uint8 images.

        Returns:
            (B, K) logits and (B, K) probabilities; for regression only (B, D) values.
        """
        outputs = self.network(self.inputs(images))
        return (outputs,) if self.link is None else (outputs, self.link(outputs / self.temperature))


def served(network: Network, facts: ModelMetadata) -> Served:
    """Returns the network to export, on the CPU, in float32, and in evaluation mode."""
    return Served(network, facts).cpu().float().eval()


def export(model: Served, facts: ModelMetadata, file: Path) -> "onnx.ModelProto":
    """Exports a model to an ONNX file with a dynamic batch size.

    Args:
        model: The model returned by `served`.
        facts: Metadata to store in the file.
        file: Path of the file to write.

    Returns:
        The model as written.
    """
    import onnx

    example = torch.zeros((3, *facts.input.stored), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about torch internals
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=[INPUT],
            output_names=list(TASKS[facts.task].onnx_outputs),
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        )
    assert program is not None  # never None with dynamo=True
    proto = program.model_proto
    _strip(proto)
    proto.metadata_props.add(key=KEY, value=facts.model_dump_json())
    onnx.checker.check_model(proto, full_check=True)
    onnx.save_model(proto, str(file))
    return proto


def _strip(proto: "onnx.ModelProto") -> None:
    """Removes the exporter's debugging metadata, whose stack traces contain local paths."""
    graph = proto.graph
    parts: list[Any] = [proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]
    for item in parts:
        del item.metadata_props[:]
        item.doc_string = ""


def logits_of(
    model: Served, images: Images, progress: Callable[[int, int], None], batch_size: int = 64
) -> NDArray[np.float32]:
    """Returns PyTorch's logits or values for images.

    Args:
        model: The model returned by `served`.
        images: (N, C, H, W) uint8 images.
        progress: Function called with the number of images processed and the total number.
        batch_size: Number of images per batch.

    Returns:
        (N, K) logits, or (N, D) values for regression.
    """
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            parts.append(model(torch.from_numpy(np.array(images[start : start + batch_size])))[0].numpy())
            progress(min(start + batch_size, len(images)), len(images))
    return np.concatenate(parts)


def latency(model: Served, file: Path, images: Images) -> Latency:
    """Measures the CPU latency of onnxruntime and PyTorch with the same number of threads.

    Args:
        model: The model returned by `served`.
        file: The file written by `export`.
        images: (N, C, H, W) images with N >= 1; repeated to fill a batch.
    """
    session = model_file.load(file, threads=torch.get_num_threads())
    medians = {}
    rounds = _ROUNDS
    for size in (1, 32):
        batch = np.ascontiguousarray(np.resize(images[:32], (size, *images.shape[1:])))
        tensor = torch.from_numpy(batch)
        with torch.inference_mode():
            # The functions are called before the loop variables change.
            ours, theirs = _interleaved(lambda: session.run(batch, size), lambda: model(tensor))  # noqa: B023
        medians[size] = (median(ours), median(theirs))
        rounds = min(rounds, len(ours))
    return Latency(
        threads=torch.get_num_threads(),
        rounds=rounds,
        batch_1_ms=medians[1][0] * 1e3,
        batch_1_ms_pytorch=medians[1][1] * 1e3,
        batch_32_per_second=32 / medians[32][0],
        batch_32_per_second_pytorch=32 / medians[32][1],
    )


def _interleaved(first: Callable[[], object], second: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Returns the durations of both functions in seconds, called alternately after one warm-up call each."""
    times: tuple[list[float], list[float]] = ([], [])
    first(), second()
    began = time.perf_counter()
    while len(times[0]) < _ROUNDS and (len(times[0]) < 3 or time.perf_counter() - began < _SECONDS):
        for function, seconds in ((first, times[0]), (second, times[1])):
            start = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - start)
    return times

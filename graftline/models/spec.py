"""The description from which a network is built. This module does not import torch."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from graftline.config import DEFAULT_TASK, Head, Small
from graftline.data.labels import known_task
from graftline.models.input_contract import InputContract

Architecture = dict[str, float | int | str]
"""Changes to a backbone's architecture by the strategy `structure`: width, depth, kernel, stem."""


class NetworkSpec(BaseModel):
    """A network without its weights, which `build_network` builds and a checkpoint's manifest stores."""

    model_config = ConfigDict(frozen=True)

    backbone: str
    """Name of a torchvision classifier, `timm/NAME`, or mlp, cnn, rnn."""
    input: InputContract
    classes: list[str] = []
    """Names of the outputs: classes, regression targets or labels. If empty, there is one output without a meaning."""
    task: Annotated[str, AfterValidator(known_task)] = DEFAULT_TASK
    """Task, which defines the outputs: class logits, values in the labels' units, or independent logits per label."""
    small: Small = Small()
    """Configuration of mlp, cnn and rnn."""
    head: Head = Head()
    """Configuration of graftline's head."""
    source_head: bool = False
    """Whether the network keeps its architecture's own head (VGG's three layers) instead of graftline's."""
    mapped_from: int | None = None
    """Number of outputs of the source's head before the class map of the strategy `zero`; None without a class map."""
    architecture: Architecture = {}

    @property
    def n_outputs(self) -> int:
        """Number of outputs, at least 1."""
        return max(1, len(self.classes))

    def replace(self, **changes: Any) -> "NetworkSpec":
        """Returns a copy with some fields changed."""
        return self.model_copy(update=changes)

    def fields(self) -> dict[str, Any]:
        """Returns the values of all fields by name."""
        return {name: getattr(self, name) for name in NetworkSpec.model_fields}

"""The description that rebuilds a network. Imports no torch."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from graftline.config import DEFAULT_TASK, Head, Small
from graftline.data.labels import known_task
from graftline.models.input_contract import InputContract

Architecture = dict[str, float | int | str]
"""Changes to a backbone's architecture by `structure`: width, depth, kernel, stem."""


class NetworkSpec(BaseModel):
    """A network without its weights: `build_network` makes it, a checkpoint's manifest stores it."""

    model_config = ConfigDict(frozen=True)

    backbone: str
    """Name of a torchvision classifier, `timm/NAME`, or mlp, cnn, rnn."""
    input: InputContract
    classes: list[str] = []
    """Names of the outputs: classes, a regression's values, or labels. Empty: one output without a meaning."""
    task: Annotated[str, AfterValidator(known_task)] = DEFAULT_TASK
    """Kind of the outputs: logits of classes, values in the labels' units, or independent logits of labels."""
    small: Small = Small()
    """Shape of mlp, cnn and rnn."""
    head: Head = Head()
    """graftline's head."""
    source_head: bool = False
    """Whether the network keeps its architecture's own head (VGG's three layers) instead of graftline's."""
    mapped_from: int | None = None
    """Number of outputs of the source's head in front of the fixed class map of `zero`; None without a map."""
    architecture: Architecture = {}

    @property
    def n_outputs(self) -> int:
        """Number of outputs, at least 1."""
        return max(1, len(self.classes))

    def replace(self, **changes: Any) -> "NetworkSpec":
        """Returns a copy with some fields changed."""
        return self.model_copy(update=changes)

    def fields(self) -> dict[str, Any]:
        """Returns the fields by name, as a manifest takes them."""
        return {name: getattr(self, name) for name in NetworkSpec.model_fields}

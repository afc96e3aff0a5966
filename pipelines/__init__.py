"""The DAGs: which step feeds which, and on what hardware."""

from collections.abc import Callable

from kfp.dsl.graph_component import GraphComponent

from graftline.pipelines.placement import Placement
from graftline.pipelines.transfer import transfer

PIPELINES: dict[str, Callable[[Placement, bool, bool], GraphComponent]] = {"transfer": transfer}
"""Every DAG by its name: takes nodes and images, whether decoding fans out over pods, and whether candidates race."""

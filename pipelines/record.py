"""The record of a pipeline: its DAG, and what the local runner and the command line need to know about it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from kfp.dsl.graph_component import GraphComponent

from graftline.config import Config
from graftline.pipelines.placement import Placement


@dataclass(frozen=True)
class Variant:
    """One shape of a DAG. KFP fixes the tasks of a DAG when it is compiled, so each variant is a file of its own."""

    fan_out: bool = False
    """Raw data is decoded by several tasks in parallel and merged, instead of by one task."""
    tournament: bool = False
    """Candidates train in rungs, and the better third of each rung continues, instead of training each one fully."""


DEFAULT_VARIANT = Variant()


class ExpectedStep(NamedTuple):
    """A step that the config alone determines."""

    task: str
    """Display name of its task in the DAG."""
    name: str
    """Its name in logs, progress and `run.json`."""


class Phase(NamedTuple):
    """A loop whose steps an earlier step lists in its output `Output`: jobs as JSON with a `name` each."""

    task: str
    """Display name of the task in the loop."""
    name: str
    """Prefix of the steps' names: `<phase>-<name of the job>`."""
    listed_by: str
    """Name of the step whose output is the list."""


class Workload(Protocol):
    """How much the training steps of a run have to compute, in training examples, as far as it is known."""

    known: Mapping[str, float]
    """Step to its number of examples."""
    later: Mapping[str, float]
    """Phase to the number of examples of its steps, which are not listed yet."""

    def update(self, step: str, outputs: Mapping[str, Any]) -> None:
        """Reads the outputs of a step that completed. Called from kfp's threads."""


@dataclass(frozen=True)
class Pipeline:
    """A DAG, and what the local runner and the command line need to know about it."""

    name: str
    description: str
    """One sentence for the compiled file and for lists of pipelines."""
    build: Callable[[Placement, Variant], GraphComponent]
    """Builds the DAG. It has one parameter, `config`: a run's config as JSON."""
    variants: tuple[Variant, ...]
    variant_for: Callable[[Config], Variant]
    """Returns the variant that runs a config."""
    expected_steps: Callable[[Config], list[ExpectedStep]]
    """Returns the steps that a config determines, in the order in which they start."""
    phases: Callable[[Variant], list[Phase]]
    """Returns the loops whose steps are listed during the run."""
    workload: Callable[[Config], Workload]
    """Returns the workload of a run, for the time left."""
    dataset_steps: tuple[str, ...]
    """Steps whose artifact `dataset` is the target's dataset, with its data page and split ledger."""
    report_step: str
    """Step whose folder has `report.html` and `summary.json`; the latter becomes part of `run.json`."""
    release_step: str
    """Step whose folder is the release."""
    describe: Callable[[Config], Iterable[str]]
    """Checks the data of a config and returns the plan as lines of text, for `--dry-run`."""

import pytest

from graftline.config import Head, Small
from graftline.evaluation.verdict.cost import equal_cost
from graftline.models.checkpoint import CandidateResult, CheckpointManifest
from graftline.models.input_contract import InputContract


def source(examples_seen: int, digest: str | None = "sha256:source") -> CheckpointManifest:
    contract = InputContract(stored=(1, 8, 8), channels=1, height=8, width=8, mean=[0.0], std=[1.0])
    return CheckpointManifest(
        name="s",
        backbone="mlp",
        small=Small(),
        head=Head(),
        classes=["a", "b"],
        input=contract,
        strategy="pretrain",
        seed=0,
        dataset_digest=digest,
        config="{}",
        licence="none",
        row=CandidateResult(examples_seen=examples_seen),
    )


@pytest.mark.parametrize(
    ("control", "converged", "value", "note"),
    [(5000, False, 0.1, "at least as many"), (4999, True, 0.1, "had converged"), (4999, False, None, "not known")],
)
def test_the_source_is_charged_to_the_transfer(control: int, converged: bool, value: float | None, note: str) -> None:
    found = equal_cost(
        source(4000),
        CandidateResult(examples_seen=1000),
        CandidateResult(examples_seen=control),
        0.1,
        converged=converged,
    )
    assert found is not None
    assert (found.source_examples_seen, found.transfer_examples_seen) == (4000, 5000)
    assert found.control_examples_seen == control
    assert found.value == value
    assert note in found.note


@pytest.mark.parametrize("checkpoint", [source(0), source(4000, None), source(0, None)])
def test_a_source_not_trained_here_costs_nothing_here(checkpoint: CheckpointManifest) -> None:
    assert (
        equal_cost(checkpoint, CandidateResult(examples_seen=1), CandidateResult(examples_seen=1), 0.1, converged=True)
        is None
    )

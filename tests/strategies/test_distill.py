from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from graftline.config import Control, Head, Training
from graftline.config.jobs import FinetuneJob
from graftline.models import checkpoint
from graftline.models.loading import load_checkpoint
from graftline.models.objective import Objective
from graftline.runtime.errors import RefusedError
from graftline.steps.finetune import finetune
from graftline.strategies import STRATEGIES, distill, full
from graftline.strategies.distill import STUDENT_EPOCHS, Distill
from graftline.strategies.full import Full
from graftline.strategies.methods import distillation
from graftline.strategies.methods.distillation import matching_loss
from graftline.strategies.weights.carry import fresh
from graftline.training.interface import StrategyInput
from graftline.training.loop.stepper import Batch
from tests.builders.training import artifact, start, task

OTHER = ["red", "green", "blue"]


def given(options: Distill = Distill(), **changes: Any) -> StrategyInput:  # noqa: B008
    training = Training(epochs=2, augment="shift", batch_size=8, learning_rate=3e-3)
    return task("distill", changes.pop("source", start()), classes=OTHER, training=training, options=options, **changes)


def batch(logits: torch.Tensor, images: torch.Tensor) -> Batch:
    return Batch(images, torch.empty(0), logits, torch.zeros(len(images), dtype=torch.int64))


def test_the_loss_is_the_softened_divergence_from_the_teacher_on_the_same_view() -> None:
    teacher = start().network
    images, logits = torch.rand(4, 1, 16, 16), torch.randn(4, 3, requires_grad=True)
    with torch.no_grad():
        p = (teacher(images) / 3).softmax(1)
    wanted = 9 * (p * (p.log() - (logits / 3).log_softmax(1))).sum(1).mean()
    found = matching_loss(teacher, 3.0, Objective())(batch(logits, images))
    torch.testing.assert_close(found, wanted)
    found.backward()
    assert all(weight.grad is None for weight in teacher.parameters())


def test_other_tasks_match_too() -> None:
    teacher, images, logits = start().network, torch.rand(4, 1, 16, 16), torch.randn(4, 3)
    with torch.no_grad():
        said = teacher(images)
    several = matching_loss(teacher, 2.0, Objective("multilabel"))(batch(logits, images))
    torch.testing.assert_close(
        several, 4 * functional.binary_cross_entropy((logits / 2).sigmoid(), (said / 2).sigmoid())
    )
    numbers = Objective("regression", (0.0,) * 3, (1.0, 2.0, 4.0))
    torch.testing.assert_close(
        matching_loss(teacher, 2.0, numbers)(batch(logits, images)),
        ((logits - said) / torch.tensor([1.0, 2.0, 4.0])).square().mean(),
    )


def test_the_teacher_is_what_full_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    made = distillation.matching_loss

    def caught(teacher: Any, *rest: Any) -> Any:
        seen["teacher"] = {key: value.clone() for key, value in teacher.state_dict().items()}
        seen["frozen"] = not any(part.training for part in teacher.modules())
        seen["network"] = teacher
        return made(teacher, *rest)

    monkeypatch.setattr(distillation, "matching_loss", caught)
    trained = distill.train(given())
    wanted = full.train(given(options=Full())).network.state_dict()
    assert all(torch.equal(seen["teacher"][key], wanted[key]) for key in wanted)
    assert all(torch.equal(seen["network"].state_dict()[key], wanted[key]) for key in wanted)
    assert seen["frozen"]
    assert {point.stage for point in trained.history} == {"teacher", "student"}
    assert trained.examples_seen == 2 * (1 + STUDENT_EPOCHS) * 18 == trained.history[-1].examples_seen


def test_a_patient_student_learns_what_its_teacher_knows() -> None:
    training = Training(epochs=15, augment="none", batch_size=8, learning_rate=5e-3)
    asked = task("distill", start(), classes=OTHER, training=training, options=Distill(width=0.75), a_class=8)
    trained = distill.train(asked)
    assert (trained.predict(asked.val).argmax(1).numpy() == asked.val.labels).mean() > 0.9
    assert trained.notes[0].startswith("student of ")


def test_a_narrower_copy_and_a_named_student() -> None:
    narrow = distill.train(given())
    assert (narrow.backbone, narrow.architecture) == ("cnn", {"width": 0.5})
    assert narrow.network.backbone.conv1.weight.shape[0] == 4  # type: ignore[union-attr]
    named = distill.train(given(Distill(student="cnn"), source=start("mlp")))
    assert (named.backbone, named.architecture) == ("cnn", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Distill(student="mlp"), r"the student has [\d,]+ parameters, its teacher [\d,]+; expected a smaller student"),
        (Distill(student="resnet99"), "no student for the source's input .*'resnet99' is not known"),
        (Distill(student="resnet18"), r"no student for the source's input \(1 x 16 x 16\): .* takes 3 channels"),
    ],
)
def test_students_that_cannot_be_are_refused_before_the_teacher_is_trained(
    monkeypatch: pytest.MonkeyPatch, options: Distill, message: str
) -> None:
    monkeypatch.setattr(full, "train", lambda *_: pytest.fail("trained"))
    with pytest.raises(RefusedError, match=message):
        distill.train(given(options))


def test_what_cannot_be_made_narrower_asks_for_a_student() -> None:
    with pytest.raises(RefusedError, match="shufflenet_v2_x0_5 cannot be made narrower; expected the name of "):
        distill.train(given(source=start("shufflenet_v2_x0_5", side=32, channels=3)))


def test_the_control_has_the_students_network_and_both_manifests_say_so(tmp_path: Path) -> None:
    made = start()
    source = checkpoint.write(tmp_path / "sources" / "source", made.manifest, made.network)
    data = artifact(tmp_path / "data")

    def candidate(strategy: Distill | None, student: Distill | None = None) -> FinetuneJob:
        return FinetuneJob(
            name="one",
            source="source",
            strategy=strategy,
            student=student,
            head=Head(),
            training=Training(epochs=2, augment="shift", batch_size=8),
            longest=72,
            control=Control(patience=2),
            cross_validate=False,
            seed=0,
        )

    for job, folder in ((candidate(Distill()), "student"), (candidate(None, Distill()), "control")):
        found = finetune(job, sources=tmp_path / "sources", dataset=data, out=tmp_path / folder)
        assert (found.row.status, found.backbone, found.architecture) == ("ok", "cnn", {"width": 0.5})
        assert found.row.examples_seen >= 72
    (student, said), (control, _) = (load_checkpoint(tmp_path / folder) for folder in ("student", "control"))
    assert said.parent == source.digest  # taught by what the source became
    shapes = [{key: value.shape for key, value in each.state_dict().items()} for each in (student, control)]
    assert shapes[0] == shapes[1]
    narrow = fresh(task("control", made, options=None, network=STRATEGIES["distill"].shape(made.manifest, Distill())))
    assert shapes[1] == {key: value.shape for key, value in narrow.state_dict().items()}

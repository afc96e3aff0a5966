"""A whole run's artifacts without torch: softmax regression on scikit-learn's digits, really trained.

The source is one half of the digits, the target the other half with few labels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from graftline.config import Config, Gate, Head, Small, Source, Target
from graftline.config.jobs import GateJob
from graftline.data import dataset as datasets
from graftline.data.dataset import DatasetManifest, Dropped, StoredSample, content_digest, sample_digest
from graftline.evaluation.metrics.classification import balanced_accuracy, confusion, losses, per_class
from graftline.evaluation.result import (
    ConfirmationResults,
    EqualCost,
    Estimate,
    Evaluation,
    Predictions,
    write_predictions,
)
from graftline.evaluation.statistics.estimates import estimate_metrics
from graftline.evaluation.statistics.intervals import wilson
from graftline.evaluation.statistics.temperature import calibrate
from graftline.evaluation.tasks import baselines
from graftline.evaluation.verdict.gain import judge_gain, paired_difference
from graftline.models.checkpoint import CandidateResult, CheckpointManifest, EpochRecord
from graftline.models.input_contract import InputContract
from graftline.release.onnx import model_file
from graftline.release.onnx.model_file import Latency, ModelMetadata, OnnxManifest
from graftline.release.onnx.parity import compare
from graftline.runtime import manifest
from graftline.runtime.manifest import digest_text
from graftline.selection.result import Selection
from graftline.steps.gate import gate
from tests.builders import onnx_models

DIGITS = [f"digit {i}" for i in range(10)]
HOSTILE = [
    "<script>alert(1)</script>",
    "$\\frac{1}{2}$",
    "a|b",
    "{{ 7 * 7 }}",
    "`rm`",
    "[x](http://evil)",
    "</style>",
    '" onload="x',
    "ünï \u202e cöde",
    "very " * 20 + "long",
]


@dataclass(frozen=True)
class Folders:
    """Where each artifact lies, by the names that the steps use."""

    root: Path
    config: Config

    def __getattr__(self, name: str) -> Path:
        return self.root / name

    def paths(self, *names: str) -> dict[str, Path]:
        return {name: self.root / name for name in names}


@dataclass(frozen=True)
class Trained:
    matrix: np.ndarray
    row: CandidateResult
    history: list[EpochRecord]


def write_run(
    root: Path,
    *,
    classes: list[str] = DIGITS,
    seeds: int = 3,
    converged: bool = True,
    shots: int = 8,
    policy: Gate = Gate(),  # noqa: B008
) -> Folders:
    config = Config(
        source=[Source(init="random", data="builtin:digits/clean")],
        target=Target(data="builtin:digits/scanned"),
        backbone="mlp",
        confirm_seeds=seeds,
    )
    data = _dataset(root / "dataset", classes, shots)
    source = _train(_source(), np.zeros((64, 10)), epochs=15, strategy="pretrain")
    candidates = {
        "clean-zero": Trained(
            source.matrix, _scored(CandidateResult(source="clean", strategy="zero"), source.matrix, data), []
        ),
        "clean-feature": _train(data, source.matrix, epochs=6, rate=0.05, strategy="feature"),
        "clean-full": _train(data, source.matrix, epochs=12, rate=0.5, strategy="full"),
        "clean-partial": Trained(
            source.matrix,
            CandidateResult(
                source="clean", strategy="partial", status="diverged", reason="loss became NaN in epoch 2, batch 7"
            ),
            [],
        ),
        "control": _train(data, _random(0), epochs=30, rate=0.5, strategy="control", converged=converged),
    }
    chosen = max(
        (n for n, t in candidates.items() if t.row.status == "ok" and n not in ("control", "clean-zero")),
        key=lambda n: candidates[n].row.val_score or 0,
    )
    _checkpoints(root, data, source, candidates, chosen)
    _selection(root / "selection", candidates, chosen)
    ours = {s: _again(data, source.matrix, candidates[chosen], s) for s in range(seeds)}
    theirs = {s: _again(data, _random(s), candidates["control"], s) for s in range(seeds)}
    found = _evaluation(root / "evaluation", data, ours, theirs, chosen, converged, source.row.examples_seen)
    _onnx(root / "onnx", data, ours[0].matrix, found, root / "chosen")
    folders = Folders(root, config)
    gate(
        GateJob(gate=policy, delta=0.01),
        dataset=folders.dataset,
        onnx=folders.onnx,
        evaluation=folders.evaluation,
        out=folders.gate,
    )
    return folders


def _digits() -> tuple[np.ndarray, np.ndarray]:
    bunch = load_digits()
    order = np.random.default_rng(5).permutation(len(bunch.target))
    images = np.round(bunch.images[order] * 255 / 16).astype(np.uint8)[:, None]
    return images, bunch.target[order].astype(np.int64)


def _source() -> datasets.Dataset:
    images, labels = _digits()
    part = datasets.Split(images[:800], labels[:800])
    return datasets.Dataset(None, part, datasets.Split(images[800:900], labels[800:900]), part)  # type: ignore[arg-type]


def _dataset(folder: Path, classes: list[str], shots: int) -> datasets.Dataset:
    folder.mkdir(parents=True)
    images, labels = (part[900:] for part in _digits())
    noisy = np.random.default_rng(1).normal(0, 60, images.shape) + images * 0.6
    images = np.clip(noisy, 0, 255).astype(np.uint8)
    train = np.concatenate([np.flatnonzero(labels == c)[:shots] for c in range(10)])
    val = np.concatenate([np.flatnonzero(labels == c)[shots : shots + 20] for c in range(10)])
    test = np.setdiff1d(np.arange(len(labels)), np.concatenate([train, val]))
    order = np.concatenate([train, val, test])
    splits = ["train"] * len(train) + ["val"] * len(val) + ["test"] * len(test)
    samples = [
        StoredSample(f"scan/<{i}>.png", classes[labels[i]], split, sample_digest(images[i]))  # type: ignore[arg-type]
        for i, split in zip(order, splits, strict=True)
    ]
    made = DatasetManifest(
        label="digits/scanned",
        format="digits",
        classes=classes,
        sizes={"train": len(train), "val": len(val), "test": len(test)},
        image_shape=(1, 8, 8),
        mean=[0.2],
        std=[0.3],
        dropped=[Dropped(file="<b>broken</b>.png", why="not an image of a supported format")],
        seed=0,
        notes=["test was given by the data, validation was drawn from train"],
        ledger=digest_text("ledger"),
        fingerprint=digest_text("raw"),
        digest=content_digest(samples),
    )
    datasets.write(folder, made, (images[row].tobytes() for row in order), samples, "{}", lambda *_: "<html>")
    return datasets.read(folder)


def _random(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (64, 10))


def _logits(images: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    pixels = np.asarray(images).reshape(len(images), 64) / np.float32(255)
    return (pixels @ matrix.astype(np.float32)).astype(np.float32)


def _train(
    data: datasets.Dataset,
    start: np.ndarray,
    *,
    epochs: int,
    strategy: str,
    rate: float = 0.5,
    seed: int = 0,
    converged: bool | None = None,
) -> Trained:
    """Softmax regression by mini batches of 16."""
    random, matrix, curve, shown = np.random.default_rng(seed), start.copy(), [], 0
    images = np.asarray(data.train.images).reshape(len(data.train), 64) / 255
    labels = np.asarray(data.train.labels)
    for epoch in range(epochs):
        for part in np.array_split(random.permutation(len(labels)), max(1, len(labels) // 16)):
            scores = images[part] @ matrix
            shares = np.exp(scores - scores.max(1, keepdims=True))
            shares /= shares.sum(1, keepdims=True)
            shares[np.arange(len(part)), labels[part]] -= 1
            matrix -= rate * images[part].T @ shares / len(part)
            shown += len(part)
        val = _logits(data.val.images, matrix)
        curve.append(
            EpochRecord(
                stage="head" if strategy == "full" and epoch < 3 else "",
                epoch=epoch,
                examples_seen=shown,
                train_loss=float(losses(images @ matrix, labels).mean()),
                val_loss=float(losses(val, np.asarray(data.val.labels)).mean()),
                val_accuracy=float((val.argmax(1) == data.val.labels).mean()),
                learning_rate=rate,
            )
        )
    row = CandidateResult(
        source="clean",
        strategy=strategy,
        examples_seen=shown,
        train_seconds=0.01 * epochs,
        trained_parameters=640,
        converged=converged,
        learning_rate=rate,
    )
    return Trained(matrix, _scored(row, matrix, data), curve)


def _scored(row: CandidateResult, matrix: np.ndarray, data: datasets.Dataset) -> CandidateResult:
    labels, predicted = np.asarray(data.val.labels), _logits(data.val.images, matrix).argmax(1)
    score = balanced_accuracy(predicted, labels)
    return row.model_copy(
        update={
            "val_accuracy": float((predicted == labels).mean()),
            "val_score": score,
            "val_score_se": float(np.sqrt(score * (1 - score) / len(labels))),
            "val_method": "validation split",
        }
    )


def _again(data: datasets.Dataset, start: np.ndarray, first: Trained, seed: int) -> Trained:
    return _train(
        data,
        start,
        epochs=len(first.history),
        rate=first.row.learning_rate or 0.5,
        strategy=first.row.strategy,
        seed=seed,
        converged=first.row.converged,
    )


def _checkpoints(
    root: Path, data: datasets.Dataset, source: Trained, candidates: dict[str, Trained], chosen: str
) -> None:
    contract = InputContract(stored=(1, 8, 8), channels=1, height=8, width=8, mean=[0.0], std=[1.0])

    def write(folder: Path, name: str, trained: Trained, parent: str | None) -> None:
        folder.mkdir(parents=True)
        manifest.write(
            folder,
            CheckpointManifest(
                name=name,
                backbone="mlp",
                small=Small(),
                head=Head(),
                classes=data.manifest.classes,
                input=contract,
                strategy=trained.row.strategy,
                seed=0,
                config="{}",
                parent=parent,
                dataset_digest=data.manifest.digest if name != "clean" else digest_text("source"),
                digest=digest_text(name),
                licence="trained in this run on builtin:digits/clean",
                row=trained.row,
                history=trained.history,
            ),
        )

    write(root / "sources" / "clean", "clean", source, None)
    write(root / "chosen", chosen, candidates[chosen], digest_text("clean"))
    write(root / "control", "control", candidates["control"], None)


def _selection(folder: Path, candidates: dict[str, Trained], chosen: str) -> None:
    folder.mkdir()
    manifest.write(
        folder,
        Selection(
            names=list(candidates),
            rows=[t.row for t in candidates.values()],
            chosen=chosen,
            control="control",
            cross_validated=False,
            histories={n: t.history for n, t in candidates.items()},
            why=["highest balanced accuracy on validation"],
        ),
    )


def _evaluation(
    folder: Path,
    data: datasets.Dataset,
    ours: dict[int, Trained],
    theirs: dict[int, Trained],
    chosen: str,
    converged: bool,
    source: int,
) -> Evaluation:
    folder.mkdir()
    labels, classes = np.asarray(data.test.labels), data.manifest.classes
    logits = {
        side: {s: _logits(data.test.images, t.matrix) for s, t in models.items()}
        for side, models in (("chosen", ours), ("control", theirs))
    }
    forest, notes = baselines.forest(data.train, data.test, seed=0)
    guesses = {"majority": baselines.majority(data.train, data.test), "forest": forest}
    write_predictions(folder, Predictions(labels, logits["chosen"], logits["control"], guesses))
    first, against = logits["chosen"][0], logits["control"][0]
    calibration = calibrate((_logits(data.val.images, ours[0].matrix), np.asarray(data.val.labels)), (first, labels))
    right = {side: np.array([part.argmax(1) == labels for part in models.values()]) for side, models in logits.items()}
    beside = {name: _accuracy(guess == labels) for name, guess in guesses.items()}
    test, control_test = (
        estimate_metrics(first / calibration.temperature, labels, seed=0),
        estimate_metrics(against, labels, seed=0),
    )
    scores = {"chosen": test["accuracy"], "control": control_test["accuracy"], **beside}
    return manifest.write(
        folder,
        Evaluation(
            classes=classes,
            dataset_digest=data.manifest.digest,
            chosen=_side(chosen, ours, right["chosen"]),
            control=_side("control", theirs, right["control"]).model_copy(update={"converged": converged}),
            test=test,
            per_class=per_class(first.argmax(1), labels, classes),
            confusion=confusion(first.argmax(1), labels, 10).tolist(),
            control_test=control_test,
            baselines=beside,
            best=max(scores, key=lambda n: scores[n].value),
            gain=judge_gain(
                paired_difference(right["chosen"], right["control"], seed=0),
                measure="accuracy",
                seeds=len(right["chosen"]),
                delta=0.01,
                converged=converged,
                min_class_count=(8, "labels in the smallest class"),
            ),
            equal_cost=EqualCost(
                source_examples_seen=source,
                transfer_examples_seen=source + ours[0].row.examples_seen,
                control_examples_seen=theirs[0].row.examples_seen,
                value=None,
                note="the control had fewer",
            ),
            calibration=calibration,
            examples=len(labels),
            notes=notes,
        ),
    )


def _side(name: str, models: dict[int, Trained], right: np.ndarray) -> ConfirmationResults:
    rows = [t.row for t in models.values()]
    return ConfirmationResults(
        name=name,
        seeds=list(models),
        accuracy_by_seed=right.mean(1).tolist(),
        examples_seen=[r.examples_seen for r in rows],
        seconds=[r.train_seconds for r in rows],
    )


def _accuracy(right: np.ndarray) -> Estimate:
    low, high = wilson(int(right.sum()), len(right))
    return Estimate(value=float(right.mean()), low=low, high=high)


def _onnx(folder: Path, data: datasets.Dataset, matrix: np.ndarray, found: Evaluation, chosen: Path) -> None:
    checkpoint = manifest.read(chosen, CheckpointManifest)
    facts = ModelMetadata(
        classes=data.manifest.classes,
        input=checkpoint.input,
        temperature=found.calibration.temperature,
        backbone="mlp",
        chosen=checkpoint.digest,
        dataset_digest=data.manifest.digest,
        licence=checkpoint.licence,
        graftline="0.1.0",
    )
    file = onnx_models.write(folder, facts, matrix=matrix.astype(np.float32))
    logits = _logits(data.test.images, matrix)
    parity = compare(model_file.load(file), data.test.images, logits, logits, batch_sizes=[1, 2, 7], relative=1e-4)
    latency = Latency(
        threads=2,
        batch_1_ms=0.05,
        batch_1_ms_pytorch=0.2,
        batch_32_per_second=9e4,
        batch_32_per_second_pytorch=5e4,
        rounds=3,
    )
    manifest.write(
        folder,
        OnnxManifest(
            facts=facts,
            digest=manifest.digest_file(file),
            size_bytes=file.stat().st_size,
            opset=18,
            producer="tests",
            parity=parity,
            latency=latency,
        ),
    )

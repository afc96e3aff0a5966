"""Stub steps that replace the real ones, so that a DAG can be tested in seconds and without torch.

Python imports this file at its start if its folder is on PYTHONPATH. STUB_FAIL makes steps fail:
`refused=pretrain-clean,bug=plan`; `kill=...` kills the process, `slow=...` makes a step take a minute.
STUB_REAL=data keeps the real steps that make datasets.
"""

import json
import os
import sys
import time
import types
from pathlib import Path

from graftline.config.jobs import FinetuneJob, RaceJob, jobs_of
from graftline.runtime import events
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import NAME, Manifest, digest_file, digest_text, identity, write

FAIL = {
    name: kind for pair in filter(None, os.environ.get("STUB_FAIL", "").split(",")) for kind, name in [pair.split("=")]
}


def _work(name):
    for part in range(3):
        events.progress(part + 1, 3, "working", loss=1 / (part + 1))
    kind = FAIL.get(name)
    if kind == "kill":
        os.kill(os.getpid(), 9)
    if kind == "slow":
        time.sleep(60)
    if kind == "refused":
        raise RefusedError(f"{name}: refused as the test asked for")
    if kind == "bug":
        raise ZeroDivisionError("a bug as the test asked for")


def _write(folder, text):
    folder.mkdir(parents=True)
    (folder / "content.txt").write_text(text)
    write(folder, Manifest())


def fingerprint(config):
    _work("fingerprint")
    return jobs_of(config, {config.target.data: digest_file(Path(config.target.data))})


def _write_dataset(folder, job, text):
    from graftline.data.dataset import LEDGER, PAGE, DatasetManifest  # numpy: only here

    folder.mkdir(parents=True)
    for name in ("content.txt", LEDGER, PAGE):
        (folder / name).write_text(text)
    write(
        folder,
        DatasetManifest(
            label=job.label,
            format="none",
            classes=[],
            sizes={},
            image_shape=(1, 8, 8),
            mean=[0.0],
            std=[1.0],
            dropped=[],
            seed=job.seed,
            ledger="",
            fingerprint="",
            digest=text,
            warnings=["dull", "small"],
        ),
    )


def preprocess(job, *, out, target=None):
    _work(f"preprocess-{job.label if target else 'target'}")
    _write_dataset(out, job, (Path(job.data.data).read_text() if job.data.data else "empty").strip())


def decode(job, *, out):
    _work(f"decode-{job.name}")
    _write(out, f"{job.shard} {job.shards} {Path(job.data.data.data).read_text()}")


def merge(job, parts, *, out):
    _work("merge")
    _merge(job, parts, out)


def _merge(job, parts, out):
    mine = Path(job.data.data).read_text()
    texts = [(part / "content.txt").read_text().split(" ", 2) for part in parts]
    shards = [(int(shard), int(of)) for shard, of, text in texts if text == mine]
    assert shards == [(shard, shards[0][1]) for shard in range(shards[0][1])], (job.label, shards)
    _write_dataset(out, job, mine.strip())


def merge_sources(jobs, parts, *, target, out):
    _work("merge-sources")
    for job in jobs:
        _merge(job.preprocess, parts, out / job.preprocess.label)
    return [job.pretrain.model_copy(update={"inputs": identity(out / job.pretrain.label)}) for job in jobs]


def pretrain(job, *, dataset, out):
    _work(f"pretrain-{job.label}")
    _write(out, f"{job.label} trained on {json.loads((dataset / NAME).read_text())['digest']}")


def plan(job, *, sources, dataset, out):
    _work("plan")
    labels = [(source / "content.txt").read_text().split()[0] for source in sources]
    for label, source in zip(labels, sources, strict=True):
        _write(out / "sources" / label, (source / "content.txt").read_text())
    pairs = [(label, strategy) for label in labels for strategy in job.strategies] + [(labels[0], None)]
    made = [
        FinetuneJob(
            name=f"{label}-{strategy.name}" if strategy else "control",
            source=label,
            strategy=strategy,
            head=job.head,
            training=job.training,
            control=job.control,
            longest=100,
            cross_validate=False,
            seed=job.seed,
            until=10 if job.budget and strategy else None,
        )
        for label, strategy in pairs
    ]
    if job.budget is None:
        return types.SimpleNamespace(candidates=made, race=RaceJob())
    return types.SimpleNamespace(
        candidates=made[:-1], race=RaceJob(sizes=[4, 2, 1], ends=[1, 3, 9], images=10, controls=made[-1:])
    )


def finetune(job, *, sources, dataset, out, earlier=None):
    _work(job.name)
    state = earlier / job.name / "content.txt" if earlier else None
    shown = state.read_text().splitlines()[1].split() if state and state.is_file() else []
    source = (sources / "sources" / job.source / "content.txt").read_text()
    _write(out, f"{job.to_json()}\n{' '.join([*shown, str(job.until or 'end')])}\n{source}")


def halve(job, *, candidates, before=None, out):
    _work("halve")
    texts = [(candidate / "content.txt").read_text() for candidate in candidates]
    kept = [FinetuneJob.model_validate_json(text.splitlines()[0]) for text in texts][:-1]
    for each, text in zip(kept, texts, strict=False):
        _write(out / each.name, text)
    _write(out / "race", "race")
    until = None if before else 30
    items = [each.model_copy(update={"until": until, "inputs": digest_text(f"{each.name} {until}")}) for each in kept]
    return [*items, *job.controls] if before else items


def select(job, *, candidates, chosen, control, out, race=None):
    _work("select")
    assert race is None or (race / "race" / "content.txt").is_file()
    texts = [(candidate / "content.txt").read_text() for candidate in candidates]
    found = [FinetuneJob.model_validate_json(text.splitlines()[0]) for text in texts]
    _write(chosen, texts[0])
    _write(control, next(text for text, c in zip(texts, found, strict=True) if c.is_control))
    _write(out, "chosen")
    pair = [found[0], next(c for c in found if c.is_control)]
    return [
        c.model_copy(update={"name": f"{c.name}-seed{seed}", "seed": seed})
        for seed in range(1, job.confirm_seeds)
        for c in pair
    ]


def evaluate(job, *, dataset, sources, chosen, control, confirmations, out):
    _work("evaluate")
    _write(out, f"{len(confirmations)} confirmations")
    figure = types.SimpleNamespace(value=0.5)
    return types.SimpleNamespace(test={"accuracy": figure}, classes=["a", "b"], confusion=[[1, 0], [0, 1]])


def export_onnx(job, *, dataset, chosen, evaluation, out):
    _work("export-onnx")
    _write(out, "onnx")


def gate(job, *, dataset, onnx, evaluation, out):
    _work("gate")
    _write(out, "gate")
    return types.SimpleNamespace(verdict="hold" if job.gate.require_positive_gain else "promote")


def release(job, *, dataset, onnx, evaluation, gate, chosen, out):
    _work("release")
    _write(out, "release")


def report(job, *, dataset, sources, selection, chosen, control, evaluation, onnx, gate, out):
    _work("report")
    out.mkdir(parents=True)
    (out / "report.html").write_text("<p>report</p>")
    (out / "summary.json").write_text('{"selected": {"source": "one", "strategy": "full"}}')


_DATA = [fingerprint, preprocess, decode, merge, merge_sources]
for _step in ([] if os.environ.get("STUB_REAL") == "data" else _DATA) + [
    pretrain,
    plan,
    finetune,
    halve,
    select,
    evaluate,
    export_onnx,
    gate,
    release,
    report,
]:
    _module = types.ModuleType(f"graftline.steps.{_step.__name__}")
    setattr(_module, _step.__name__, _step)
    sys.modules[_module.__name__] = _module

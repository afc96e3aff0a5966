"""KFP component of the step `report`."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from graftline.components.decorator import component


@component
def report(
    job: str,
    dataset: Input[Dataset],
    sources: Input[Model],
    selection: Input[Artifact],
    chosen: Input[Model],
    control: Input[Model],
    evaluation: Input[Metrics],
    onnx: Input[Model],
    judgement: Input[Artifact],
    summary: Output[Artifact],
    page: Output[HTML],
) -> None:
    """Writes the run's results as an HTML page and as `summary.json`; never cached."""
    from pathlib import Path
    from shutil import copyfile

    from graftline.runtime import events

    with events.step("report", job=job, out=summary.path):
        from graftline.config.jobs import ReportJob
        from graftline.steps.report import report

        out = Path(summary.path)
        report(
            ReportJob.model_validate_json(job),
            dataset=Path(dataset.path),
            sources=Path(sources.path),
            selection=Path(selection.path),
            chosen=Path(chosen.path),
            control=Path(control.path),
            evaluation=Path(evaluation.path),
            onnx=Path(onnx.path),
            gate=Path(judgement.path),
            out=out,
        )
        assert (out / "summary.json").is_file(), f"{out}: report wrote no summary.json"
        copyfile(out / "report.html", page.path)

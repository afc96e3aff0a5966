"""KFP component of the step `fingerprint`."""

from typing import NamedTuple

from graftline.components.decorator import component


@component
def fingerprint(config: str, fan_out: bool = False, tournament: bool = False) -> NamedTuple(
    "Jobs",
    [
        ("Output", list[str]),
        ("target", str),
        ("sources", list[str]),
        ("plan", str),
        ("select", str),
        ("evaluate", str),
        ("export_onnx", str),
        ("gate", str),
        ("release", str),
        ("report", str),
    ],
):
    """Computes the fingerprints of the raw data and splits a run's config into one job per step (JSON). `Output` is the
    list of the DAG's first loop: the sources' jobs, or with `fan_out` the DecodeJobs of the target and all sources."""
    from graftline.runtime import events

    with events.step("fingerprint", config=config):
        from graftline.config import Config
        from graftline.config.jobs import check_dag, decode_jobs
        from graftline.steps.fingerprint import fingerprint

        parsed = Config.model_validate_json(config)
        jobs = fingerprint(parsed)
        check_dag(parsed, tournament=tournament)
        others = (jobs.plan, jobs.select, jobs.evaluate, jobs.export_onnx, jobs.gate, jobs.release, jobs.report)
        sources = [job.to_json() for job in jobs.sources]
        first = [job.to_json() for job in decode_jobs(jobs, parsed.shards)] if fan_out else sources
        return (first, jobs.target.to_json(), sources, *[job.to_json() for job in others])

"""Face of the step `fingerprint`."""

from typing import NamedTuple

from graftline.components.face import face


@face
def fingerprint(
    config: str,
) -> NamedTuple("Jobs", [("Output", list[str]), ("target", str), ("plan", str), ("select", str), ("evaluate", str),
                         ("export_onnx", str), ("gate", str), ("release", str), ("report", str)]):
    """Looks at the raw data and splits a run's config into one job a step (JSON); `Output` are the sources' jobs."""
    from graftline import events

    with events.step("fingerprint", config=config):
        from graftline.config import Config
        from graftline.steps.fingerprint import fingerprint

        jobs = fingerprint(Config.model_validate_json(config))
        others = (jobs.target, jobs.plan, jobs.select, jobs.evaluate, jobs.export_onnx, jobs.gate, jobs.release,
                  jobs.report)
        return ([job.to_json() for job in jobs.sources], *[job.to_json() for job in others])

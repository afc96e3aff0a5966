"""The time that a run still takes, from the training examples that are left and the pace so far."""

from dataclasses import dataclass

from graftline.pipelines.local.monitor import RunMonitor
from graftline.pipelines.record import Workload


@dataclass(frozen=True)
class Forecast:
    """Estimates the time left of a run's trainings, those included that are not listed yet."""

    workload: Workload

    def seconds_left(self, monitor: RunMonitor, now: float) -> float | None:
        """Estimates the seconds left; None before a training completed, and when none is left.

        Args:
            monitor: States of the run's steps.
            now: Unix time.
        """
        known, later = self.workload.known, self.workload.later
        begun = [step for name in known if (step := monitor.steps.get(name)) is not None and step.began]
        done, running = ([step for step in begun if step.state == state] for state in ("done", "running"))
        waiting = [
            examples
            for name, examples in known.items()
            if name not in monitor.steps or monitor.steps[name].state == "waiting"
        ]
        if not done or not (waiting or running or any(later.values())):
            return None
        starting = [max(0.0, (step.first_progress[0] or step.began + step.seconds) - step.began) for step in done]
        start = sum(starting) / len(done)
        working = max(sum(step.seconds for step in done) - sum(starting), 0.1)
        pace = max(sum(known[step.name] for step in done), 1) / working
        seconds = sum(start + examples / pace for examples in waiting)
        seconds += sum(examples and start + examples / pace for examples in later.values())
        for step in running:  # a step's own pace is a better estimate than the average
            own = step.seconds_left(now)
            seconds += max(0.0, start + known[step.name] / pace - (now - step.began)) if own is None else own
        busy = sum(step.seconds for step in done) + sum(now - step.began for step in running)
        parallel = max(1.0, busy / max(now - min(step.began for step in begun), 0.1))
        left: float = seconds / parallel
        return left if left >= 1 else None

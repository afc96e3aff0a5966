"""How long a run will still take: by the images that its trainings have yet to show and the pace so far."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from graftline.config.jobs import FinetuneJob, RaceJob
from graftline.pipelines.local.watch import Watch
from graftline.training import recipe

FOLDS = 8
"""Whole trainings that scoring one in folds costs besides: ten, each on eight parts in ten."""
CONTROL = 1.5
"""Times its least presentations that a control takes: it tries its rates, and trains until it stops improving."""


@dataclass
class Forecast:
    """What is to be trained, in images, as far as it is known. `plan` and `listed` are called from kfp's threads."""

    seeds: int
    """`confirm_seeds` of the run."""
    known: dict[str, float] = field(default_factory=dict)
    """Step to its images."""
    later: dict[str, float] = field(default_factory=dict)
    """Phase to the images of steps that are not listed yet."""
    _race: RaceJob = field(default_factory=RaceJob)

    def plan(self, race: RaceJob, candidates: Iterable[FinetuneJob]) -> None:
        """Takes in what `plan` said."""
        self._race = race
        listed = list(candidates)
        longest = max((each.longest for each in listed), default=0)
        further = (self.seeds - 1) * (1 + CONTROL) * longest
        steps = [end - before for end, before in zip(race.ends[1:], race.ends, strict=False)]
        rungs = [float(size * step * race.images) for size, step in zip(race.sizes[1:], steps, strict=True)]
        if rungs:
            rungs[-1] *= 1 + FOLDS if race.cross_validate else 1
            rungs[-1] += CONTROL * longest
        self.later = {f"rung{number}": images for number, images in enumerate(rungs, start=2)} | {"confirm": further}

    def listed(self, phase: str, candidates: Iterable[FinetuneJob]) -> None:
        """Takes in the steps of a phase, whose names are the phase and the candidate's."""
        self.known = self.known | {f"{phase}-{each.name}": self._images(phase, each) for each in candidates}
        self.later = {name: images for name, images in self.later.items() if name != phase}

    def left(self, watch: Watch, now: float) -> float | None:
        """Returns the seconds left; None before there is a pace, and when nothing is left to train.

        Args:
            watch: Of the run.
            now: Unix time.
        """
        begun = [step for name in self.known if (step := watch.steps.get(name)) is not None and step.began]
        done, running = ([step for step in begun if step.state == state] for state in ("done", "running"))
        ahead = [
            images
            for name, images in self.known.items()
            if name not in watch.steps or watch.steps[name].state == "waiting"
        ]
        if not done or not (ahead or running or any(self.later.values())):
            return None
        starting = [max(0.0, (step.first[0] or step.began + step.seconds) - step.began) for step in done]
        start = sum(starting) / len(done)
        working = max(sum(step.seconds for step in done) - sum(starting), 0.1)
        pace = max(sum(self.known[step.name] for step in done), 1) / working
        seconds = sum(start + images / pace for images in ahead)
        seconds += sum(images and start + images / pace for images in self.later.values())
        for step in running:  # what it says itself is nearer than what was thought before
            said = step.left(now)
            seconds += max(0.0, start + self.known[step.name] / pace - (now - step.began)) if said is None else said
        busy = sum(step.seconds for step in done) + sum(now - step.began for step in running)
        lanes = max(1.0, busy / max(now - min(step.began for step in begun), 0.1))
        left: float = seconds / lanes
        return left if left >= 1 else None

    def _images(self, phase: str, each: FinetuneJob) -> float:
        images = max(1, self._race.images)
        if each.skip:
            return 0
        if each.strategy is None:
            return CONTROL * min(each.longest, each.control.max_examples_seen or each.longest)
        whole = recipe.computed(each.strategy, each.training, images) if each.training.epochs else each.longest
        number = int(phase.removeprefix("rung")) if phase.startswith("rung") else 1
        begun = self._race.ends[number - 2] * images if 1 < number <= len(self._race.ends) else 0
        rest = max(0, min(whole, each.until or whole) - begun)
        features = recipe.feature_passes(each.strategy) * images if number == 1 else 0
        return max(features + rest + (FOLDS * whole if each.cross_validate else 0), 1)

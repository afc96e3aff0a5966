"""Progress of the running step, counted in images."""

from dataclasses import dataclass

from graftline.runtime import events


@dataclass
class Progress:
    """Counts processed images and reports them as progress events."""

    total: int
    """Number of images that the step processes, at most."""
    done: int = 0
    label: str = ""
    """Current activity, such as `fold 3 of 10`."""

    def advance(self, images: int, message: str = "", **metrics: float | None) -> None:
        """Adds images to the count and reports it.

        Args:
            images: Number of images.
            message: Details such as `epoch 3`.
            **metrics: Latest values, such as `loss`; None where the task does not have one.
        """
        self.done += images
        events.progress(
            self.done,
            max(self.total, self.done),
            ", ".join(part for part in (self.label, message) if part),
            **{name: value for name, value in metrics.items() if value is not None},
        )

    def finish(self) -> None:
        """Reports the step as complete, even if training converged early."""
        self.total = max(self.done, 1)
        events.progress(self.total, self.total, "done")

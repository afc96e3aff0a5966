"""How far the running step is, in images."""

from dataclasses import dataclass

from graftline.runtime import events


@dataclass
class Progress:
    """Counts images towards the step's whole work and tells the run's watchers."""

    total: int
    """Images that the step will show, at most."""
    done: int = 0
    label: str = ""
    """What is going on, such as `fold 3 of 10`."""

    def advance(self, images: int, message: str = "", **numbers: float | None) -> None:
        """Counts some images as done.

        Args:
            images: How many.
            message: Such as `epoch 3`.
            **numbers: Latest figures, such as `loss`; None where a task has none.
        """
        self.done += images
        words = ", ".join(part for part in (self.label, message) if part)
        events.progress(
            self.done,
            max(self.total, self.done),
            words,
            **{name: number for name, number in numbers.items() if number is not None},
        )

    def finish(self) -> None:
        """Counts what convergence made needless as done."""
        self.total = max(self.done, 1)
        events.progress(self.total, self.total, "done")

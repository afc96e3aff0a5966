"""A run on the screen: finished steps as lines that scroll up, running ones below them, drawn over in place."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from graftline.pipelines.local.forecast import Forecast
from graftline.pipelines.local.watch import StepState, Watch

_STYLES = {"done": "green", "cached": "cyan", "failed": "bold red", "running": "yellow", "waiting": "dim"}
_PLAIN_AFTER = 3.0  # seconds that a step runs before it gets a line of its own there
_PLAIN_EVERY = 15.0  # seconds between two lines of a running step where the output is no terminal


class Screen:
    """Draws a watched run. On a terminal in place, elsewhere as plain lines."""

    def __init__(self, console: Console, watch: Watch, forecast: Forecast | None = None) -> None:
        self._console, self._watch, self._forecast = console, watch, forecast
        self._said: set[tuple[str, str]] = set()
        self._plain = 0.0
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.draw()
        if self._console.is_terminal:
            self._live.stop()

    def draw(self) -> None:
        """Shows the state of the watch as it is now."""
        for step in self._watch.of("done", "cached", "failed"):
            self._once(step)
        if self._console.is_terminal:
            self._live.update(self._now(), refresh=True)
        else:
            self._lines()

    def _once(self, step: StepState) -> None:
        if (step.name, step.state) not in self._said:
            self._said.add((step.name, step.state))
            took = f"{step.seconds:6.1f} s" if step.state == "done" else " " * 8
            self._line(step, took, step.error.splitlines()[0] if step.error else _told(step.numbers))

    def _line(self, step: StepState, took: str, note: str) -> None:
        text = Text.assemble(
            (f"{step.state:8}", _STYLES[step.state]),
            f" {_fit(step.name, 28):28} {took}  ",
            (note, "" if step.error else "dim"),
        )
        if self._console.is_terminal and not step.error:
            text.truncate(self._console.width, overflow="ellipsis")
        self._console.print(text, soft_wrap=True, highlight=False)

    def _lines(self) -> None:
        now = time.time()
        again = now - self._plain >= _PLAIN_EVERY
        self._plain = now if again else self._plain
        for step in self._watch.of("running"):
            if now - step.began < _PLAIN_AFTER:
                continue
            if again or (step.name, "running") not in self._said:
                self._said.add((step.name, "running"))
                share = f"{step.done / step.total:4.0%}" if step.total else ""
                self._line(step, f"{_clock(now - step.began):>8}", f"{share} {_told(step.numbers)}".strip())
        if again and (left := self._left(now)):
            self._console.print(left, highlight=False)

    def _now(self) -> RenderableType:
        now = time.time()
        rows: list[RenderableType] = []
        for step in self._watch.of("running"):
            rows.append(self._bar(step, now))
            if note := "  ".join(filter(None, [step.message, _told(step.numbers)])):
                rows.append(self._dim(" " * 9 + note))
        if waiting := self._watch.of("waiting"):
            rows.append(self._dim("waiting  " + ", ".join(step.name for step in waiting)))
        if left := self._left(now):
            rows.append(Text(left, no_wrap=True))
        return Group(*rows)

    def _left(self, now: float) -> str:
        """Says how long all trainings will still take, listed or not."""
        left = self._forecast.left(self._watch, now) if self._forecast else None
        return f"in all   about {_clock(left)} of training left" if left is not None else ""

    def _dim(self, line: str) -> Text:
        text = Text(line, style="dim", no_wrap=True)
        text.truncate(self._console.width - 3, overflow="ellipsis")  # leaves room for the ^C that a terminal echoes
        return text

    def _bar(self, step: StepState, now: float) -> Table:
        left = step.left(now)
        row = Table.grid(padding=(0, 1, 0, 0))
        for width in (8, 28, 8, 14, 4, 12):
            row.add_column(width=width, no_wrap=True)
        row.add_row(
            Text("running", style=_STYLES["running"]),
            _fit(step.name, 28),
            f"{_clock(now - step.began):>8}",
            ProgressBar(total=step.total, completed=step.done) if step.total else "",
            f"{step.done / step.total:4.0%}" if step.total else "",
            f"{_clock(left)} left" if left is not None else "",
        )
        return row


def _told(numbers: Mapping[str, float | str]) -> str:
    """Writes figures in one line, accuracies first: where it is narrow, the rest is cut off."""
    return "  ".join(
        f"{name.replace('_', ' ')} {value if isinstance(value, str) else format(value, '.3g')}"
        for name, value in sorted(numbers.items(), key=lambda item: "accuracy" not in item[0])
    )


def _fit(name: str, width: int) -> str:
    """Shortens a name in its middle: both what it is and whose it is stay readable."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}..{name[-(width // 2 - 1) :]}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"

"""Progress of a run on the console: completed steps scroll up, running steps are updated in place below them."""

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
from graftline.pipelines.local.monitor import RunMonitor, StepState

_STYLES = {"done": "green", "cached": "cyan", "failed": "bold red", "running": "yellow", "waiting": "dim"}
_PLAIN_EVERY = 15.0  # seconds between two lines of a running step, if the output is not a terminal
_PLAIN_AFTER = 3.0  # seconds that a step runs before its first such line


class ProgressDisplay:
    """Shows the progress of a run: updated in place on a terminal, as plain lines elsewhere."""

    def __init__(self, console: Console, monitor: RunMonitor, forecast: Forecast | None = None) -> None:
        self._console, self._monitor, self._forecast = console, monitor, forecast
        self._printed: set[tuple[str, str]] = set()
        self._last_plain = 0.0
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
        """Shows the current states of the steps."""
        for step in self._monitor.in_state("done", "cached", "failed"):
            self._print_once(step)
        if self._console.is_terminal:
            self._live.update(self._render(), refresh=True)
        else:
            self._print_lines()

    def _print_once(self, step: StepState) -> None:
        if (step.name, step.state) not in self._printed:
            self._printed.add((step.name, step.state))
            duration = f"{step.seconds:6.1f} s" if step.state == "done" else " " * 8
            self._print_line(
                step, duration, step.error.splitlines()[0] if step.error else _format_numbers(step.numbers)
            )

    def _print_line(self, step: StepState, duration: str, note: str) -> None:
        text = Text.assemble(
            (f"{step.state:8}", _STYLES[step.state]),
            f" {_shorten(step.name, 28):28} {duration}  ",
            (note, "" if step.error else "dim"),
        )
        if self._console.is_terminal and not step.error:
            text.truncate(self._console.width, overflow="ellipsis")
        self._console.print(text, soft_wrap=True, highlight=False)

    def _print_lines(self) -> None:
        now = time.time()
        again = now - self._last_plain >= _PLAIN_EVERY
        self._last_plain = now if again else self._last_plain
        for step in self._monitor.in_state("running"):
            if now - step.began < _PLAIN_AFTER:
                continue
            if again or (step.name, "running") not in self._printed:
                self._printed.add((step.name, "running"))
                share = f"{step.done / step.total:4.0%}" if step.total else ""
                self._print_line(
                    step, f"{_clock(now - step.began):>8}", f"{share} {_format_numbers(step.numbers)}".strip()
                )
        if again and (left := self._time_left(now)):
            self._console.print(left, highlight=False)

    def _render(self) -> RenderableType:
        now = time.time()
        rows: list[RenderableType] = []
        for step in self._monitor.in_state("running"):
            rows.append(self._bar(step, now))
            if note := "  ".join(filter(None, [step.message, _format_numbers(step.numbers)])):
                rows.append(self._dim(" " * 9 + note))
        if waiting := self._monitor.in_state("waiting"):
            rows.append(self._dim("waiting  " + ", ".join(step.name for step in waiting)))
        if left := self._time_left(now):
            rows.append(Text(left, no_wrap=True))
        return Group(*rows)

    def _time_left(self, now: float) -> str:
        left = self._forecast.seconds_left(self._monitor, now) if self._forecast else None
        return f"total    about {_clock(left)} of training left" if left is not None else ""

    def _dim(self, line: str) -> Text:
        text = Text(line, style="dim", no_wrap=True)
        text.truncate(self._console.width - 3, overflow="ellipsis")  # a terminal echoes ^C there
        return text

    def _bar(self, step: StepState, now: float) -> Table:
        left = step.seconds_left(now)
        row = Table.grid(padding=(0, 1, 0, 0))
        for width in (8, 28, 8, 14, 4, 12):
            row.add_column(width=width, no_wrap=True)
        row.add_row(
            Text("running", style=_STYLES["running"]),
            _shorten(step.name, 28),
            f"{_clock(now - step.began):>8}",
            ProgressBar(total=step.total, completed=step.done) if step.total else "",
            f"{step.done / step.total:4.0%}" if step.total else "",
            f"{_clock(left)} left" if left is not None else "",
        )
        return row


def _format_numbers(numbers: Mapping[str, float | str]) -> str:
    """Returns metrics in one line, accuracies first, because a narrow terminal cuts off the end."""
    return "  ".join(
        f"{name.replace('_', ' ')} {value if isinstance(value, str) else format(value, '.3g')}"
        for name, value in sorted(numbers.items(), key=lambda item: "accuracy" not in item[0])
    )


def _shorten(name: str, width: int) -> str:
    """Removes the middle of a long name; the step and the strategy stay readable."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}..{name[-(width // 2 - 1) :]}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"

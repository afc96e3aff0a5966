"""Matplotlib figures as inline SVG whose colors are CSS variables, so that one drawing fits light, dark and print.

Charts are drawn at the width of a phone; 1 unit is 1 CSS pixel. Untrusted text is never parsed as mathtext.
"""

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Drawing

WIDTH = 320
INK, MUTED, RULE, ACCENT, CONTROL, BAND = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
_VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", ACCENT: "--accent", CONTROL: "--control", BAND: "--band"}
_SUPERFLUOUS = r"<metadata>.*?</metadata>|<!--.*?-->|<title>.*?</title>|<defs>\s*<style.*?</style>\s*</defs>|\n(?= *\n)"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "graftline",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.size": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "ytick.major.pad": 6,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.04,
    "legend.frameon": False,
}


@contextmanager
def canvas(height: float, columns: int = 1) -> Iterator[tuple[Drawing, list[Axes]]]:
    """Yields a figure and its axes in the style of the page.

    Args:
        height: Height in CSS pixels; the width is `WIDTH`.
        columns: Number of axes side by side.
    """
    with matplotlib.rc_context(_STYLE):
        drawing = Drawing(figsize=(WIDTH / 72, height / 72))
        FigureCanvasSVG(drawing)
        yield drawing, [drawing.add_subplot(1, columns, i + 1) for i in range(columns)]


def to_svg(drawing: Drawing, alt: str) -> Markup:
    """Returns a figure as an <svg> element.

    Args:
        drawing: Figure from `canvas`, inside its `with` block.
        alt: Text alternative for screen readers.
    """
    file = io.StringIO()
    drawing.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(_SUPERFLUOUS, "", text, flags=re.S)
    text = re.sub(r"(font:[^;\"]*?\d+(?:\.\d+)?px) [^;\"]*", r"\1 var(--sans)", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    text = _own_ids(text)
    body = text[text.index(">") + 1 :]
    view = re.search(r'viewBox="([^"]+)"', text)
    size = view.group(1) if view else f"0 0 {WIDTH} 100"
    return Markup(
        f'<svg class="chart" viewBox="{size}" role="img" aria-label="{escape(alt)}" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{body}'
    )


def _own_ids(text: str) -> str:
    """Keeps the ids that are referred to and makes them unique on the page."""
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{mark}-{m[1]}"' if m[1] in used else "", text)
    return re.sub(r"(url\(#|href=\"#)", rf"\g<1>{mark}-", text)

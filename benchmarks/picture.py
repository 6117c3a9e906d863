"""Bars on a logarithmic scale, as an SVG that is readable on a light page and on a dark one."""

from __future__ import annotations

import math
from html import escape

from benchmarks.findings import Bars, duration

WIDTH, MARGIN = 800, 24
BAR, GAP, HEADING = 20, 10, 56
NAMES = 390
"""Width of the names; what is left belongs to the bars."""

VALUES = 70

STYLE = """
  .paper { fill: #fffaf1 } .ink { fill: #2b2118 } .faint { fill: #4d4034 }
  .line { stroke: #dccfb9 } .ours { fill: #1b4b3d } .others { fill: #b3a489 }
  text { font: 14px system-ui, sans-serif } .title { font-weight: 600; font-size: 16px }
  .small { font-size: 12px } .middle { text-anchor: middle }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #1b2430 } .ink { fill: #eceff3 } .faint { fill: #c0cad6 }
    .line { stroke: #38465a } .ours { fill: #a5dcc3 } .others { fill: #66778f }
  }
"""


def svg(bars: Bars) -> str:
    """The picture of *bars*, the longest last. The colours are those of the maintenance page."""
    values = sorted(bars.values.items(), key=lambda item: item[1])
    scale = _Scale([value for _name, value in values])
    height = HEADING + len(values) * (BAR + GAP) + 34
    described = "; ".join(f"{_plain(name)}: {duration(value / 1e6)}" for name, value in values)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(bars.title)}</title>",
        f"<desc>{escape(described)}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="10"/>',
        _text(MARGIN, 32, "ink title", bars.title),
        _text(MARGIN, height - 10, "faint small", "each line is ten times as much"),
    ]
    bottom = height - 26
    for power in scale.powers:
        x = scale.x(10.0**power)
        line = f'<line class="line" x1="{x:.1f}" y1="{HEADING - 6}" x2="{x:.1f}" y2="{bottom}"/>'
        lines += [line, _text(x, bottom + 16, "faint small middle", _step(power))]
    for place, (name, value) in enumerate(values):
        y = HEADING + place * (BAR + GAP)
        kind = "ours" if name.startswith("Backsoon") else "others"
        length = max(2.0, scale.x(value) - scale.left)
        size = f'x="{scale.left}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3"'
        lines += [
            _text(MARGIN, y + 15, "ink", _plain(name)),
            f'<rect class="{kind}" {size}/>',
            _text(scale.left + length + 6, y + 15, "ink small", duration(value / 1e6)),
        ]
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, kind: str, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


class _Scale:
    """Microseconds to a place on the picture, ten times as much for each step."""

    def __init__(self, values: list[float]) -> None:
        known = [value for value in values if value > 0] or [1.0]
        # A third to spare, so that the shortest bar can be seen.
        low, high = math.floor(math.log10(min(known) / 3)), math.ceil(math.log10(max(known)))
        self.powers = range(low, max(high, low + 1) + 1)
        self.left = MARGIN + NAMES
        self._step = (WIDTH - self.left - VALUES - MARGIN) / (len(self.powers) - 1)

    def x(self, value: float) -> float:
        """Where *value* stands; what is not above zero stands at the left edge."""
        if value <= 0:
            return float(self.left)
        return self.left + (math.log10(value) - self.powers[0]) * self._step


def _step(power: int) -> str:
    """Ten to the *power* microseconds, in few letters."""
    if power >= 3:
        return f"{10 ** (power - 3)} ms"
    return f"{10.0**power:g} µs"


def _plain(name: str) -> str:
    return name.replace("`", "")

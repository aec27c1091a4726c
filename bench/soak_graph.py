"""The soak's samples as one picture: panels over the same time, as plain SVG."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WIDTH, HEIGHT = 860, 150
"""Of one panel, in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 30, 14
COLOURS = ("#1f6feb", "#d1580b", "#2da44e", "#8250df")
STEPS = (1, 2, 2.5, 5, 10)


class Panel(NamedTuple):
    """A picture of some series of the samples in one unit."""

    title: str
    series: Mapping[str, str]
    """What is written beside each line, by the sample's key."""
    per_unit: float = 1.0
    """How many of the samples' units are one of the picture's."""


def graph(samples: Sequence[Mapping[str, Any]], panels: Sequence[Panel], title: str) -> str:
    """Draw the panels one below the other; time goes in minutes."""
    height = len(panels) * HEIGHT + 60
    whole = LEFT + WIDTH + RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height}"',
        ' font-family="sans-serif" font-size="12" fill="#24292f">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{whole}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    minutes = [sample["t"] / 60 for sample in samples]
    for number, panel in enumerate(panels):
        parts += _panel(panel, samples, minutes, 24 + number * HEIGHT)
    parts += _time_axis(minutes[-1], 24 + len(panels) * HEIGHT)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, samples: Sequence[Mapping[str, Any]], minutes: Sequence[float], y: int) -> Iterator[str]:
    lines = {key: [sample[key] / panel.per_unit for sample in samples] for key in panel.series}
    ticks = _ticks(max(max(values) for values in lines.values()))
    bottom, top = y + HEIGHT - BOTTOM, y + TOP

    def up(value: float) -> float:
        return bottom - value / ticks[-1] * (bottom - top)

    yield f'<text x="{LEFT}" y="{y + 20}">{escape(panel.title)}</text>'
    for tick in ticks:
        yield f'<path d="M{LEFT} {up(tick):.1f}H{LEFT + WIDTH}" stroke="#d0d7de"/>'
        yield f'<text x="{LEFT - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
    for colour, (key, label) in zip(COLOURS, panel.series.items(), strict=False):
        points = " ".join(
            f"{LEFT + minute / minutes[-1] * WIDTH:.1f},{up(value):.1f}"
            for minute, value in zip(minutes, lines[key], strict=True)
        )
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        place = list(panel.series).index(key)
        yield f'<text x="{LEFT + WIDTH + 8}" y="{top + 8 + 16 * place}" fill="{colour}">{escape(label)}</text>'


def _time_axis(minutes: float, y: int) -> Iterator[str]:
    for tick in _ticks(minutes):
        if tick <= minutes * 1.001:
            x = LEFT + tick / minutes * WIDTH
            yield f'<text x="{x:.1f}" y="{y + 6}" text-anchor="middle">{tick:g}</text>'
    yield f'<text x="{LEFT + WIDTH / 2}" y="{y + 24}" text-anchor="middle">minutes</text>'


def _ticks(most: float) -> list[float]:
    """Round numbers from 0 to the first one that is not below the most; at most six."""
    most = most or 1.0  # a line at nought needs a scale, too
    rough = most / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in STEPS if power * factor >= rough * 0.999)
    return [round(step * number, 9) for number in range(math.ceil(most / step - 1e-9) + 1)]

"""The CPU figures as a drawing: one group of bars per workload, drawn as text so that a browser shows it anywhere."""

from html import escape
from typing import Final

from tests.benchmarks.contenders import CEILING, CONTENDERS, ENVOY, NGINX, OURS, PLAIN, RELAY
from tests.benchmarks.results import Results

#: Told apart without colour by their order and by the name beside each bar.
COLOURS: Final = {
    OURS: "#0b6e4f",
    PLAIN: "#58a78c",
    ENVOY: "#7a5195",
    NGINX: "#3b7dd8",
    RELAY: "#d1495b",
    CEILING: "#8d99ae",
}
_WIDTH: Final = 860
_LEFT: Final = 150
_RIGHT: Final = 70
_BAR: Final = 18
_GROUP_GAP: Final = 40
_TOP: Final = 64


def plot(results: Results) -> str:
    """Return the drawing, an SVG document. Each group has a scale of its own: the longest bar fills the width."""
    names = [name for name in CONTENDERS if name in results.programs]
    parts: list[str] = []
    y = _TOP
    for workload, figures in results.cpu_us.items():
        parts.append(_text(16, y, workload, weight="600"))
        y += 10
        longest = max(figures.values())
        for name in (name for name in names if name in figures):
            length = max(2.0, figures[name] / longest * (_WIDTH - _LEFT - _RIGHT))
            parts.append(_text(_LEFT - 8, y + 13, name, anchor="end"))
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR - 3}" rx="2" fill="{COLOURS[name]}"/>'
            )
            parts.append(_text(_LEFT + length + 6, y + 13, f"{figures[name]:,.0f}"))
            y += _BAR
        y += _GROUP_GAP
    title = "CPU per request in µs: shorter is better"
    size = f'viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}"'
    look = f'role="img" aria-label="{title}" font-family="system-ui, sans-serif" font-size="13"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {look}>',
            f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>',
            _text(16, 28, title, weight="600", size=17),
            *parts,
            _text(16, y - 14, f"{results.taken}, {results.machine}", colour="#5c677d"),
            "</svg>\n",
        ]
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    weight: str = "400",
    size: int = 13,
    colour: str = "#1b263b",
) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}" '
        f'fill="{colour}">{escape(text)}</text>'
    )

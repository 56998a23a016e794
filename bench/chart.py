"""The results as one picture (SVG): for each scenario how many times mosquitto's figure each broker reaches."""

import math
from html import escape

from brokers import BASELINE, OURS
from results import LOWER, Line, Results

LEFT, WIDTH, STEP, TOP = 200, 620, 24, 96
#: The axis: from a hundredth to a hundred times mosquitto.
LOWEST, HIGHEST = 0.01, 100
MARKS = (0.01, 0.1, 1, 10, 100)

#: Both faces; a picture in a page follows what the reader's system asks for.
STYLE = """
svg { font: 12px system-ui, sans-serif; }
.ground { fill: #fff } text { fill: #222 } .faint { fill: #666 }
.grid { stroke: #ddd } .one { stroke: #444 } .band { fill: #f4f6f8 }
.plain { fill: #2a6f97 } .encrypted { fill: #3f9c77 } .behind { fill: #b5474d } .aim { stroke: #111; stroke-width: 2 }
.peer { fill: #fff; stroke: #666; stroke-width: 1.3 }
@media (prefers-color-scheme: dark) {
.ground { fill: #16191d } text { fill: #e4e6e8 } .faint { fill: #9aa2aa }
.grid { stroke: #33383e } .one { stroke: #aab0b6 } .band { fill: #1c2126 }
.plain { fill: #58a5d0 } .encrypted { fill: #5cc39a } .behind { fill: #e0777c } .aim { stroke: #fff }
.peer { fill: #16191d; stroke: #aab0b6 }
}
"""

#: The outline of each other broker's mark, around the origin.
SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M-3.5 -3.5h7v7h-7z",
    "M0 -4.5L4.5 3.5H-4.5z",
    "M0 -5L5 0L0 5L-5 0z",
    "M-4.5 -3.5H4.5L0 4.5z",
    "M-4 -4L4 4M4 -4L-4 4",
)


def at(ratio: float) -> float:
    """Where a ratio stands on the axis."""
    bounded = min(max(ratio, LOWEST), HIGHEST)
    return LEFT + WIDTH * math.log(bounded / LOWEST) / math.log(HIGHEST / LOWEST)


def chart(results: Results, lines: list[Line], title: str) -> str:
    """A bar for Bollard, a mark for each other broker and a stroke for the aim, on each line that is a rate."""
    shown = [
        line
        for line in lines
        if line.metric not in LOWER
        and line.case == line.base
        and results.ratio(line.case, line.metric) is not None
    ]
    others = [name for name in results.brokers if name not in (BASELINE, OURS)]
    bottom = TOP + STEP * len(shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 80} {bottom + 34}" '
        f'width="{LEFT + WIDTH + 80}" height="{bottom + 34}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        '<rect class="ground" width="100%" height="100%"/>',
        f'<text x="12" y="24" font-size="16" font-weight="600">{escape(title)}</text>',
        *_legend(others),
        *_axis(bottom, len(shown)),
    ]
    for index, line in enumerate(shown):
        parts += _row(results, line, TOP + STEP * index, others)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(others: list[str]) -> list[str]:
    entries = [
        ('<rect class="plain" x="-6" y="-5" width="12" height="10"/>', OURS),
        ('<rect class="encrypted" x="-6" y="-5" width="12" height="10"/>', f"{OURS}, TLS against TLS"),
        ('<rect class="behind" x="-6" y="-5" width="12" height="10"/>', f"{OURS}, below {BASELINE}"),
        ('<path class="aim" d="M0 -7V7"/>', "aim"),
    ]
    entries += [
        (f'<path class="peer" d="{shape}"/>', name) for name, shape in zip(others, SHAPES, strict=False)
    ]
    parts, x = [], 20.0
    for mark, text in entries:
        parts.append(
            f'<g transform="translate({x:.0f} 50)">{mark}<text x="11" y="4">{escape(text)}</text></g>'
        )
        x += 34 + 6.6 * len(text)
    return parts


def _axis(bottom: int, rows: int) -> list[str]:
    parts = [
        f'<rect class="band" x="0" y="{TOP + STEP * row}" width="100%" height="{STEP}"/>'
        for row in range(1, rows, 2)
    ]
    for mark in MARKS:
        name = "one" if mark == 1 else "grid"
        parts.append(f'<path class="{name}" d="M{at(mark):.1f} {TOP - 6}V{bottom + 6}"/>')
        for y in (TOP - 12, bottom + 20):
            parts.append(
                f'<text class="faint" x="{at(mark):.1f}" y="{y}" text-anchor="middle">{mark:g} x</text>'
            )
    return parts


def _row(results: Results, line: Line, y: int, others: list[str]) -> list[str]:
    ratio = results.ratio(line.case, line.metric)
    assert ratio is not None
    middle, one, end = y + STEP / 2, at(1), at(ratio)
    kind = "behind" if ratio < 1 else "encrypted" if "tls" in line.case else "plain"
    text = f"{ratio:.2g} x" if ratio < 10 else f"{ratio:.0f} x"
    parts = [
        f'<text x="{LEFT - 12}" y="{middle + 4}" text-anchor="end">{escape(line.case)}</text>',
        f'<rect class="{kind}" x="{min(one, end):.1f}" y="{y + 5}" width="{max(abs(end - one), 1):.1f}" '
        f'height="{STEP - 10}"><title>{escape(line.what)}: {text}</title></rect>',
        f'<text x="{LEFT + WIDTH + 12}" y="{middle + 4}" font-weight="600">{text}</text>',
    ]
    if line.aim is not None:
        parts.append(f'<path class="aim" d="M{at(line.aim):.1f} {y + 3}V{y + STEP - 3}"/>')
    for name, shape in zip(others, SHAPES, strict=False):
        other = results.ratio(line.case, line.metric, name)
        if other is not None:
            parts.append(
                f'<path class="peer" transform="translate({at(other):.1f} {middle})" d="{shape}">'
                f"<title>{escape(name)}: {other:.2g} x</title></path>"
            )
    return parts

"""A run as a drawing (SVG, nothing outside it): members from top to bottom, time from left to right.

A member's bar has the colour of its term: dark where it leads, pale where it follows, striped where it stands for election, empty where it is
down. Faults are the small bars below it. The red line is the violation, the red bar at the bottom the operation that it is about.
"""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

from tests.simulation.recorder import DOWN, Recorder, Span, Struck
from tests.simulation.world import World

LEFT, WIDTH = 70, 1330
BAR, GAP = 26, 12
MARK, CLOSE_MARK = (
    7,
    13,
)  # height of a fault in the panel of the whole run, and in the close one, where it has its name
MARK_ROWS = 3  # faults that overlap on one member are drawn below each other
CLOSE_SECONDS = 5.0  # the second panel: so much before the violation
GOLDEN_ANGLE = 137.5  # between the hues of terms that follow each other
_FAULT_COLOURS = (
    ("crash", "#222222"), ("cut|isolate|halves|bridge|one_way", "#c0392b"), ("pause|freeze", "#8e44ad"),
    ("slow|torn|reconnect", "#d68910"), ("disk|sync|rot|wipe", "#6e2c00"), ("snapshot|install|transfer", "#1f618d"),
    ("skew|clock", "#117a65"),
)  # fmt: skip
_LEGEND = (
    "a member's bar: the hue is its term; dark = leader, pale = follower, striped = candidate, empty = down · below it its faults · "
    "red line: the violation"
)
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.small{font-size:10px}.title{font-size:15px;font-weight:bold}"
    ".on{fill:#fff;font-size:11px}"
)
_STRIPES = (
    '<pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" fill="#fff"/><rect width="3" height="6" fill="#7f8c8d"/></pattern>'
)


class _Panel(NamedTuple):
    start: float
    end: float
    top: float
    mark: int

    @property
    def lane(self) -> int:
        """Height of a member and its faults."""
        return BAR + MARK_ROWS * self.mark + GAP

    def x(self, moment: float) -> float:
        """Where that moment is."""
        share = (min(max(moment, self.start), self.end) - self.start) / (self.end - self.start)
        return LEFT + share * WIDTH


def draw(world: World, recorder: Recorder, title: str, violation: str, moment: float = 0.0) -> str:
    """The whole picture; the violation is at that moment, or where the run stopped."""
    end = max(world.now, 0.1)
    moment = moment or end
    panels = [_Panel(0.0, end, 80, MARK)]
    if violation and moment > 2 * CLOSE_SECONDS:
        below = panels[0].top + len(world.nodes) * panels[0].lane + 70
        panels.append(_Panel(moment - CLOSE_SECONDS, moment, below, CLOSE_MARK))
    total = panels[-1].top + len(world.nodes) * panels[-1].lane + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 30}" height="{total:.0f}">',
        f'<style>{_STYLE}</style><defs>{_STRIPES}</defs><rect width="100%" height="100%" fill="#fff"/>',
        f'<text class="title" x="10" y="22">{escape(title)}</text>',
        f'<text x="10" y="42" style="fill:#c0392b">{escape(violation[:200])}</text>',
        f'<text class="small" x="10" y="60">{_LEGEND}</text>',
    ]
    for panel in panels:
        for row, node_id in enumerate(world.nodes):
            parts += _member(panel, panel.top + row * panel.lane, node_id, recorder)
        bottom = panel.top + len(world.nodes) * panel.lane
        parts += _axis(panel, bottom)
        if violation:
            parts += _violation(panel, bottom, world, violation, moment)
    return "\n".join([*parts, "</svg>", ""])


def _rect(x: float, y: float, x_end: float, height: float, style: str, tip: str) -> str:
    width = max(x_end - x, 1.5)
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" {style}>'
        f"<title>{escape(tip)}</title></rect>"
    )


def _member(panel: _Panel, top: float, node_id: str, recorder: Recorder) -> list[str]:
    parts = [f'<text x="10" y="{top + BAR - 8:.1f}">{escape(node_id)}</text>']
    spans = recorder.spans.get(node_id, [])
    for number, span in enumerate(spans):
        until = spans[number + 1].start if number + 1 < len(spans) else panel.end
        if until < panel.start or span.start > panel.end:
            continue
        x, x_end = panel.x(span.start), panel.x(until)
        tip = f"{node_id} {span.role}, term {span.term}, {span.start:.3f} to {until:.3f} s"
        parts.append(_rect(x, top, x_end, BAR, _fill(span), tip))
        if span.role == "leader" and x_end - x > 24:
            parts.append(f'<text class="on" x="{x + 3:.1f}" y="{top + BAR - 9:.1f}">T{span.term}</text>')
    return parts + _marks(panel, top + BAR + 1, node_id, recorder.struck)


def _fill(span: Span) -> str:
    if span.role == DOWN:
        return 'fill="#fff" stroke="#999" stroke-dasharray="3 3"'
    if span.role == "candidate":
        return 'fill="url(#stripes)" stroke="#7f8c8d"'
    hue = span.term * GOLDEN_ANGLE % 360
    return f'fill="hsl({hue:.0f},{"70%,38%" if span.role == "leader" else "55%,86%"})"'


def _marks(panel: _Panel, top: float, node_id: str, struck: list[Struck]) -> list[str]:
    parts = []
    free = [0.0] * MARK_ROWS
    for one in struck:
        until = one.at + one.fault.duration
        if node_id not in one.victims or until < panel.start or one.at > panel.end:
            continue
        row = next((row for row in range(MARK_ROWS) if free[row] <= one.at), MARK_ROWS - 1)
        free[row] = until
        x, x_end, y = panel.x(one.at), panel.x(until), top + row * panel.mark
        colour = next(
            (colour for kinds, colour in _FAULT_COLOURS if re.search(kinds, one.fault.kind)), "#555"
        )
        parts.append(
            _rect(
                x,
                y,
                x_end,
                panel.mark - 2,
                f'fill="{colour}" fill-opacity="0.5"',
                f"{one.at:.3f} s: {one.fault}",
            )
        )
        if panel.mark == CLOSE_MARK:
            parts.append(
                f'<text class="small" x="{x + 2:.1f}" y="{y + panel.mark - 4:.1f}">#{one.fault.number} {one.fault.kind}</text>'
            )
    return parts


def _axis(panel: _Panel, y: float) -> list[str]:
    seconds = panel.end - panel.start
    step = next(step for step in (0.5, 1, 2, 5, 10, 30, 60, 600) if seconds / step <= 15)
    parts = [f'<line x1="{LEFT}" y1="{y}" x2="{LEFT + WIDTH}" y2="{y}" stroke="#222"/>']
    tick = -(-panel.start // step) * step
    while tick <= panel.end:
        x = panel.x(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + 5}" stroke="#222"/>')
        parts.append(f'<text class="small" x="{x - 8:.1f}" y="{y + 16}">{tick:g} s</text>')
        tick += step
    return parts


def _violation(panel: _Panel, bottom: float, world: World, violation: str, moment: float) -> list[str]:
    x = panel.x(moment)
    parts = [
        f'<line x1="{x:.1f}" y1="{panel.top - 6}" x2="{x:.1f}" y2="{bottom + 20}" stroke="#e00" stroke-width="2"/>'
    ]
    named = set(re.findall(r"\bk\d+\b", violation))
    for operation in world.operations:
        if operation.key in named:
            until = operation.done_at if operation.done_at is not None else world.now
            y = bottom + 20
            tip = f"{operation.key} {operation.kind}: asked {operation.invoked_at:.3f} s, answered {operation.done_at}"
            parts.append(_rect(panel.x(operation.invoked_at), y, panel.x(until), 9, 'fill="#e00"', tip))
            parts.append(f'<text x="10" y="{y + 9:.1f}">{escape(operation.key)}</text>')
    return parts

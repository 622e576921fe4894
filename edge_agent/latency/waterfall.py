"""Waterfalls for the terminal: one bar a turn, a line at the budget, and the stage that overspent in red.

    turn 0         200        400        600        800       1000     ms
       1 ░░░░░░░░░░░░░░░░░▒▒▒▒▓▓▓▓▓▓▓███▪         │                   603
       2 ░░░░░░░░░░░░░░░░▒▒▒▒▒####################│####███▪          1012  llm

Where the terminal has 256 colours the stages are shades of grey, so that red is the only colour; elsewhere, and
without colour (pipes, NO_COLOR), each stage has a texture of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.style import Style
from rich.table import Table
from rich.text import Text

from edge_agent.latency.critical_path import STAGES
from edge_agent.latency.turn_line import Row, TurnLine, turn_lines

OVERSPENT = "overspent"
_SHADES = dict(zip(STAGES, ("grey35", "grey46", "grey58", "grey70", "grey82"), strict=True)) | {OVERSPENT: "red"}
_TEXTURES = dict(zip(STAGES, "░▒▓█▪", strict=True)) | {OVERSPENT: "#"}
_ASCII = dict(zip(STAGES, ".:=%-", strict=True)) | {OVERSPENT: "#"}

_FARTHEST = 2.0  # budgets that the scale shows at most; one bar beyond it must not flatten the others
_TICKS_MS = (50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000)
_TICK_WIDTH = 9  # columns between two numbers of the scale, at least
_WIDTH = (40, 200)  # columns that a waterfall can use


@dataclass(frozen=True)
class _Look:
    """What this terminal can show."""

    fills: dict[str, str]  # one character by stage
    shaded: bool  # 256 colours or more
    line: str
    acknowledged: str
    beyond: str
    down: str
    cancelled: str
    ellipsis: str

    @classmethod
    def of(cls, console: Console, options: ConsoleOptions) -> _Look:
        if options.ascii_only:
            return cls(_ASCII, False, "|", "A", ">", "v", "x", "...")
        shaded = console.color_system in ("256", "truecolor") and not console.no_color
        fills = dict.fromkeys(_TEXTURES, "█") if shaded else _TEXTURES
        return cls(fills, shaded, "│", "◆", "»", "↓", "✕", "…")

    def style(self, part: str) -> Style:
        """How the part of a bar is painted; without colour the bold of what overspent is left."""
        if part == OVERSPENT:
            return Style(color="red", bold=True)
        return Style(color=_SHADES[part]) if self.shaded else Style()


@dataclass(frozen=True)
class _Scale:
    """Columns for milliseconds."""

    end_ms: float
    width: int

    @classmethod
    def fitting(cls, lines: Sequence[TurnLine], budget_ms: float, width: int) -> _Scale:
        longest_ms = max([budget_ms, *(sum(line.segments.values()) for line in lines)])
        return cls(min(max(longest_ms, budget_ms * 1.1), budget_ms * _FARTHEST), width)

    def column(self, at_ms: float) -> int:
        """The column at which `at_ms` lies; `width` when that is beyond the end."""
        return min(self.width, max(0, round(at_ms / self.end_ms * self.width)))

    def ticks_ms(self) -> list[int]:
        """Round numbers of milliseconds, as many as fit."""
        fitting = (tick for tick in _TICKS_MS if tick / self.end_ms * self.width >= _TICK_WIDTH)
        step = next(fitting, math.ceil(self.end_ms))
        return list(range(0, math.floor(self.end_ms) + 1, step))


class Waterfall:
    """One bar a turn; print it with rich.

    Args:
        rows: traces, or lines of a trace file.
        budget_ms: where the line stands.
        width: columns to use at most; None for the terminal's.

    Raises:
        BenchError: `bench.trace`, when a row is neither.
    """

    def __init__(self, rows: Iterable[Row], budget_ms: float, width: int | None = None) -> None:
        self._lines = turn_lines(rows)
        self._budget_ms = budget_ms
        self._width = width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        look = _Look.of(console, options)
        width = max(_WIDTH[0], min(self._width or options.max_width, options.max_width, _WIDTH[1]))
        labels = ["turn", *(str(line.turn) for line in self._lines)]
        left = max(len(label) for label in labels) + 1
        remarks = self._remarks(look, width)
        right = max([len("ms"), *(remark.cell_len for remark in remarks)])
        scale = _Scale.fitting(self._lines, self._budget_ms, width - left - right - 2)
        yield _row("turn", left, _axis(scale, self._budget_ms), Text("   ms", style="dim"))
        for line, remark in zip(self._lines, remarks, strict=True):
            yield _row(str(line.turn), left, _bar(line, scale, self._budget_ms, look), remark)
        yield from _legend(self._lines, self._budget_ms, look, width)

    def _remarks(self, look: _Look, width: int) -> list[Text]:
        """What stands to the right of the bars: in words, where they take no more than a third of the width."""
        remarks = []
        for line in self._lines:
            remark = _remark(line, look, in_words=True)
            if remark.cell_len > width // 3:
                remark = _remark(line, look, in_words=False)
            if remark.cell_len > width // 3:
                remark.truncate(width // 3 - len(look.ellipsis))
                remark.append(look.ellipsis)
            remarks.append(remark)
        return remarks


def waterfall(rows: Iterable[Row], budget_ms: float, width: int | None = None) -> RenderableType:
    """The turns as bars under one another; see `Waterfall`."""
    return Waterfall(rows, budget_ms, width)


def turn_card(row: Row, budget_ms: float, width: int | None = None, *, agent: str = "agent") -> RenderableType:
    """One turn in full: what was said and heard, its bar, its stamps, and what was left out.

    Raises:
        BenchError: `bench.trace`, when `row` is no turn.
    """
    (line,) = turn_lines([row])
    said = Table.grid(padding=(0, 2, 0, 0))
    said.add_column(style="dim", justify="right")
    said.add_column(overflow="fold")
    said.add_row("you", Text(_printable(line.transcript) or "(nothing)"))
    said.add_row(agent, Text(_printable(line.reply) or "(nothing)"))
    if line.heard.strip() != line.reply.strip():
        said.add_row("heard", Text(_printable(line.heard) or "(nothing)"))
    stamps = {name: at_ms for name, at_ms in line.stages.items() if at_ms is not None and name != "speech_end"}
    ordered = sorted(stamps.items(), key=lambda stamp: stamp[1])
    if ordered:
        said.add_row(
            "ms", Text(", ".join(f"{_printable(name).replace('_', ' ')} {at_ms:.0f}" for name, at_ms in ordered))
        )
    if line.rungs:
        said.add_row("left out", Text(_printable(", ".join(line.rungs))))
    if not line.answered:
        said.add_row("cancelled", Text(_printable(line.cancelled or "no answer")))
    return Group(Waterfall([line], budget_ms, width), said)


def _row(label: str, left: int, middle: Text, remark: Text) -> Text:
    row = Text(label.rjust(left - 1) + " ", style="", no_wrap=True, overflow="crop")
    return row.append_text(middle).append("  ").append_text(remark)


def _axis(scale: _Scale, budget_ms: float) -> Text:
    """The numbers of the scale; the budget's stands where its line is, and pushes others aside."""
    axis = [" "] * scale.width
    label = f"{budget_ms:g}"
    start = min(scale.column(budget_ms), scale.width - len(label))
    for tick_ms in scale.ticks_ms():
        column, digits = scale.column(tick_ms), str(tick_ms)
        if column + len(digits) < start or start + len(label) < column <= scale.width - len(digits):
            axis[column : column + len(digits)] = digits
    axis[start : start + len(label)] = label
    text = Text("".join(axis), style="dim")
    text.stylize(Style(dim=False, bold=True), start, start + len(label))
    return text


def _bar(line: TurnLine, scale: _Scale, budget_ms: float, look: _Look) -> Text:
    """The segments, with the budget's line and the acknowledgement's mark through them."""
    cells = [(" ", Style())] * scale.width
    at_ms, filled = 0.0, 0
    for stage, segment_ms in line.segments.items():
        at_ms += segment_ms
        part = OVERSPENT if stage == line.breach else stage
        end = scale.column(at_ms)
        cells[filled:end] = [(look.fills[part], look.style(part))] * (end - filled)
        filled = end
    if line.acknowledged_ms is not None:
        column = min(scale.column(line.acknowledged_ms), scale.width - 1)
        cells[column] = (look.acknowledged, _over(cells[column], look, Style(color="cyan", bold=True)))
    column = min(scale.column(budget_ms), scale.width - 1)
    cells[column] = (look.line, _over(cells[column], look, Style(bold=True)))
    if at_ms > scale.end_ms:
        cells[-1] = (look.beyond, _over(cells[-1], look, Style(bold=True)))
    bar = Text()
    for character, style in cells:
        bar.append(character, style)
    return bar


def _over(cell: tuple[str, Style], look: _Look, style: Style) -> Style:
    """`style` for a mark on top of `cell`, whose shade goes on behind it."""
    character, below = cell
    if not look.shaded or character == " " or below.color is None:
        return style
    return style + Style(bgcolor=below.color.name)


def _remark(line: TurnLine, look: _Look, in_words: bool) -> Text:
    """Total, the stage that overspent, what was left out, and where the turn was cancelled."""
    remark = Text()
    red = Style(color="red", bold=True)
    if line.first_answer_ms is None:
        remark.append("    -", style="dim")
    else:
        remark.append(f"{line.first_answer_ms:5.0f}", style=red if line.breach else "")
    if line.breach:
        remark.append(f"  {line.breach}", style=red)
    if line.rungs:
        left_out = ", ".join(rung.split(": ", 1)[-1] for rung in line.rungs) if in_words else str(len(line.rungs))
        remark.append(f"  {look.down}{_printable(left_out)}", style="cyan")
    if not line.answered:
        reason = _printable(line.cancelled or "no answer")
        remark.append(f"  {look.cancelled} {reason if in_words else reason.split(': ', 1)[0]}", style="dim")
    return remark


def _printable(text: str) -> str:
    """`text` without what would steer the terminal: it comes from models, and from the LAN."""
    return "".join(character if character.isprintable() else " " for character in text)


def _legend(lines: Sequence[TurnLine], budget_ms: float, look: _Look, width: int) -> list[Text]:
    """What the signs mean, only those that occur, wrapped between two of them."""
    entries = [(look.fills[stage] * 2, look.style(stage), stage) for stage in STAGES]
    if any(line.breach for line in lines):
        entries.append((look.fills[OVERSPENT] * 2, look.style(OVERSPENT), OVERSPENT))
    entries.append((look.line, Style(bold=True), f"{budget_ms:g} ms"))
    if any(line.acknowledged_ms is not None for line in lines):
        entries.append((look.acknowledged, Style(color="cyan", bold=True), "acknowledgement"))
    if any(line.rungs for line in lines):
        entries.append((look.down, Style(color="cyan"), "left out to be in time"))
    if not all(line.answered for line in lines):
        entries.append((look.cancelled, Style(dim=True), "cancelled in"))
    legend = [Text(" " * 5, no_wrap=True)]
    for sign, style, meaning in entries:
        if legend[-1].cell_len + len(sign) + len(meaning) + 3 > width:
            legend.append(Text(" " * 5, no_wrap=True))
        legend[-1].append(sign, style).append(f" {meaning}  ", style="dim")
    return legend

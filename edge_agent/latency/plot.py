"""Waterfalls as a picture: one stacked bar a turn, the budget, p50 and p95.

Needs matplotlib, which only the benchmarks do: it is imported when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_agent.errors import BenchError
from edge_agent.latency.critical_path import STAGES
from edge_agent.latency.report import percentile
from edge_agent.latency.turn_line import Row, TurnLine, turn_lines

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Blues from dark to light tell the stages apart by lightness alone; vermilion (Okabe and Ito 2008) stands out from them
# for every kind of colour vision.
_BLUES = dict(zip(STAGES, ("#16324f", "#2f6690", "#6a9ec6", "#9fc5e3", "#c9dff0"), strict=True))
_OVERSPENT = "#d55e00"
_MUTED = "#8a8a8a"

_MOST_LABELLED = 60  # turns up to which each bar has its number and total beside it
_LABEL_LENGTH = 40  # characters of a transcript
_FARTHEST = 3.0  # budgets that the scale shows at most
_DPI = 150


def plot(
    rows: Iterable[Row],
    path: Path,
    budget_ms: float = 800.0,
    order: Literal["turn", "latency"] = "turn",
    title: str = "From the end of speech to the answer",
) -> None:
    """Write the waterfalls of `rows` to `path` as a PNG.

    Args:
        rows: traces, or lines of a trace file.
        path: where to write.
        budget_ms: where the budget's line stands.
        order: from top to bottom as the turns came, or from the quickest to the slowest.
        title: what stands above.

    Raises:
        BenchError: `bench.plot`, when matplotlib is not installed, there is no turn, or the file cannot be written;
            `bench.trace`, when a row is neither.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchError(
            "plot", "A picture needs matplotlib, which is not installed; run `pip install edge-agent[bench]`."
        ) from error
    lines = turn_lines(rows)
    if not lines:
        raise BenchError("plot", "There is no turn to draw; give a trace with at least one.")
    if order == "latency":
        lines.sort(key=lambda line: (line.first_answer_ms is None, line.first_answer_ms or sum(line.segments.values())))
    figure = Figure(
        figsize=(11, 2.2 + (0.3 * len(lines) if len(lines) <= _MOST_LABELLED else 8)), dpi=_DPI, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _bars(axes, lines)
    _frame(axes, lines, budget_ms)
    _marks(axes, lines, budget_ms)
    figure.suptitle(_plain(title), x=0.01, ha="left", fontweight="bold", parse_math=False)
    handles, names = _legend(lines)
    figure.legend(handles, names, loc="outside lower left", ncols=7, frameon=False, fontsize=9, handlelength=1.2)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise BenchError(
            "plot", f"The picture cannot be written to {path} ({error.strerror}); give a place that can be written to."
        ) from error


def _bars(axes: Axes, lines: Sequence[TurnLine]) -> None:
    """Each turn's segments; pale when nobody heard an answer."""
    ends_ms = [0.0] * len(lines)
    for stage in STAGES:
        segments_ms = [line.segments.get(stage, 0.0) for line in lines]
        colors = [_OVERSPENT if line.breach == stage else _BLUES[stage] for line in lines]
        axes.barh(
            range(len(lines)),
            segments_ms,
            left=ends_ms,
            height=0.72 if len(lines) <= _MOST_LABELLED else 1.0,
            color=[(color, 1.0 if line.answered else 0.35) for color, line in zip(colors, lines, strict=True)],
            edgecolor="white",
            linewidth=0.6 if len(lines) <= _MOST_LABELLED else 0.0,
            zorder=2,
        )
        ends_ms = [end_ms + segment_ms for end_ms, segment_ms in zip(ends_ms, segments_ms, strict=True)]
    heard = [(line.acknowledged_ms, place) for place, line in enumerate(lines) if line.acknowledged_ms is not None]
    if heard:
        axes.plot(*zip(*heard, strict=True), "D", color="white", markeredgecolor="black", markersize=5, zorder=4)


def _frame(axes: Axes, lines: Sequence[TurnLine], budget_ms: float) -> None:
    """Scale, labels of the turns to the left, totals to the right."""
    longest_ms = max(sum(line.segments.values()) for line in lines)
    end_ms = min(max(longest_ms * 1.02, budget_ms * 1.15), budget_ms * _FARTHEST)
    axes.set_xlim(0, end_ms)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlabel("milliseconds after the last sample of the user's speech")
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if len(lines) > _MOST_LABELLED:
        axes.set_ylabel(f"{len(lines)} turns")
        axes.set_yticks([])
        return
    axes.set_yticks(range(len(lines)), [_label(line) for line in lines], fontsize=9, parse_math=False)
    for place, line in enumerate(lines):
        if sum(line.segments.values()) > end_ms:
            axes.text(end_ms, place, "» ", ha="right", va="center", color="white", fontweight="bold", zorder=4)
        axes.annotate(
            _plain(_ending(line)),
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=_OVERSPENT if line.breach else "black" if line.answered else _MUTED,
            annotation_clip=False,
            parse_math=False,
        )


def _marks(axes: Axes, lines: Sequence[TurnLine], budget_ms: float) -> None:
    """The budget's line, p50 and p95, each named above the bars; names that would meet are put above one another."""
    answers_ms = [line.first_answer_ms for line in lines if line.first_answer_ms is not None]
    marks = [(budget_ms, f"budget {budget_ms:g} ms", "black", "-")]
    if answers_ms:
        quantiles = [(f"p{q}", percentile(answers_ms, q / 100)) for q in (50, 95)]
        marks += [(at_ms, f"{name} {at_ms:.0f} ms", "#555555", "--") for name, at_ms in quantiles]
    end_ms = axes.get_xlim()[1]
    taken_ms = [-end_ms, -end_ms, -end_ms]  # right edge of the last name on each of three heights
    for at_ms, name, color, dashes in sorted(marks):
        inside_ms = min(at_ms, end_ms)
        if at_ms <= end_ms:
            axes.axvline(at_ms, color=color, linestyle=dashes, linewidth=1.6 if dashes == "-" else 1.2, zorder=3)
        text = name if at_ms <= end_ms else f"{name} »"
        half_ms = len(text) * end_ms * 0.006
        height = next((level for level, edge_ms in enumerate(taken_ms) if inside_ms - half_ms > edge_ms), 2)
        taken_ms[height] = inside_ms + half_ms
        axes.annotate(
            text,
            (inside_ms, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4 + 13 * height),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=color,
            fontweight="bold" if dashes == "-" else "normal",
        )


def _legend(lines: Sequence[TurnLine]) -> tuple[list[Artist], list[str]]:
    """Handles and names of what occurs in the picture."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [Patch(facecolor=_BLUES[stage]) for stage in STAGES]
    names = list(STAGES)
    if any(line.breach for line in lines):
        handles.append(Patch(facecolor=_OVERSPENT))
        names.append("overspent")
    if any(line.acknowledged_ms is not None for line in lines):
        handles.append(Line2D([], [], marker="D", color="white", markeredgecolor="black", markersize=5))
        names.append("acknowledgement")
    return handles, names


def _label(line: TurnLine) -> str:
    """The turn's number and the beginning of what was said."""
    said = " ".join(line.transcript.split())
    if len(said) > _LABEL_LENGTH:
        said = said[: _LABEL_LENGTH - 1].rstrip() + "…"
    return f"{_plain(said)}  {line.turn}".strip()


def _ending(line: TurnLine) -> str:
    """The total with the stage that overspent, or where the turn was cancelled."""
    if line.first_answer_ms is None:
        return f"({line.cancelled or 'no answer'})"
    return f"{line.first_answer_ms:.0f} ms {line.breach or ''}".rstrip()


def _plain(text: str) -> str:
    """`text` when matplotlib's own font can draw all of it; else nothing, rather than boxes."""
    from matplotlib.font_manager import findfont, get_font

    drawable = get_font(findfont("DejaVu Sans")).get_charmap()
    return text if all(ord(character) in drawable for character in text) else ""

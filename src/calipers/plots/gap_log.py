"""The bracket on log Z closing in time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from calipers.core.answer import show_bracket
from calipers.plots.style import COLOURS, INK, axes, note

Row = tuple[float, float, float]


def gap_log(result: Sequence[Row], *, truth: float | None = None, ax: Any = None) -> Any:
    """Draws the bracket against time as a band: it holds at every moment, and only narrows.

    **Arguments:** `result`, rows (seconds, lower, upper), each when a bound moved; infinite sides are left open;
    `truth`, log Z if it is known; `ax`, matplotlib axes or None for new ones.

    **Returns:** the axes.

    **Raises:** `ValueError` when there are no rows.
    """
    if not len(result):
        raise ValueError("a gap log needs at least one row (seconds, lower, upper)")
    ax = axes(ax)
    seconds, lower, upper = np.array(result, float).T
    span = np.concatenate([lower[np.isfinite(lower)], upper[np.isfinite(upper)]])
    low, high = (float(span.min()), float(span.max())) if len(span) else (-1.0, 1.0)
    pad = 0.08 * (high - low) or 1.0
    end = float(seconds[-1]) * 1.08 + 1e-3
    times = np.append(seconds, end)
    floor, ceiling = np.maximum(lower, low - 9.0 * pad), np.minimum(upper, high + 9.0 * pad)
    floor, ceiling = np.append(floor, floor[-1]), np.append(ceiling, ceiling[-1])
    ax.fill_between(times, floor, ceiling, step="post", color=COLOURS["lower"], alpha=0.13, linewidth=0, zorder=1)
    for side, values in (("lower", floor), ("upper", ceiling)):
        ax.step(times, values, where="post", color=COLOURS[side], linewidth=1.8, zorder=3)
        known = np.flatnonzero(np.isfinite((lower, upper)[side == "upper"]))
        if len(known):
            above = {"xytext": (5, 4), "va": "bottom"} if side == "upper" else {"xytext": (5, -4), "va": "top"}
            spot = (times[known[0]], values[known[0]])
            note(ax, side, spot, COLOURS[side], textcoords="offset points", **above)
    if truth is not None:
        ax.axhline(truth, color=INK, linewidth=1.0, linestyle=(0, (1, 2)), zorder=2)
        note(
            ax,
            "log Z",
            (end, truth),
            INK,
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    ax.set(xlim=(0.0, end), ylim=(low - pad, high + pad), xlabel="seconds", ylabel="log Z (nats)")
    if len(seconds) > 1 and seconds[0] > 0 and seconds[-1] > 30.0 * seconds[0]:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlim(float(seconds[0]), end)
    last = show_bracket(float(lower[-1]), float(upper[-1]))
    ax.set_title(f"log Z {last} after {seconds[-1]:.3g} s", fontsize=11, color=INK)
    return ax

"""An observable against temperature or field, with error bars."""

from typing import Any

import numpy as np

from calipers.plots.style import COLOURS, INK, axes, note
from calipers.sampling.sweep_result import Sweep


def observable(
    result: Sweep, name: str = "energy", *, curve: Sweep | None = None, exact: Any = None, per_site: bool = False,
    ax: Any = None,
) -> Any:  # fmt: skip
    """Draws one quantity of a sweep as points with error bars, hollow where a chain was not reliable.

    **Arguments:** `result`, from `sweep`; `name` of the quantity; `curve`, the same sweep reweighted between its
    points, drawn as a band of one σ; `exact`, a function of T, drawn as a line; `per_site`, whether to divide by the
    number of sites; `ax`, matplotlib axes or None for new ones.

    **Returns:** the axes: against the field if only that varies, else against T, one colour a field.
    """
    ax, colour = axes(ax), COLOURS["Monte Carlo"]
    along = "h" if len({p.beta for p in result.points}) == 1 and len(result.points) > 1 else "T"
    scale = result.n if per_site else 1
    if exact is not None:
        at = np.linspace(result.T.min(), result.T.max(), 200)
        ax.plot(at, [exact(t) / scale for t in at], color=COLOURS["exact"], linewidth=1.2, zorder=2)
    if curve is not None:
        x, (y, e) = _axis(curve, along), curve.column(name)
        ax.fill_between(x, (y - e) / scale, (y + e) / scale, color=colour, alpha=0.3, linewidth=0, zorder=3)
    x, (y, e) = _axis(result, along), result.column(name)
    fields = list(dict.fromkeys(p.h for p in result.points)) if along == "T" else [None]
    shades = (colour, "#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9")
    for i, h in enumerate(fields):
        here = np.array([h is None or p.h == h for p in result.points])
        shade = shades[i % len(shades)]
        ax.errorbar(x[here], y[here] / scale, e[here] / scale, color=shade, fmt="none", elinewidth=1.2, zorder=4)
        sure = np.array([p.reliable is not False for p in result.points])
        for dots, face in ((here & sure, shade), (here & ~sure, "white")):
            ax.plot(x[dots], y[dots] / scale, "o", color=shade, markerfacecolor=face, markersize=4.5, zorder=5)
        if len(fields) > 1 and here.any():
            note(
                ax, f"$h$ = {h:g}", (x[here][-1], y[here][-1] / scale), shade, xytext=(6, 0), textcoords="offset points"
            )
    ax.set(xlabel="temperature $T$" if along == "T" else "field $h$")
    ax.set_ylabel(name.replace("_", " ") + (" per site" if per_site else ""))
    ax.set_title(result.by, fontsize=11, color=INK)
    return ax


def _axis(result: Sweep, along: str) -> np.ndarray:
    return result.T if along == "T" else np.array([p.h for p in result.points])

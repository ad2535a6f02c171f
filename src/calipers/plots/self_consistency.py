"""Both sides of m = tanh((H + zJm)/T), and where they meet."""

from typing import Any

import numpy as np

from calipers.plots.style import COLOURS, GREY, INK, axes, note
from calipers.variational.self_consistency import MeanFieldEquation


def self_consistency(result: MeanFieldEquation, *, ax: Any = None) -> Any:
    """Draws the left side m and the right side tanh((H + zJm)/T) against m; their crossings are the solutions.

    **Arguments:** `result`, from `mean_field_equation`; `ax`, matplotlib axes or None for new ones.

    **Returns:** the axes. Stable solutions are filled dots, unstable ones hollow.
    """
    ax = axes(ax, 5.0, 4.6)
    reach, blue = 1.2, COLOURS["mean field"]
    width = max(result.T / max(abs(result.z * result.J), 1e-300), 1e-9)  # of the step, in m
    centre = -result.H / (result.z * result.J) if result.z * result.J else 0.0
    fine = centre + width * np.linspace(-4.0, 4.0, 400)
    m = np.unique(np.concatenate([np.linspace(-reach, reach, 400), fine[np.abs(fine) <= reach]]))
    for spot in (ax.axhline, ax.axvline):
        spot(0.0, color=GREY, linewidth=0.6, zorder=1)
    ax.plot(m, m, color=INK, linewidth=1.3, zorder=2)
    ax.plot(m, result.right_side(m), color=blue, linewidth=2.0, zorder=3)
    for x, stable in zip(result.m, result.stable, strict=True):
        face = blue if stable else "white"
        ax.plot(x, x, "o", color=blue, markerfacecolor=face, markersize=9, markeredgewidth=1.8, zorder=5)
    note(ax, "$m$", (1.07, 1.07), INK, xytext=(-13, 2), textcoords="offset points")
    height = 0.09 if result.J > 0 else 0.6  # where the curve does not go
    note(ax, r"$\tanh\,\frac{H + zJm}{T}$", (0.97, height), blue, ha="right", xycoords="axes fraction", size=13)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="magnetization $m$", aspect="equal")
    ticks = [-1.0, -0.5, 0.0, 0.5, 1.0]
    ax.set(xticks=ticks, yticks=ticks)
    of_critical = f" = {result.T / result.critical_temperature:.3g} $T_c$" if result.critical_temperature else ""
    ax.set_title(f"$T$ = {result.T:.4g}{of_critical},  $H$ = {result.H:.4g}", fontsize=11, color=INK)
    return ax

"""The spontaneous magnetization against temperature, as each theory has it."""

from typing import Any

import numpy as np

from calipers.plots.style import COLOURS, GREY, INK, axes, note
from calipers.variational.self_consistency import MagnetizationCurves

_NAMES = {"exact": "Onsager–Yang\n(exact)", "Bethe": "Bethe", "mean field": "mean field"}


def magnetization(result: MagnetizationCurves, *, ax: Any = None) -> Any:
    """Draws m(T) by mean field, on the Bethe lattice and, on the square lattice, exactly; each T_c is marked below.

    **Arguments:** `result`, from `magnetization_curves`; `ax`, matplotlib axes or None for new ones.

    **Returns:** the axes.
    """
    ax = axes(ax)
    curves = {"mean field": result.mean_field, "Bethe": result.bethe, "exact": result.exact}
    for name, Tc in sorted(result.critical.items(), key=lambda pair: pair[1]):
        curve, colour = curves[name], COLOURS[name]
        if curve is None:
            continue
        style = "-" if name == "exact" else (0, (5, 1.5))
        end = int(np.searchsorted(result.T, Tc, side="right"))
        ax.plot(result.T[:end], curve[:end], color=colour, linestyle=style, linewidth=2.0, zorder=3)
        ax.plot(Tc, 0.0, "o", color=colour, markersize=6, clip_on=False, zorder=5)
        note(ax, f"{Tc:.3f}", (Tc, 0.0), colour, xytext=(7, 7), textcoords="offset points")
        height = {"exact": 0.30, "Bethe": 0.46, "mean field": 0.62}[name]
        at = float(result.T[np.flatnonzero(curve >= height)[-1]])
        space = {"xytext": (-8, 0), "ha": "right"} if name == "exact" else {"xytext": (8, 0), "ha": "left"}
        note(ax, _NAMES[name], (at, height), colour, textcoords="offset points", va="center", **space)
    ax.axhline(0.0, color=GREY, linewidth=0.8, zorder=1)
    ax.set(xlim=(0.0, float(result.T.max())), ylim=(-0.02, 1.05))
    ax.set_xlabel("temperature $T$" if result.J == 1.0 else f"temperature $T$ ($J$ = {result.J:.3g})")
    ax.set_ylabel("magnetization per spin $m$")
    ax.set_title(f"$z$ = {result.z} neighbours, $H$ = 0", fontsize=11, color=INK)
    return ax

"""Markov chains: what they showed, sweep by sweep, and how long they remember it."""

from typing import Any

import numpy as np

from calipers.plots.style import GREY, INK, axes, note
from calipers.sampling.chain_result import ChainResult
from calipers.sampling.diagnostics import autocorrelation

_SHADES = ("#009e73", "#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9")


def trace(result: ChainResult, *, series: str = "energy", ax: Any = None) -> Any:
    """Draws a series of each chain against the sweep, and the run's mean with its error as a band.

    **Arguments:** `result`, from `run_chain`; `series`, the name of one; `ax`, matplotlib axes or None for new ones.

    **Returns:** the axes.

    **Raises:** `ValueError` when there is no such series.
    """
    values = _series(result, series)
    ax = axes(ax, 7.0, 3.6)
    sweeps = result.burn_in + result.measure_every * np.arange(1, values.shape[1] + 1)
    every = max(1, len(sweeps) // 2000)
    for c, x in enumerate(values):
        ax.plot(sweeps[::every], x[::every], color=_SHADES[c % len(_SHADES)], linewidth=0.7, alpha=0.75, zorder=2)
    if series in result.estimates and series == "energy":
        mean, error = result.estimates[series]
        ax.axhspan(mean - error, mean + error, color=INK, alpha=0.25, linewidth=0, zorder=3)
        ax.axhline(mean, color=INK, linewidth=1.2, zorder=4)
    said = f"τ = {result.tau[series]:.3g} sweeps, R̂ = {result.r_hat[series]:.4f}" if series in result.tau else ""
    ax.set_title(f"{result.kernel}, {len(values)} chains: {said}", fontsize=11, color=INK)
    ax.set(xlabel="sweep", ylabel=_label(series))
    return ax


def autocorrelations(result: ChainResult, *, ax: Any = None) -> Any:
    """Draws ρ of every series against the lag in sweeps, until it has died away, each with its τ.

    **Arguments:** `result`, from `run_chain`; `ax`, matplotlib axes or None for new ones.

    **Returns:** the axes.
    """
    ax = axes(ax)
    shown = {k: x for k, x in result.series.items() if np.ptp(x) > 0}
    reach = 5.0 * max((result.tau[k] for k in shown), default=1.0)
    for i, (name, values) in enumerate(shown.items()):
        rho = autocorrelation(values)
        lags = result.measure_every * np.arange(len(rho))
        kept, colour = lags <= reach, _SHADES[i % len(_SHADES)]
        marker = "." if kept.sum() < 60 else None
        ax.plot(lags[kept], rho[kept], color=colour, linewidth=1.6, marker=marker, zorder=3)
        note(
            ax, f"{_label(name)}, τ = {result.tau[name]:.3g}", (0.98, 0.95 - 0.075 * i), colour,
            xycoords="axes fraction", ha="right", va="top",
        )  # fmt: skip
    ax.axhline(0.0, color=GREY, linewidth=0.8, zorder=1)
    ax.set(xlabel="lag (sweeps)", ylabel="autocorrelation $ρ$", xlim=(0.0, reach))
    ax.set_title(result.kernel, fontsize=11, color=INK)
    return ax


def _series(result: ChainResult, name: str) -> np.ndarray:
    if name not in result.series:
        raise ValueError(f"{name!r} is not among the series: {', '.join(result.series)}")
    return result.series[name]


def _label(name: str) -> str:
    return name.replace("_", " ")

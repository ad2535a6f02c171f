"""Fits to densities over reals: how they climbed, what their weights look like, where q and the posterior part."""

import math
from typing import Any

import numpy as np

from calipers.core.answer import Answer
from calipers.plots.style import COLOURS, GREY, INK, axes, note
from calipers.variational.cloud import Cloud
from calipers.variational.pareto import pareto_tail, threshold

_SHOWN = 2000  # draws of each kind in a scatter
_LEAST_WEIGHT = 0.02  # that is shown


def weights_tail(result: Cloud, *, ax: Any = None) -> Any:
    """Draws how often importance weights exceed what, both axes logarithmic, and the Pareto law of their tail.

    A Pareto tail is a straight line there, of slope −1/k̂: steep is good. Weights are relative to their mean, so that
    the share of the sum that the largest one has is what it reads divided by the number of draws.

    **Arguments:** `result`, `answer.belief` of a fit; `ax`, matplotlib axes or None for new ones.

    **Returns:** the axes; k̂, in the title, is that of the draws that the belief kept.

    **Raises:** `ValueError` when it is no such belief, or no weight is positive.
    """
    logs = _cloud(result).log_weights
    count, top = len(logs), float(logs.max())
    if not math.isfinite(top):
        raise ValueError("no draw has a positive weight; there is nothing to show")
    ax = axes(ax)
    mean = float(np.logaddexp.reduce(logs)) - math.log(count)
    largest = np.sort(logs)[::-1]
    largest = largest[np.isfinite(largest)] - mean
    share = (np.arange(len(largest)) + 0.5) / count
    every = np.unique(np.geomspace(1, len(largest), 1000).astype(int)) - 1
    blue, red = COLOURS["mean field"], COLOURS["upper"]
    ax.loglog(np.exp(largest[every]), share[every], ".", color=blue, markersize=5, zorder=3)
    tail = pareto_tail(logs)
    law = np.ones(1)
    if tail.scale:
        law = x = np.exp(np.log(tail.quantiles()) + top - mean)
        y = (len(tail.order) - np.arange(len(tail.order)) - 0.5) / count
        ax.plot(x, y, color=red, linewidth=1.8, zorder=4)
        note(ax, "Pareto law", (x[len(x) // 2], y[len(y) // 2]), red, xytext=(8, 4), textcoords="offset points")
        ax.axvline(
            math.exp(math.log(tail.cut) + top - mean), color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1
        )
    ax.set(xlabel="importance weight / its mean", ylabel="share of draws above it")
    low, high = np.exp(np.array([np.quantile(largest, 0.01), largest[0]]))
    ax.set_xlim(max(low, _LEAST_WEIGHT) / 1.5, max(high, float(law[-1])) * 1.5)
    limit = threshold(count)
    said = "below" if tail.shape <= limit else "above"
    ax.set_title(f"$\\hat k$ = {tail.shape:.2f}, {said} the limit {limit:.2f}", fontsize=11, color=INK)
    return ax


def elbo_trace(result: Answer, *, ax: Any = None) -> Any:
    """Draws the training ELBO of every iteration, and the ELBO and log Z that fresh draws of the fit gave in the end.

    The training ELBO is that of draws which the fit has seen: it ends above the fresh one, and is no bound.

    **Arguments:** `result`, the answer of `GaussianVI` or `Flow`; `ax`, matplotlib axes or None for new ones.

    **Returns:** the axes.

    **Raises:** `ValueError` when the answer has no trace.
    """
    trace = np.asarray(result.stats.get("elbo_trace", ()), float)
    finite = np.isfinite(trace)
    if not finite.any():
        raise ValueError("this answer has no ELBO trace; GaussianVI and Flow leave one")
    ax = axes(ax)
    ax.plot(np.flatnonzero(finite), trace[finite], color=COLOURS["mean field"], linewidth=1.4, zorder=3)
    fresh, error, log_z = (float(result.stats[name]) for name in ("elbo", "elbo_error", "estimate"))
    green = COLOURS["Monte Carlo"]
    for value, colour, said in ((fresh, INK, "ELBO, fresh draws"), (log_z, green, "log Z, estimated")):
        if math.isfinite(value):
            ax.axhline(value, color=colour, linewidth=1.0, linestyle=(0, (1, 2)), zorder=2)
            above = {"va": "bottom" if value == max(fresh, log_z) else "top", "xycoords": ("axes fraction", "data")}
            note(ax, said, (0.99, value), colour, ha="right", **above)
    top = max(v for v in (log_z, fresh, float(trace[finite].max())) if math.isfinite(v))
    low = float(np.quantile(trace[finite], 0.3))  # the first steps come from far below
    air = 0.15 * max(top - min(low, fresh), 1e-3)
    ax.set(xlabel="iteration", ylabel="training ELBO (nats)", ylim=(min(low, fresh) - air, top + air))
    ax.set_title(f"ELBO {fresh:.4g} ± {error:.2g} nats by fresh draws", fontsize=11, color=INK)
    return ax


def pair(result: Cloud, x: str | int = 0, y: str | int = 1, *, ax: Any = None) -> Any:
    """Draws two parameters against each other: what q drew, and the same resampled by weight: the posterior.

    Where the two clouds differ, q is wrong and the weights make up for it; where dark dots are few and repeated, they
    cannot.

    **Arguments:** `result`, `answer.belief` of a fit; `x` and `y`, names of scalars, as "slope" or "theta[3]", or their
    numbers; `ax`, matplotlib axes or None for new ones.

    **Returns:** the axes.

    **Raises:** `ValueError` when it is no such belief, or has no such parameter.
    """
    cloud = _cloud(result)
    scalars = _scalars(cloud)
    (across, u), (up, v) = (_look_up(scalars, which) for which in (x, y))
    ax = axes(ax, 5.2, 4.8)
    drawn = slice(None, _SHOWN)
    count = min(_SHOWN, max(int(cloud.effective_size), 1))
    chosen = cloud.chosen(np.random.default_rng(0), count)
    green = COLOURS["Monte Carlo"]
    ax.plot(u[drawn], v[drawn], ".", color=GREY, markersize=4, alpha=0.5, markeredgewidth=0, zorder=2)
    ax.plot(u[chosen], v[chosen], ".", color=green, markersize=4, alpha=0.45, markeredgewidth=0, zorder=3)
    place = {"xycoords": "axes fraction", "ha": "right", "va": "top"}
    note(ax, "drawn from $q$", (0.99, 0.99), GREY, **place)
    note(ax, "resampled by weight", (0.99, 0.93), green, **place)
    frame = [_frame(values[drawn], values[chosen]) for values in (u, v)]
    ax.set(xlabel=across, ylabel=up, xlim=frame[0], ylim=frame[1])
    shown = np.stack([np.concatenate([values[drawn], values[chosen]]) for values in (u, v)])
    lost = int(((shown < np.array(frame)[:, :1]) | (shown > np.array(frame)[:, 1:])).any(0).sum())
    beyond = f", {lost} dots beyond the frame" if lost else ""
    ax.set_title(f"{len(cloud.weights)} draws, worth {cloud.effective_size:.0f}{beyond}", fontsize=11, color=INK)
    return ax


def _frame(drawn: np.ndarray, chosen: np.ndarray) -> tuple[float, float]:
    """Limits of an axis: all but the farthest draws of either kind, and some air."""
    low = min(np.quantile(values, 0.003) for values in (drawn, chosen))
    high = max(np.quantile(values, 0.997) for values in (drawn, chosen))
    air = 0.08 * (high - low) or 1.0
    return float(low - air), float(high + air)


def _cloud(result: Any) -> Cloud:
    if not isinstance(result, Cloud):
        raise ValueError(
            f"this figure is of the belief of a fit, answer.belief, not of {type(result).__name__}; "
            "where the verdict is not to trust a fit, nothing is kept"
        )
    return result


def _scalars(cloud: Cloud) -> dict[str, np.ndarray]:
    """Every number among the parameters by name, each shape (s,)."""
    found = {}
    for name, values in cloud.columns().items():
        for place in np.ndindex(values.shape[1:]):
            where = f"[{', '.join(map(str, place))}]" if place else ""
            found[name + where] = values[(slice(None), *place)]
    return found


def _look_up(scalars: dict[str, np.ndarray], which: str | int) -> tuple[str, np.ndarray]:
    names = list(scalars)
    if isinstance(which, int) and 0 <= which < len(names):
        which = names[which]
    if which not in scalars:
        raise ValueError(f"{which!r} is not among the parameters: {', '.join(names)}")
    return str(which), scalars[str(which)]

"""Finite-size scaling of the square ferromagnet: T_c from the crossings of Binder's cumulant, and a data collapse.

    U(T, L) = f((T − T_c) L^{1/ν}),  ν = 1        curves of different L cross at T_c = 2/log(1 + √2) = 2.26919

Every size is simulated at a few temperatures by Swendsen–Wang, and reweighted between them. Crossings of L and 2L, with
errors by redrawing each curve within its error bars (they move up and down as one), are averaged by their errors; sizes
below 16 are left out of the mean, since their crossings are still off.

Run: python examples/finite_size_scaling.py [figure.png [sweeps]]     (about a minute with 8000 sweeps)
"""

import math
import sys
from itertools import pairwise
from typing import NamedTuple

import numpy as np

import calipers as cal

CRITICAL = 2.0 / math.log1p(math.sqrt(2.0))
SIZES = (8, 16, 32, 64)


class Scaling(NamedTuple):
    """Sweeps and reweighted curves by size; crossings (T, error) by pairs of sizes; T_c and its error."""

    sweeps: dict[int, cal.Sweep]
    curves: dict[int, cal.Sweep]
    crossings: dict[tuple[int, int], tuple[float, float]]
    T_c: float
    error: float


def simulate(sizes: tuple[int, ...] = SIZES, sweeps: int = 8000, seed: int = 1) -> Scaling:
    """All sizes, each at five temperatures within its critical window."""
    points, curves = {}, {}
    for L in sizes:
        reach = 1.1 / L  # in T − T_c: there L (T − T_c) is of the order of 1
        T = 2.269 + reach * np.linspace(-1.0, 1.0, 5)
        points[L] = cal.sweep(
            cal.Ising.square(L), T=T, kernel=cal.SwendsenWang(), sweeps=sweeps // (2 if L >= 64 else 1), seed=seed + L
        )
        curves[L] = points[L].reweight(T=np.linspace(T[0], T[-1], 81).clip(T[0], T[-1]))
    crossings = {pair: crossing(curves[pair[0]], curves[pair[1]]) for pair in pairwise(sizes)}
    used = [c for (small, _), c in crossings.items() if small >= 16] or list(crossings.values())
    weights = np.array([1.0 / error**2 for _, error in used])
    mean = float(weights @ [T for T, _ in used] / weights.sum())
    return Scaling(points, curves, crossings, mean, float(weights.sum() ** -0.5))


def crossing(small: cal.Sweep, large: cal.Sweep) -> tuple[float, float]:
    """Where Binder's cumulants of two sizes are equal, and its standard error."""
    low, high = max(small.T.min(), large.T.min()), min(small.T.max(), large.T.max())
    T = np.linspace(low, high, 2001)
    values, errors = [], []
    for curve in (small, large):
        order = np.argsort(curve.T)
        U, dU = curve.column("binder")
        values.append(np.interp(T, curve.T[order], U[order]))
        errors.append(np.interp(T, curve.T[order], dU[order]))
    difference = values[1] - values[0]
    at = int(np.argmin(np.abs(difference)))
    slope = np.polyfit(T[max(at - 200, 0) : at + 200], difference[max(at - 200, 0) : at + 200], 1)[0]
    return float(T[at]), float(np.hypot(errors[0][at], errors[1][at]) / abs(slope))


def draw(found: Scaling, path: str) -> None:
    """The crossing, and the collapse."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.2), layout="constrained", sharey=True)
    shades = dict(zip(found.curves, ("#56b4e9", "#009e73", "#e69f00", "#d55e00"), strict=False))
    for L, shade in shades.items():
        for ax, scale in ((left, None), (right, L)):
            x, (y, e) = found.curves[L].T, found.curves[L].column("binder")
            at, (u, du) = found.sweeps[L].T, found.sweeps[L].column("binder")
            if scale is not None:
                x, at = (x - CRITICAL) * scale, (at - CRITICAL) * scale
            ax.fill_between(x, y - e, y + e, color=shade, alpha=0.35, linewidth=0)
            ax.errorbar(at, u, du, fmt="o", color=shade, markersize=3.5, label=f"L = {L}")
    left.axvline(CRITICAL, color="#222222", linewidth=0.8, linestyle=":")
    left.axvspan(found.T_c - found.error, found.T_c + found.error, color="#222222", alpha=0.2, linewidth=0)
    left.set(xlabel="temperature $T$", ylabel="Binder's cumulant $U$")
    left.set_title(f"crossings: $T_c$ = {found.T_c:.5f} ± {found.error:.5f} (exactly {CRITICAL:.5f})", fontsize=10)
    right.set(xlabel=r"$(T - T_c)\, L^{1/\nu}$, $\nu = 1$")
    right.set_title("collapse", fontsize=10)
    left.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(path: str = "", sweeps: int = 8000) -> None:
    """Prints the crossings, and draws them if a file is named."""
    found = simulate(sweeps=sweeps)
    for (small, large), (T, error) in found.crossings.items():
        print(f"L = {small:2d} and {large:2d} cross at T = {T:.5f} ± {error:.5f}")
    z = (found.T_c - CRITICAL) / found.error
    print(f"T_c = {found.T_c:.5f} ± {found.error:.5f}, exactly {CRITICAL:.5f}: {z:+.1f} standard errors off")
    if path:
        draw(found, path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "", int(sys.argv[2]) if len(sys.argv) > 2 else 8000)

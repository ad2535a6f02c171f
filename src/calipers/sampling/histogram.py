"""Between the simulated temperatures: histogram reweighting of all runs at once (Ferrenberg & Swendsen).

    ⟨A⟩_β = Σ_n p_n A_n,    p_n ∝ c_n e^{−βE_n} / Σ_k N_k e^{f_k − β_k E_n}            multistate.py

A is averaged over the measurements of each energy first; then every temperature costs a sum over energies. Error bars
by a jackknife: each chain is cut into blocks, and what is left out is one block of one chain, at all temperatures
alike, free energies being solved for again. **Proves** nothing. **Fails** outside the simulated temperatures, and
where neighbours' energies do not overlap. **Source** Ferrenberg & Swendsen (1988, 1989).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from calipers.sampling.estimates import Estimate, Function, recipes, slowest
from calipers.sampling.multistate import first_guess, solve

_GROUPS = 20


class Run(NamedTuple):
    """One simulated temperature: `beta`, and series (chains, t) by name; chains and t may differ between runs."""

    beta: float
    series: Mapping[str, np.ndarray]


def reweighted(
    runs: Sequence[Run], betas: Sequence[float], n: int, functions: Mapping[str, Function] | None = None
) -> list[dict[str, Estimate]]:
    """All quantities of `estimates.py`, at each of `betas`, from runs of the same model.

    **Arguments:** `runs`; `betas`; `n` sites; `functions` as in `recipes`.

    **Raises:** `ValueError` when a temperature lies outside those of the runs.
    """
    known = np.array([run.beta for run in runs])
    if not len(runs) or min(betas) < known.min() * (1 - 1e-12) or max(betas) > known.max() * (1 + 1e-12):
        span = f"[{known.min():.6g}, {known.max():.6g}]" if len(runs) else "nothing"
        raise ValueError(f"β from {min(betas):.6g} to {max(betas):.6g} was asked for; the runs cover {span}")
    taus = np.array([slowest(run.series) for run in runs])
    energies = [run.series["energy"] for run in runs]
    shift = float(np.mean([E.mean() for E in energies]))
    levels, place = np.unique(np.concatenate([E.ravel() for E in energies]), return_inverse=True)
    group = np.concatenate([_groups(*E.shape).ravel() for E in energies])
    share = np.repeat(1.0 / taus, [E.size for E in energies])
    run_of = np.repeat(np.arange(len(runs)), [E.size for E in energies])
    alike = [k for k, x in runs[0].series.items() if all(r.series[k].shape == r.series["energy"].shape for r in runs)]
    joined = {k: np.concatenate([run.series[k].ravel() for run in runs]) for k in alike}
    made = {k: f for k, f in (functions or {}).items() if all(not isinstance(p, str) or p in alike for p in f[1])}
    parts = [part for r in recipes(joined, 1.0, n, made, shift).values() for part in r.parts]
    groups = int(group.max()) + 1

    def sums(x: np.ndarray) -> np.ndarray:
        """Σ c x by group and energy, (groups, levels)."""
        return np.bincount(group * len(levels) + place, share * x, groups * len(levels)).reshape(groups, -1)

    first = {k: x[:1] for k, x in joined.items()}  # functions of means do not depend on what the means are of
    at_beta = [recipes(first, b, n, made, shift) for b in betas]
    counts, tables = sums(np.ones(len(place))), [sums(part) for part in parts]
    sizes = np.bincount(group * len(runs) + run_of, share, groups * len(runs)).reshape(groups, -1)  # N by group and run
    values = []
    start = first_guess(-known, energies)
    for g in range(-1, groups):  # all, then all but one group
        left = [x.sum(0) - (x[g] if g >= 0 else 0.0) for x in (counts, sizes, *tables)]
        found = solve(-known, left[1], levels, np.maximum(left[0], 0.0), start)
        start = found.f
        values.append([_at(found.weights(-b), left, recipe) for b, recipe in zip(betas, at_beta, strict=True)])
    return [_jackknifed([v[i] for v in values]) for i in range(len(betas))]


def _groups(chains: int, t: int) -> np.ndarray:
    """The group of every measurement, (chains, t)."""
    blocks = max(1, min(-(-_GROUPS // chains), t))
    return np.arange(chains)[:, None] * blocks + np.minimum(np.arange(t) * blocks // t, blocks - 1)


def _at(weights: np.ndarray, left: list[np.ndarray], made: Mapping) -> dict[str, float]:
    """Every quantity from weighted means."""
    total, tables, found = float(weights @ left[0]), iter(left[2:]), {}
    for name, recipe in made.items():
        means = [np.asarray(weights @ next(tables)) / total for _ in recipe.parts]
        with np.errstate(invalid="ignore", divide="ignore"):
            found[name] = float(recipe.function(*means))
    return found


def _jackknifed(values: list[dict[str, float]]) -> dict[str, Estimate]:
    """The first of the values, with the spread of the others."""
    found, k = {}, len(values) - 1
    for name, value in values[0].items():
        others = np.array([v[name] for v in values[1:]])
        spread = float(np.sqrt((k - 1) * np.mean((others - others.mean()) ** 2))) if k > 1 else float("nan")
        found[name] = Estimate(value, spread)
    return found

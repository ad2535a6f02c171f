"""Annealed importance sampling: unbiased estimates of Z for discrete models without zeros.

    log weight = Σ_t (λ_{t+1} − λ_t) E(x_t),    x_0 ~ p_0 ∝ exp base,    x_{t+1} from x_t by heat bath at λ_{t+1}
    E[weight] = Z_1 / Z_0

Every table is divided into its main effects, which make the independent base, and a rest E that is switched on by λ ∈
[0, 1]: for a magnet, fields and couplings. Backwards, from exact samples at λ = 1, the same weights estimate Z_0/Z_1.
The schedule is frozen before the run, its points spread by the standard deviation of E on a pilot run: that evens out
the variance of the steps. **Proves** nothing by itself; `bounds/annealed.py` makes sides of the weights
(docs/theorems.md, theorem S4). **Cost** about 20 ns a spin, step and chain. **Fails** by weights of large variance
where heat bath does not mix. **Source** Neal, *Annealed importance sampling* (2001); Grosse, Ghahramani & Adams,
*Sandwiching the marginal likelihood* (2015).
"""

import math
from typing import NamedTuple

import numpy as np

from calipers.models.reduction import Reduced
from calipers.sampling import annealed_kernels as kernels
from calipers.sampling.compressed_tables import compressed_tables
from calipers.sampling.tempered_path import TemperedPath


class Path(NamedTuple):
    """A family of models from independent variables (λ = 0) to the reduced model (λ = 1), ready for the kernels.

    **Fields:** `log_base`, log Z at λ = 0, with what the reduction and the division into main effects put aside.
    """

    spins: kernels.Spins | None
    tables: kernels.Tables | None
    base: list[np.ndarray]  # log p_0(x_v), each normalised
    scopes: list[tuple[int, ...]]
    rests: list[np.ndarray]
    log_base: float
    error: float  # rounding of log_base, and of the sums of tables

    @property
    def n(self) -> int:
        """Number of variables."""
        return len(self.base)


def annealing_path(reduced: Reduced) -> Path:
    """Divides the tables of a reduced model.

    **Raises:** `ValueError` when a table has zeros: they cannot be switched on gradually.
    """
    model = reduced.model
    base = [np.zeros(k) for k in model.sizes]
    constants, scopes, rests = [reduced.log_constant], [], []
    for scope, table in zip(model.scopes, model.log_tables(), strict=True):
        if not np.isfinite(table).all():
            raise ValueError("annealed importance sampling needs tables without zeros")
        rest = np.array(table, np.float64)
        for axis, v in enumerate(scope):
            effect = rest.mean(axis=tuple(b for b in range(rest.ndim) if b != axis))
            base[v] += effect
            rest -= effect.reshape([-1 if b == axis else 1 for b in range(rest.ndim)])
        scopes.append(scope)
        rests.append(rest)
    for table in base:
        total = float(np.logaddexp.reduce(table))
        constants.append(total)
        table -= total
    size = math.fsum([abs(c) for c in constants] + [float(np.abs(t).max()) for t in (*rests, *base)])
    spins = _spins(model.sizes, scopes, rests, base)
    tables = compressed_tables(model.sizes, scopes, rests, base) if spins is None else None
    error = reduced.error + 2.0**-50 * (size + len(constants))
    return Path(spins, tables, base, scopes, rests, math.fsum(constants), error)


def _spins(sizes: tuple, scopes: list, rests: list, base: list) -> kernels.Spins | None:
    """The path as pairs of spins, if it is one: then a rest is J s s′, up to rounding."""
    if any(k != 2 for k in sizes) or any(len(s) > 2 for s in scopes):
        return None
    pairs = [
        (s, float(0.25 * (t[0, 0] + t[1, 1] - t[0, 1] - t[1, 0])))
        for s, t in zip(scopes, rests, strict=True)
        if len(s) == 2
    ]
    n = len(sizes)
    ends = np.array([s for s, _ in pairs], np.int64).reshape(-1, 2)
    head, tail = ends.T.ravel(), ends[:, ::-1].T.ravel()
    order = np.argsort(head, kind="stable")
    coupling = np.tile([j for _, j in pairs], 2)[order]
    ptr = np.concatenate([[0], np.cumsum(np.bincount(head, minlength=n))])
    field = np.array([0.5 * (b[0] - b[1]) for b in base])
    return kernels.Spins(ptr, tail[order], coupling, field)


def anneal(
    path: Path | TemperedPath, schedule: np.ndarray, random: np.random.Generator, chains: int,
    states: np.ndarray | None = None, energies: bool = False,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Runs chains along a schedule of λ.

    **Arguments:** `schedule`, shape (t + 1,); `chains`; `states`, where they start, shape (chains, n), None for
    independent draws at λ = 0; `energies`, whether to record E.

    **Returns:** the log weights, shape (chains,), whose exponentials have mean Z_end/Z_start; E before each step,
    shape (t, chains).
    """
    if isinstance(path, TemperedPath):
        return path.anneal(schedule, random, chains, states, energies)
    x = _independent(path, random, chains) if states is None else np.array(states, np.int32)
    seeds = random.integers(0, 2**64, chains, np.uint64)
    logs, record = np.zeros(chains), np.zeros((len(schedule) - 1 if energies else 0, chains))
    if path.spins is not None:
        kernels.anneal_spins(path.spins, schedule, seeds, (1 - 2 * x).astype(np.int8), logs, record)
    else:
        assert path.tables is not None
        start = sum(
            (rest[tuple(x[:, v] for v in s)] for s, rest in zip(path.scopes, path.rests, strict=True)), np.zeros(chains)
        )
        kernels.anneal_tables(path.tables, schedule, seeds, start, x, logs, record)
    return logs, record


def _independent(path: Path, random: np.random.Generator, chains: int) -> np.ndarray:
    """Draws from the base, shape (chains, n)."""
    x = np.zeros((chains, path.n), np.int32)
    for v, table in enumerate(path.base):
        edges = np.cumsum(np.exp(table))
        x[:, v] = np.minimum(np.searchsorted(edges, random.random(chains) * edges[-1], side="right"), len(table) - 1)
    return x


class Length(NamedTuple):
    """How far the models at `grid` are from the first one: ∫ √Var_λ E dλ, in standard deviations of E."""

    grid: np.ndarray
    length: np.ndarray

    def even(self, steps: int) -> np.ndarray:
        """λ_0 = 0 … λ_steps = 1, equally far from one another."""
        schedule = np.interp(np.linspace(0.0, self.length[-1], steps + 1), self.length, self.grid)
        schedule[0], schedule[-1] = 0.0, 1.0
        return schedule


def thermodynamic_length(
    path: Path | TemperedPath, random: np.random.Generator, chains: int = 32, pilot: int = 400
) -> Length:
    """Measures the path by a pilot run of so many chains and steps."""
    grid = np.linspace(0.0, 1.0, pilot + 1)
    _, record = anneal(path, grid, random, chains, energies=True)
    spread = record.std(axis=1) + 1e-3 * max(float(record.std(axis=1).max(initial=0.0)), 1e-12)
    smooth = np.convolve(np.pad(spread, 5, mode="edge"), np.full(11, 1.0 / 11), mode="valid")
    return Length(grid, np.concatenate([[0.0], np.cumsum(smooth) / pilot]))


def even_schedule(
    path: Path | TemperedPath, random: np.random.Generator, steps: int, chains: int = 32, pilot: int = 400
) -> np.ndarray:
    """λ_0 = 0 … λ_steps = 1, spaced by the standard deviation of E along a pilot run."""
    return thermodynamic_length(path, random, chains, pilot).even(steps)

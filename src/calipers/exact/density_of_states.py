"""Densities of states: how many configurations g(E) have energy E, as exact integers.

    Z = Σ_E g(E) e^{−βE} = x^{−c} P(x),   x = e^{−2βu},   P(x) = Σ_b g_b x^b,   E = −c′ + 2 b u

Couplings and fields are integers times a unit u, and b counts the units of what is unsatisfied. P is a polynomial with
integer coefficients: it is evaluated at roots of unity modulo primes, brought back by a number-theoretic transform and
put together by the Chinese remainder theorem, from as many primes as 2^n needs. Two ways to evaluate it:

* the uniform torus: Kaufman's four products, which are polynomials in x (Beale), with cos(πr/n) modulo the prime;
* any magnet with a narrow frontier: the steps of the transfer matrix (`frontier.py`), modulo the prime.

**Proves** every g(E): nothing is rounded, and Σ g(E) = 2^n is checked. **Cost** of the torus n² primes; of the frontier
points × primes × cells. **Source** Beale, *Exact distribution of energies in the two-dimensional Ising model*, PRL 76
(1996) 78; Binder 1972.
"""

import math
from collections.abc import Callable

import numpy as np

from calipers.core.method import Refusal
from calipers.exact.frontier import best_sweep
from calipers.exact.modular import (
    chinese_remainders,
    evaluate_sweep,
    inverse_transform,
    prime_fields,
    root_of_unity,
    torus_values,
)
from calipers.models.ising import Ising

MOST_CELLS = 2e11  # cell × point × prime of the frontier, about ten minutes


def torus_density_of_states(shape: tuple[int, int]) -> dict[int, int]:
    """g(E) of the periodic square lattice with J = 1, H = 0.

    **Arguments:** `shape` (Lx, Ly), sides of 2 (double bonds) and more.

    **Returns:** {E: g(E)}, E in units of J, ascending, from −2N on in steps of 4 (even sides) or 2; zeros inside kept.
    """
    m, n = int(shape[0]), int(shape[1])
    if min(m, n) < 2:
        raise ValueError(f"a torus has two sides of at least 2, but {shape} came")
    bonds, sites = 2 * m * n, m * n
    counts = _coefficients(bonds, sites, 2 * n, lambda p, points: torus_values(m, n, p, points))
    step = 2 if m % 2 == 0 and n % 2 == 0 else 1
    return {-bonds + 2 * b: int(counts[b]) for b in range(0, bonds + 1, step)}


def density_of_states(model: Ising, *, unit: float = 1.0, most_bits: int = 24) -> dict[int, int]:
    """g(E) of a magnet whose couplings and fields are integer multiples of a unit.

    **Arguments:** `model`, whose β and offset do not matter; `unit` of energy; `most_bits`: vectors up to 2^most_bits.

    **Returns:** {E/unit: g(E)}, ascending, only energies that occur.

    **Raises:** `ValueError` when a coupling or field is no multiple of the unit, `Refusal` when it would take too long.
    """
    couplings, fields = (_integers(v, unit) for v in (model.couplings, model.fields))
    whole = int(np.abs(couplings).sum() + np.abs(fields).sum())
    sweep = best_sweep(model.n, model.edges, model.lattice, most_bits, False)
    primes = model.n // 30 + 1
    work = sweep.cells * (2.0 ** math.ceil(math.log2(whole + 1))) * primes
    if sweep.clamped or work > MOST_CELLS:
        raise Refusal(
            f"the frontier has 2^{sweep.bits} states and {work:.2g} steps are needed; {MOST_CELLS:.0e} allowed"
        )
    counts = _coefficients(whole, model.n, 1, lambda p, points: evaluate_sweep(sweep, couplings, fields, p, points))
    return {-whole + 2 * b: int(g) for b, g in enumerate(counts) if g}


def _integers(values: np.ndarray, unit: float) -> np.ndarray:
    rounded = np.rint(np.asarray(values) / unit)
    if not (np.abs(rounded * unit - values) <= 1e-12 * np.abs(values)).all():
        raise ValueError(f"couplings and fields must be integer multiples of the unit {unit}")
    return rounded.astype(np.int64)


def _coefficients(degree: int, sites: int, order: int, values: Callable[[int, np.ndarray], np.ndarray]) -> list[int]:
    """The integer coefficients, all at most 2^sites, of a polynomial that `values(p, points)` gives modulo primes p.

    The primes have roots of unity of order 4·`order` and of a power of two above `degree`.
    """
    size = 1 << max(1, degree.bit_length())
    found, modulus, residues = [], 1, []
    for p in prime_fields(math.lcm(size, 2 * order)):
        root = root_of_unity(p, size)
        points = np.array([pow(root, k, p) for k in range(size)], np.int64)
        residues.append(inverse_transform(values(p, points), p, root)[: degree + 1])
        found.append(p)
        modulus *= p
        if modulus > 1 << (sites + 1):
            break
    counts = chinese_remainders(residues, found)
    if sum(counts) != 1 << sites:
        raise ArithmeticError("the density of states does not add up to 2^n")
    return counts

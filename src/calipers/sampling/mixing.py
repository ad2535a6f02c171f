"""Two conditions under which heat bath of a magnet certainly mixes fast, at any fields: numbers that can be computed.

    Dobrushin   α = max_i Σ_j tanh|βJ_ij| < 1          sweeps in a fixed order: within ε after log(n/ε) / log(1/α)
    spectral    w = λ_max(βJ) − λ_min(βJ) < 1          updates at random sites: spectral gap ≥ (1 − w)/n

Distances are total variation, from any start. The first allows n log(n/ε)/(1 − α) updates at random sites too (proof in
docs/theorems.md, theorem S9); the second gives ½ log 1/p_min + log 1/ε relaxation times n/(1 − w), and O(n log n) by a
further theorem, whose constant is not used here. **Proves** mixing of heat bath where a number is below 1, both
rounded up: w is a full diagonalisation up to 400 spins, else 2ρ(|βJ|) ≥ w by Collatz and Wielandt. **Fails** to say
anything otherwise, nor of other kernels: a chain beyond may mix fast all the same. **Cost** linear, or n³ up to 400
spins. **Source** Dobrushin & Shlosman (1985); Dyer, Goldberg & Jerrum, *Dobrushin conditions and systematic scan*
(2008); Eldan, Koehler & Zeitouni, *A spectral condition for spectral gap* (2022); Anari, Jain, Koehler, Pham & Vuong,
*Entropic independence* (2022).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array

from calipers.core.method import Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.transfer_matrix import as_magnet
from calipers.models.ising import Ising

_DENSE, _SPARSE, _ITERATIONS = 400, 200_000, 60
_UP = 1.0 + 1e-9


class FastMixing(NamedTuple):
    """`dobrushin`, α, and `spectral`, w, rounded up (∞: not looked at); `n` spins; `log_least` ≥ log 1/p_min."""

    dobrushin: float
    spectral: float
    n: int
    log_least: float

    @property
    def holds(self) -> bool:
        """Whether either number is below 1, so that heat bath certainly mixes fast."""
        return min(self.dobrushin, self.spectral) < 1.0

    def sweeps(self, epsilon: float = 0.01) -> float:
        """Heat-bath sweeps after which the law is within ε of p(x) in total variation; ∞ where neither condition holds.

        By Dobrushin's condition a sweep visits the sites in any fixed order; by the spectral one it is n random sites.
        """
        if not 0.0 < epsilon < 1.0:
            raise ValueError(f"epsilon is {epsilon}; a distance in (0, 1) is needed")
        if self.dobrushin < 1.0:
            rate = -math.log(self.dobrushin) if self.dobrushin > 0.0 else math.inf
            return float(max(math.ceil(math.log(max(self.n, 1) / epsilon) / rate), 1))
        if self.spectral < 1.0:
            return float(math.ceil((0.5 * self.log_least + math.log(1.0 / epsilon)) / (1.0 - self.spectral)))
        return math.inf

    def __str__(self) -> str:
        if not self.holds:
            return f"nothing is known of mixing: α = {self.dobrushin:.3g}, w = {self.spectral:.3g}, neither below 1"
        why = f"Dobrushin's α = {self.dobrushin:.3g}" if self.dobrushin < 1.0 else f"spectral width {self.spectral:.3g}"
        order = "" if self.dobrushin < 1.0 else ", at random sites,"
        return f"heat bath mixes fast ({why} < 1): {self.sweeps():.0f} sweeps{order} bring it within 0.01 of p(x)"


def fast_mixing(model: AbstractDiscreteModel) -> FastMixing:
    """Computes both conditions for a magnet, or a factor graph that is one.

    **Raises:** `Refusal` for other models.
    """
    magnet = as_magnet(model)
    coupling = magnet.beta * np.abs(np.asarray(magnet.couplings))
    ends = np.asarray(magnet.edges).T.ravel()
    pull = np.bincount(ends, np.tile(np.tanh(coupling), 2), magnet.n)
    alpha = float(pull.max(initial=0.0)) * _UP
    strength = float(coupling.sum() + magnet.beta * np.abs(np.asarray(magnet.fields)).sum())
    return FastMixing(alpha, _spectral_width(magnet), magnet.n, magnet.n * math.log(2.0) + 2.0 * strength)


def proven(model: AbstractDiscreteModel) -> FastMixing | None:
    """What is known of mixing, where heat bath certainly mixes fast; None where not, and for what is no magnet."""
    try:
        found = fast_mixing(model)
    except Refusal:
        return None
    return found if found.holds else None


def _spectral_width(magnet: Ising) -> float:
    """λ_max(βJ) − λ_min(βJ), or more."""
    n, edges = magnet.n, np.asarray(magnet.edges)
    coupling = magnet.beta * np.asarray(magnet.couplings)
    if not len(edges):
        return 0.0
    if n > _SPARSE or 2.0 * coupling.sum() >= n:  # λ_max is the mean row sum or more, λ_min below 0
        return math.inf
    matrix = coo_array((np.tile(coupling, 2), (edges.T.ravel(), edges[:, ::-1].T.ravel())), (n, n)).tocsr()
    if n <= _DENSE:
        values = np.linalg.eigvalsh(matrix.toarray())
        return float(values[-1] - values[0]) * _UP + 1e-12
    matrix, vector = abs(matrix), np.ones(n)
    for _ in range(_ITERATIONS):  # of |βJ| + 1, which has no period; every positive vector gives a bound
        vector = matrix @ vector + vector
        vector /= vector.max()
    return 2.0 * float((matrix @ vector / np.maximum(vector, 1e-300)).max()) * _UP

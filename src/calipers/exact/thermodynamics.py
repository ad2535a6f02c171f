"""Energy, entropy, heat capacity, susceptibility: the first two derivatives of log Z, exact for exact models.

    U = ⟨E⟩ = −∂ log Z/∂β        S = log Z + βU = −⟨log p⟩                 nats, k_B = 1
    C = ∂U/∂T = β² Var E = Var log p        χ = ∂⟨M⟩/∂H = β Var M,  M = Σ_i s_i

Totals, never per site. For a machine learner, S is the Shannon entropy of p and C the variance of its log likelihood.
**Proves** nothing; exact up to rounding (`cumulants.py`, no finite differences; with `ClosedForm()` a formula, at any
size).
**Fails** by refusing, with the estimate, when elimination does not fit or there is no formula, and by `ValueError` when
every configuration has weight zero.
"""

from typing import Any

import numpy as np

from calipers.core.iterate import log_z
from calipers.core.model import AbstractDiscreteModel
from calipers.exact.closed_form import ClosedForm, beta_derivatives
from calipers.exact.cumulants import cumulants, surprisal_cumulants
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.models.tempered import Tempered


def entropy(model: AbstractDiscreteModel, method: ClosedForm | None = None, **limits: Any) -> float:
    """The entropy S = −Σ p log p of the whole model, in nats.

    **Arguments:** `method`, `ClosedForm()` for its formula, None for elimination; `limits`, `time_limit` and `memory`.
    """
    if method is not None:
        value, (first, _, beta) = log_z(model, method, **limits).value, beta_derivatives(model, method)
        assert value is not None
        return value - beta * first
    return float(surprisal_cumulants(model, 1, **limits)[0])


def heat_capacity(model: AbstractDiscreteModel, method: ClosedForm | None = None, **limits: Any) -> float:
    """C = ∂U/∂T = Var(βE), the variance of the log weight, a pure number; arguments as of `entropy`."""
    if method is not None:
        _, second, beta = beta_derivatives(model, method)
        return beta**2 * second
    return float(surprisal_cumulants(model, 2, **limits)[1])


def energy(model: AbstractDiscreteModel, method: ClosedForm | None = None, **limits: Any) -> float:
    """U = ⟨E⟩, with E the energy of a magnet, −log(weight at β = 1) of another model; arguments as of `entropy`."""
    if method is not None:
        return -beta_derivatives(model, method)[0]
    return float(cumulants(model, energy_statistic(model), 1, **limits)[0])


def susceptibility(model: Ising, **limits: Any) -> float:
    """χ = ∂⟨M⟩/∂H = β Var(Σ_i s_i), the response of a magnet to a uniform field; limits as in `entropy`."""
    if not isinstance(model, Ising):
        raise TypeError(f"the susceptibility is a magnet's; {type(model).__name__} has `covariance` and `cumulants`")
    return model.beta * float(cumulants(model, magnetization_statistic(model), 2, **limits)[1])


def energy_statistic(model: AbstractDiscreteModel) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """E(x) as a sum of local terms, for `cumulants`; where a weight is zero, and E infinite, stands 0."""
    while isinstance(model, Tempered):
        model = model.model
    if isinstance(model, Ising):
        model = Ising(model.edges, model.couplings, model.fields, 1.0, model.offset)
    graph = model.factor_graph()
    tables = graph.tables if isinstance(model, FactorGraph) else graph.log_tables()
    return [(s, np.where(np.isneginf(t), 0.0, -t)) for s, t in zip(graph.scopes, tables, strict=True)]


def magnetization_statistic(model: AbstractDiscreteModel) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """M(x) = Σ_i s_i of two-state variables, state 0 being +1, as a sum of local terms, for `cumulants`."""
    if any(k != 2 for k in model.domains):
        raise ValueError("magnetization needs variables of two states each")
    return [((i,), np.array([1.0, -1.0])) for i in range(model.n)]

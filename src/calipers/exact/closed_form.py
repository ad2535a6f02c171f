"""Closed forms as a method: it recognises a magnet that was solved with pen and paper, and gives log Z.

    free spins          log Z = Σ log 2 cosh θ_i
    no field, at most   log Z = n log 2 + Σ log cosh θ_e + Σ_loops log(1 + Π_{e in loop} tanh θ_e)
    one loop a part
    uniform ring, path  log Z = log tr T^n,  log (eᵀ T^{n−1} e),  T = e^{θ s s′ + h (s + s′)/2}
    uniform complete    log Z = log Σ_M C(n, (n+M)/2) exp(θ (M² − n)/2 + h M)
    square torus        Kaufman's four products (kaufman.py): no field, one coupling along each axis

**Proves** log Z, both sides, with a stated rounding error. **Cost** linear in the arrays. **Fails** by refusing
everything else, with the reason. **Source** Ising 1925; Curie & Weiss; Kaufman 1949.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import gammaln

from calipers.core.answer import Answer, Result, exact_sides
from calipers.core.method import AbstractMethod, Limits, Plan, Proves, Refusal
from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import Formula
from calipers.exact.closed_form_moments import (
    COMPLETE,
    RING,
    TORUS,
    TREE,
    Magnet,
    axis_couplings,
    formula_derivatives,
    formula_moments,
    loop_edges,
    uniform,
)  # fmt: skip
from calipers.exact.closed_forms import chain_log_z, curie_weiss_log_z
from calipers.exact.elimination import checkable
from calipers.exact.kaufman import torus_log_z
from calipers.exact.transfer_matrix import as_magnet, magnet_belief, recognition_error
from calipers.models.ising import Ising

ULP = 2.0**-53


class ClosedForm(AbstractMethod):
    """Exact log Z of magnets that have a formula; see the head of this file for which.

    **Proves** both sides exactly. **Raises** `Refusal`, with the reason, for every other model.
    """

    proves: ClassVar[Proves] = Proves.EQUAL

    def plan(self, model: AbstractDiscreteModel, limits: Limits = Limits()) -> Plan:
        """Recognises the model, and refuses when it cannot."""
        found = as_magnet(model)
        magnet = natural(found)
        shape = _torus_shape(magnet)
        torus = partial(_torus, shape=shape)
        for name, formula in ((TREE, _loops), (RING, _ring), (COMPLETE, _complete), (TORUS, torus)):
            value = formula(magnet)
            if value is not None:
                text, structure = f"Closed form of {magnet.n} spins: {name}.", (name, *value, found, shape)
                return Plan(text, structure, cells=float(magnet.n), limits=limits)
        raise Refusal(f"no closed form is known: this is neither of {TREE}; {RING}; {COMPLETE}; {TORUS}, no field")

    def answers(self, model: AbstractDiscreteModel, plan: Plan, key: Any = None) -> Iterator[Answer]:
        """One exact answer."""
        name, value, error, found, shape = plan.structure
        constant = found.beta * found.offset
        value -= constant
        error += ULP * (2.0 * abs(value) + 2.0 * abs(constant)) + recognition_error(model)
        lower, upper = exact_sides(value, error, repr(self), _witness(model, name, shape))
        moments = formula_moments(name, natural(found), shape) if plan.limits.beliefs else None
        belief = None if moments is None else magnet_belief(model, found, *moments)
        yield Answer(lower, upper, value=value, belief=belief, result=Result.EXACT, stats={"formula": name}, plan=plan)


def natural(magnet: Ising) -> Magnet:
    """Its natural parameters."""
    return Magnet(magnet.edges, magnet.beta * magnet.couplings, magnet.beta * magnet.fields)


def _slopes(magnet: Ising) -> Magnet:
    """The derivatives in β of its natural parameters."""
    return Magnet(magnet.edges, magnet.couplings, magnet.fields)


def beta_derivatives(model: AbstractDiscreteModel, method: ClosedForm) -> tuple[float, float, float]:
    """First and second derivative of a magnet's log Z in β, by formula, and β. **Raises** `Refusal` without one."""
    if not isinstance(model, Ising):
        raise Refusal("formulas for the energy and the heat capacity are those of magnets (Ising)")
    name, _, _, _, shape = method.plan(model).structure
    first, second = formula_derivatives(name, natural(model), _slopes(model), shape)
    return first - float(model.offset), second, float(model.beta)


def _log_two_cosh(x: np.ndarray) -> np.ndarray:
    return np.abs(x) + np.log1p(np.exp(-2.0 * np.abs(x)))


def _loops(magnet: Magnet) -> tuple[float, float] | None:
    """Parts with at most one loop each and no field but on lone spins."""
    bound = np.zeros(magnet.n, bool)
    bound[magnet.edges] = True
    if magnet.fields[bound].any():
        return None
    found = loop_edges(magnet)
    if found is None:
        return None
    (of_edge, inside, parts), n = found, magnet.n
    log, negative = np.zeros(parts), np.zeros(parts, np.int64)
    np.add.at(log, of_edge[inside], _log_tanh(np.abs(magnet.couplings[inside])))
    np.add.at(negative, of_edge[inside], magnet.couplings[inside] < 0)
    looped = np.bincount(of_edge[inside], minlength=parts) > 0
    odd = looped & (negative % 2 == 1)
    with np.errstate(divide="ignore"):
        terms = [np.log1p(np.exp(log[looped & ~odd])), np.log(-np.expm1(log[odd]))]
    terms += [_log_two_cosh(magnet.fields), _log_two_cosh(magnet.couplings)]
    value = math.fsum(np.concatenate(terms)) - len(magnet.edges) * math.log(2.0)
    # a frustrated loop: 1 − Π|tanh| has the relative error of log Π|tanh|, each term a few units
    size = float(np.abs(magnet.couplings).sum() + np.abs(magnet.fields).sum()) + n + len(magnet.edges) + parts
    relative = 16.0 * (1.0 + float(np.abs(magnet.couplings).max(initial=0.0)))
    return (value, ULP * (8.0 * size + relative * looped.sum() + 2.0 * abs(value))) if math.isfinite(value) else None


def _log_tanh(x: np.ndarray) -> np.ndarray:
    """log tanh x for x ≥ 0, small relative error."""
    t = np.exp(-2.0 * x)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x < 0.3, np.log(np.tanh(x)), np.log1p(-2.0 * t / (1.0 + t)))


def _ring(magnet: Magnet) -> tuple[float, float] | None:
    """One ring or path, with one coupling and one field."""
    n, e = magnet.n, len(magnet.edges)
    degree = np.bincount(magnet.edges.ravel(), minlength=n)
    whole = n >= 3 and e in (n - 1, n) and degree.max() <= 2 and uniform(magnet.couplings) and uniform(magnet.fields)
    graph = coo_array((np.ones(e), magnet.edges.T), shape=(n, n)).tocsr()
    if not whole or connected_components(graph, directed=False)[0] > 1:
        return None
    K, h = float(magnet.couplings[0]), float(magnet.fields[0])
    value = chain_log_z(n, 1.0, K, h, periodic=e == n)
    return value, ULP * (32.0 * n * (abs(K) + abs(h) + 2.0) + 8.0 * abs(value))


def _complete(magnet: Magnet) -> tuple[float, float] | None:
    """Every pair bound alike, every field alike."""
    n = magnet.n
    if 2 * len(magnet.edges) != n * (n - 1) or not (uniform(magnet.couplings) and uniform(magnet.fields)):
        return None
    K, h = float(magnet.couplings[0]), float(magnet.fields[0])
    value = curie_weiss_log_z(n, 1.0, K * n, h)
    size = 4.0 * float(gammaln(n + 1)) + abs(K) * n * (n + 1.0) + 2.0 * abs(h) * n + n + 1.0
    return value, ULP * (8.0 * size + 4.0 * abs(value))


def _torus_shape(magnet: Magnet) -> tuple[int, int] | None:
    """The sides of a square lattice without field, in the order of `lattices.bonds`, one coupling along each axis."""
    if magnet.fields.any():
        return None
    row = np.concatenate([magnet.edges[magnet.edges[:, 0] == 0, 1], magnet.edges[magnet.edges[:, 1] == 0, 0]])
    for side in sorted(set(row.tolist())):
        shape = (magnet.n // side, side) if side > 1 else (0, 0)
        if magnet.n == shape[0] * shape[1] and axis_couplings(magnet, shape) is not None:
            return shape
    return None


def _torus(magnet: Magnet, shape: tuple[int, int] | None) -> tuple[float, float] | None:
    found = None if shape is None else axis_couplings(magnet, shape)
    return None if shape is None or found is None else _kaufman(shape, *found)


def _kaufman(shape: tuple[int, int], x: float, y: float) -> tuple[float, float] | None:
    if x < 0 and y < 0 and shape[0] % 2 and shape[1] % 2:
        return None  # both twists: the four products cancel
    value, n = torus_log_z(shape, 1.0, (x, y)), shape[0] * shape[1]
    return value, ULP * (16.0 * n * (abs(x) + abs(y) + 2.0) + 8.0 * abs(value) + 64.0)


def _witness(model: AbstractDiscreteModel, name: str, shape: tuple[int, int] | None) -> Callable[[], Any]:
    """What writes a certificate: the formula where the checker has it, elimination where it is affordable."""
    if not isinstance(model, Ising) or name in (TREE, RING):
        return lambda: checkable(model)
    if name == COMPLETE:
        same = uniform(model.couplings) and uniform(model.fields)  # not only when multiplied by beta
        return lambda: Formula("complete") if same and model.n > 1 else checkable(model)
    assert shape is not None
    magnet = _slopes(model)
    found = None if model.beta == 0.0 or magnet.fields.any() else axis_couplings(magnet, shape)
    if found is None or any(K == 0 or (K < 0 and side % 2) for K, side in zip(found, shape, strict=True)):
        return lambda: checkable(model)
    return lambda: Formula("torus", np.arange(model.n).reshape(shape))

"""Moments, energy and heat capacity of magnets that have a formula: derivatives of log Z.

    tree, loops   ⟨s_i s_j⟩ = tanh K, or on a loop (t_e + Π_{others} t) / (1 + Π t);  t = tanh K
    path          cavity fields u_{k+1} = artanh(tanh K tanh(h + u_k)),  ⟨s_i⟩ = tanh(h + u_i + u_{n−1−i})
    ring          ∂ log tr Tⁿ / ∂h, ∂K, of the matrix power in log space
    complete      sums over the number of spins up
    torus         ∂ log Z/∂K along either axis, by jets through Kaufman's products

    U = −∂ log Z/∂β,   C = β² ∂² log Z/∂β²

Sums of terms of one sign wherever the formula has one, so that digits last to low temperatures. Cost linear in the
arrays. `Magnet` holds natural parameters; `slopes` the same at β = 1: their derivatives in β.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.special import gammaln, softmax

from calipers.exact import jets
from calipers.exact.jets import Jet
from calipers.exact.kaufman import add, log_log_coth, log_one_minus, log_one_plus, torus_derivatives
from calipers.models.edges import canonical
from calipers.models.lattices import bonds, make_lattice

TREE, RING, COMPLETE = "no field, at most one loop a part", "a uniform ring or path", "a uniform complete graph"
TORUS = "a uniform square torus"


class Magnet(NamedTuple):
    """Natural parameters: `edges` (e, 2), `couplings` θ_e (e,), `fields` θ_i (n,)."""

    edges: np.ndarray
    couplings: np.ndarray
    fields: np.ndarray

    @property
    def n(self) -> int:
        return len(self.fields)


def formula_moments(name: str, magnet: Magnet, shape: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """⟨s_i⟩ (n,) and ⟨s_i s_j⟩ (e,) of a magnet with the formula of that name."""
    n, e = magnet.n, len(magnet.edges)
    if name == TREE:
        return np.tanh(magnet.fields), _loop_correlations(magnet)
    if name == TORUS:
        assert shape is not None
        return np.zeros(n), _torus_correlations(magnet, shape)
    K, h = float(magnet.couplings[0]), float(magnet.fields[0])
    if name == COMPLETE:
        p, up = _counts(n, K, h)
        M = 2.0 * up - n
        pairs = (up * (up - 1.0) + (n - up) * (n - up - 1.0) - 2.0 * up * (n - up)) / (n * (n - 1.0))
        return np.full(n, p @ M / n), np.full(e, p @ pairs)
    if e == n:
        m, c = (float(_chain(n, Jet(K, s), Jet(h, 1.0 - s), True).first) / n for s in (0.0, 1.0))
        return np.full(n, m if h else 0.0), np.full(e, c)
    return _path_moments(magnet, K, h)


def formula_derivatives(
    name: str, magnet: Magnet, slopes: Magnet, shape: tuple[int, int] | None
) -> tuple[float, float]:
    """First and second derivative of log Z in β, without the offset."""
    if name == TREE:
        return _loop_derivatives(magnet, slopes)
    if not (magnet.couplings.any() or magnet.fields.any()):  # β = 0, or no energies: the moments of free spins
        return 0.0, float((slopes.couplings**2).sum() + (slopes.fields**2).sum())
    if name == TORUS:
        assert shape is not None
        along, per_beta = axis_couplings(magnet, shape), axis_couplings(slopes, shape)
        assert along is not None
        assert per_beta is not None
        return torus_derivatives(shape, along, per_beta)
    K, h, J, H = (float(x[0]) for x in (magnet.couplings, magnet.fields, slopes.couplings, slopes.fields))
    if name == COMPLETE:
        p, up = _counts(magnet.n, K, h)
        M = 2.0 * up - magnet.n
        x = 0.5 * J * (M**2 - magnet.n) + H * M
        return float(p @ x), float(p @ (x - p @ x) ** 2)
    found = _chain(magnet.n, Jet(K, J), Jet(h, H), len(magnet.edges) == magnet.n)
    return float(found.first), float(found.second)


def loop_edges(magnet: Magnet) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Each edge's part, whether it is on a loop, and the number of parts; None if some part has two loops."""
    ones, n = np.ones(len(magnet.edges)), magnet.n
    parts, part = connected_components(coo_array((ones, magnet.edges.T), shape=(n, n)), directed=False)
    of_edge = part[magnet.edges[:, 0]]
    if (np.bincount(of_edge, minlength=parts) > np.bincount(part, minlength=parts)).any():
        return None
    forest = len(magnet.edges) == n - parts
    return of_edge, np.zeros(len(magnet.edges), bool) if forest else _core(magnet), parts


def _core(magnet: Magnet) -> np.ndarray:
    """Which edges lie on a loop, when every part has at most one: leaves are cut until none is left."""
    alive = np.ones(len(magnet.edges), bool)
    near: list[list[tuple[int, int]]] = [[] for _ in range(magnet.n)]
    for e, (i, j) in enumerate(magnet.edges.tolist()):
        near[i].append((j, e))
        near[j].append((i, e))
    degree = [len(pairs) for pairs in near]
    leaves = [v for v, d in enumerate(degree) if d == 1]
    for v in leaves:  # which grows
        for u, e in near[v]:
            if alive[e]:
                alive[e] = False
                degree[u] -= 1
                if degree[u] == 1:
                    leaves.append(u)
    return alive


def _loops(magnet: Magnet) -> list[np.ndarray]:
    """The edges of each loop."""
    found = loop_edges(magnet)
    assert found is not None
    of_edge, inside, _ = found
    edges = np.flatnonzero(inside)
    edges = edges[np.argsort(of_edge[edges], kind="stable")]
    return np.split(edges, np.flatnonzero(np.diff(of_edge[edges])) + 1) if len(edges) else []


def _loop_correlations(magnet: Magnet) -> np.ndarray:
    """tanh K off the loops; on them e^{−d_e} expm1(−(D − 2 d_e)) / expm1(−D) where frustrated, d = −log |tanh K|."""
    correlation = np.tanh(magnet.couplings)
    for loop in _loops(magnet):
        K = magnet.couplings[loop]
        zero = np.flatnonzero(K == 0.0)
        if len(zero):
            others = np.delete(np.tanh(K), zero[0]).prod()
            correlation[loop[zero]] = others if len(zero) == 1 else 0.0
            continue
        sign, odd = np.sign(K), np.sign(K).prod() < 0
        d = np.exp(log_log_coth(np, np.abs(K)))
        rest = d.sum() - 2.0 * d
        share = np.expm1(-rest) / np.expm1(-d.sum()) if odd else (1.0 + np.exp(-rest)) / (1.0 + np.exp(-d.sum()))
        correlation[loop] = sign * np.exp(-d) * share
    return correlation


def _loop_derivatives(magnet: Magnet, slopes: Magnet) -> tuple[float, float]:
    first, second = 0.0, 0.0
    for x, s in ((magnet.couplings, slopes.couplings), (magnet.fields, slopes.fields)):
        first += float((s * np.tanh(x)).sum())
        second += float((s**2 / np.cosh(np.minimum(np.abs(x), 350.0)) ** 2).sum())
    for loop in _loops(magnet):
        K, J = magnet.couplings[loop], slopes.couplings[loop]
        if (K == 0.0).any():  # tanh^k of β: no first and second derivative, loops having three edges and more
            continue
        deficit = jets.log(jets.exp(log_log_coth(jets, Jet(np.abs(K), np.sign(K) * J))).sum())
        term = (log_one_minus if np.sign(K).prod() < 0 else log_one_plus)(jets, deficit)
        first, second = first + float(term.first), second + float(term.second)
    return first, second


def _counts(n: int, K: float, h: float) -> tuple[np.ndarray, np.ndarray]:
    """The distribution of the number of spins up in a complete graph, and that number."""
    up = np.arange(n + 1.0)
    M = 2.0 * up - n
    return softmax(-gammaln(up + 1) - gammaln(n - up + 1) + 0.5 * K * (M**2 - n) + h * M), up


def _chain(n: int, K: Jet, h: Jet, periodic: bool) -> Any:
    """log tr Tⁿ, or log of the sum over a path, with derivatives: squaring in log space, sums of positive terms."""
    square, power, left = [[K + h, -K], [-K, K - h]], None, n if periodic else n - 1
    while left:
        if left & 1:
            power = square if power is None else _times(power, square)
        square, left = _times(square, square), left >> 1
    assert power is not None
    if periodic:
        return add(jets, power[0][0], power[1][1])
    ends = (h * 0.5, h * -0.5)
    rows = [add(jets, row[0] + ends[0], row[1] + ends[1]) for row in power]
    return add(jets, rows[0] + ends[0], rows[1] + ends[1])


def _times(a: list[list[Jet]], b: list[list[Jet]]) -> list[list[Jet]]:
    return [[add(jets, a[i][0] + b[0][j], a[i][1] + b[1][j]) for j in (0, 1)] for i in (0, 1)]


def _path_moments(magnet: Magnet, K: float, h: float) -> tuple[np.ndarray, np.ndarray]:
    n = magnet.n
    graph = coo_array((np.ones(n - 1), magnet.edges.T), shape=(n, n)).tocsr()
    end = int(np.flatnonzero(np.bincount(magnet.edges.ravel(), minlength=n) == 1)[0])
    place = np.empty(n, np.int64)
    place[breadth_first_order(graph, end, directed=False)[0]] = np.arange(n)
    u = [0.0]
    for _ in range(n - 1):
        a, b = K + h + u[-1], K - h - u[-1]
        u.append(0.5 * (abs(a) - abs(b) + math.log1p(math.exp(-2.0 * abs(a))) - math.log1p(math.exp(-2.0 * abs(b)))))
    cavity = np.array(u)
    near, far = h + cavity[:-1], h + cavity[-2::-1]
    weights = softmax(np.stack([K + near + far, K - near - far, -K + near - far, -K - near + far]), axis=0)
    along = weights[0] + weights[1] - weights[2] - weights[3]
    return np.tanh(h + cavity + cavity[::-1])[place], along[place[magnet.edges].min(axis=1)]


def axis_couplings(magnet: Magnet, shape: tuple[int, int]) -> tuple[float, float] | None:
    """The couplings along x and y of a torus of this shape, if it is one."""
    found = _axes(magnet, shape)
    if found is None:
        return None
    per_axis = [magnet.couplings[count > 0] / count[count > 0] for count in found]
    return (float(per_axis[0][0]), float(per_axis[1][0])) if all(map(uniform, per_axis)) else None


def uniform(values: np.ndarray) -> bool:
    """Whether all entries are the same."""
    return len(values) == 0 or bool((values == values[0]).all())


def _axes(magnet: Magnet, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
    """How many bonds along x and along y each edge stands for, if the edges are those of a torus of this shape."""
    if min(shape) < 2 or len(magnet.edges) > 2 * magnet.n:
        return None
    pairs, along = bonds(make_lattice("square", shape), np.random.default_rng(0)), np.arange(2 * magnet.n) < magnet.n
    edges, x = canonical(pairs, along.astype(float), magnet.n)
    return (x, canonical(pairs, (~along).astype(float), magnet.n)[1]) if np.array_equal(edges, magnet.edges) else None


def _torus_correlations(magnet: Magnet, shape: tuple[int, int]) -> np.ndarray:
    K, axes = axis_couplings(magnet, shape), _axes(magnet, shape)
    assert K is not None
    assert axes is not None
    along = [torus_derivatives(shape, K, slope)[0] / magnet.n for slope in ((1.0, 0.0), (0.0, 1.0))]
    return np.where(axes[0] > 0, *along)

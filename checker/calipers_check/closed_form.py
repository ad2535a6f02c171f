"""Theorem 7 (docs/theorems.md): magnets without evidence, with equal couplings, whose log Z has a formula.

    complete   Z = Σ_u C(n, u) exp(K (M² − n)/2 + h M),   M = 2u − n          every pair bound by K, field h
    torus      Z = ½ (2 sinh 2K)^{mn/2} (Π_r 2 cosh + Π_r 2 sinh of m γ_{2r+1}/2 + the same of m γ_{2r}/2),  0 ≤ r < n
               sinh² γ_r/2 = sinh²(L − K*) + sinh 2L sin²(πr/2n) / sinh 2K,   K* = ½ log coth K,   γ_0 = 2 (L − K*)

The torus has m sites along each loop of bonds K and n along each loop of bonds L, no field (Kaufman 1949). Negative
bonds are turned positive on loops of even length, where that leaves Z as it is.
"""

from math import comb

import numpy as np
from flint import arb

from calipers_check.archive import ints
from calipers_check.errors import Reject
from calipers_check.model import Ising, Model
from calipers_check.tables import spend


class ClosedForm:
    """A witness of this kind; what it proves of either side."""

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        form = arrays.get("form")
        self.form = b"" if form is None or form.dtype != np.uint8 else form.tobytes()
        if not isinstance(model, Ising) or model.evidence:
            raise Reject("closed forms are for Ising models without evidence")
        self.model, self.arrays = model, arrays

    def bound(self, side: str) -> arb | float:
        """Encloses log Z."""
        if self.form == b"complete":
            value = _complete(self.model)
        elif self.form == b"torus":
            value = _torus(self.model, self.arrays)
        else:
            raise Reject(f"the closed form {self.form[:20]!r} is unknown to this checker")
        return value - self.model.beta * arb(float(self.model.offset[0]))


def _same(model: Ising, values: np.ndarray, what: str) -> arb:
    """β times the one number that all of `values` are."""
    if (values != values[0]).any():
        raise Reject(f"the model's {what} are not all the same")
    return model.beta * arb(float(values[0]))


def _complete(model: Ising) -> arb:
    n = len(model.fields)
    if n < 2 or 2 * len(model.couplings) != n * (n - 1):  # edges are distinct pairs, so these are all
        raise Reject("the model is not a complete graph of two spins or more")
    coupling, field = _same(model, model.couplings, "couplings"), _same(model, model.fields, "fields")
    spend(n * n // 64)
    total = arb(0)
    for up in range(n + 1):
        m = 2 * up - n
        total += comb(n, up) * (coupling * ((m * m - n) // 2) + field * m).exp()
    return total.log()


def _torus(model: Ising, arrays: dict[str, np.ndarray]) -> arb:
    m, n = arrays["sites"].shape if "sites" in arrays and arrays["sites"].ndim == 2 else (0, 0)
    sites = ints(arrays, "sites", columns=n)
    if min(m, n) < 2 or m * n != len(model.fields) or not np.array_equal(np.sort(sites.ravel()), np.arange(m * n)):
        raise Reject("the witness does not arrange all sites in rows and columns")
    if model.fields.any():
        raise Reject("the model has a field; the closed form of a torus knows none")
    down, right = _bonds(sites, 0), _bonds(sites, 1)
    edges = [tuple(pair) for pair in model.scopes[: len(model.couplings)]]
    if len(down) + len(right) != len(edges) or {*down, *right} != set(edges):
        raise Reject("the model's edges are not those of a torus")
    along = np.fromiter((pair in down for pair in edges), bool, len(edges))
    first, second = (
        _positive(_same(model, model.couplings[chosen], "couplings along an axis") / (2 if side == 2 else 1), side)
        for chosen, side in ((along, m), (~along, n))
    )
    spend(m + n)
    return _kaufman(m, n, first, second)


def _bonds(sites: np.ndarray, axis: int) -> set[tuple[int, int]]:
    """Pairs of neighbours along one axis, periodic; a side of two has one edge, which counts twice."""
    pairs = np.sort(np.stack([sites.ravel(), np.roll(sites, -1, axis).ravel()], axis=1), axis=1)
    return set(map(tuple, pairs.tolist()))


def _positive(coupling: arb, side: int) -> arb:
    """The coupling, positive: exchanging the states of every second site along the axis changes its sign."""
    if coupling > 0:
        return coupling
    if not coupling < 0 or side % 2:
        raise Reject("the closed form of a torus needs couplings that are not 0, nor negative along an odd side")
    return -coupling


def _kaufman(m: int, n: int, K: arb, L: arb) -> arb:
    dual = (1 / K.tanh()).log() / 2
    ratio = (2 * L).sinh() / (2 * K).sinh()
    total = arb(0)
    for parity in (1, 0):
        cosh, sinh = arb(1), arb(1)
        for r in range(parity, 2 * n, 2):
            sine = (arb.pi() * r / (2 * n)).sin()
            half = ((L - dual).sinh() ** 2 + ratio * sine**2).sqrt().asinh() if r else L - dual  # γ_r/2
            cosh, sinh = cosh * 2 * (m * half).cosh(), sinh * 2 * (m * half).sinh()
        total += cosh + sinh
    return (total / 2).log() + arb(m * n) / 2 * (2 * (2 * K).sinh()).log()

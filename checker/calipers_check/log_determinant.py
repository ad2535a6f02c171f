"""Theorem 13 (docs/theorems.md): the log-determinant relaxation lies above log Z of a magnet.

    log Z ≤ ⅔ Σ λ − tr S / 6 − n/2 − ½ log det Λ + ½ hᵀ M⁻¹ h + (n/2) log(πe/2),   M = diag(λ) − J = Λ + S

for any λ, S ⪰ 0 and Λ ≻ 0. Float64 suggests S = L Lᵀ, a matrix T with T Λ Tᵀ nearly 1, and y with M y nearly h; in ball
arithmetic E = T Λ Tᵀ − 1 is enclosed. If |E| < 1 then Λ ≻ 0, log det Λ = log det (1 + E) − 2 Σ log |T_ii|, and
hᵀ M⁻¹ h ≤ 2 h·y − y·M y + |h − M y|² |T|² / (1 − |E|), norms being Frobenius'. Spins that no pair binds are summed.
"""

from typing import Any

import numpy as np
from flint import arb, arb_mat

from calipers_check.archive import floats, ragged
from calipers_check.errors import Reject
from calipers_check.kept import Kept
from calipers_check.model import Model
from calipers_check.restricted import Restricted
from calipers_check.tables import ZERO, spend

MOST = 1500  # spins whose matrices the checker is willing to multiply


class LogDeterminant:
    """A witness of this kind; what it proves from above."""

    def __init__(self, arrays: dict[str, np.ndarray], model: Model):
        self.restricted, self.diagonal = Restricted(model, ragged(arrays, "kept")), floats(arrays, "diagonal")
        if len(self.diagonal) != len(model.sizes) or not np.isfinite(self.diagonal).all():
            raise Reject("the witness has not one finite diagonal entry for each variable")

    def bound(self, side: str) -> arb | float:
        """Encloses the bound on log Z."""
        if side != "upper":
            raise Reject("a log-determinant bounds log Z from above only")
        if Kept(self.restricted).certainly_zero():
            return float("-inf")
        constant, field, coupling = _parameters(self.restricted)
        bound = sorted({v for pair in coupling for v in pair})
        place = {v: i for i, v in enumerate(bound)}
        value = constant + sum((_lone(h) for v, h in field.items() if v not in place), ZERO)
        if not bound:
            return value
        if len(bound) > MOST:
            raise Reject(f"a log-determinant of {len(bound)} spins is more than this checker computes ({MOST})")
        spend(16 * len(bound) ** 2)
        n, lam = len(bound), [arb(float(self.diagonal[v])) for v in bound]
        matrix = arb_mat(n, n)
        for i, x in enumerate(lam):
            matrix[i, i] = x
        for (u, v), x in coupling.items():
            matrix[place[u], place[v]] = matrix[place[v], place[u]] = -x
        value += _relaxation(matrix, arb_mat(n, 1, [field[v] for v in bound]))
        return value + 2 * sum(lam, ZERO) / 3 + n * ((arb.pi() / 2).log() + 1) / 2 - arb(n) / 2


def _relaxation(matrix: arb_mat, field: arb_mat) -> arb:
    """−tr S / 6 − ½ log det Λ + ½ hᵀ M⁻¹ h, enclosed from above."""
    middle = np.array([[float(x.mid()) for x in row] for row in matrix.tolist()])
    vectors = np.array([float(x.mid()) for x in field.entries()])
    mu, basis = np.linalg.eigh(middle)
    split = basis[:, mu > 3.0] * np.sqrt(mu[mu > 3.0] - 3.0)
    trace, rest = ZERO, matrix
    if split.shape[1]:
        root = arb_mat(split.tolist())
        rest = matrix - root * root.transpose()
        trace = sum((x * x for x in root.entries()), ZERO)
    try:
        inverse = np.tril(np.linalg.inv(np.linalg.cholesky(middle - split @ split.T)))
        guess = np.linalg.solve(middle, vectors)
    except np.linalg.LinAlgError:
        raise Reject("the matrix of the witness is not positive definite") from None
    scale = arb_mat(inverse.tolist())
    error = scale * rest * scale.transpose() - arb_mat(len(mu), len(mu), 1)
    size = _norm(error)
    if not size < 0.5:
        raise Reject("the matrix of the witness is not certainly positive definite")
    logs = sum((abs(scale[i, i]).log() for i in range(len(mu))), ZERO)
    determinant = error.trace() - size**2 / (2 * (1 - size)) - 2 * logs
    y = arb_mat([[float(x)] for x in guess])
    product = matrix * y
    missing = _norm(field - product) ** 2 * _norm(scale) ** 2 / (1 - size)
    quadratic = 2 * _dot(field, y) - _dot(y, product) + missing
    return quadratic / 2 - determinant / 2 - trace / 6


def _parameters(restricted: Restricted) -> tuple[arb, dict[int, arb], dict[tuple[int, int], arb]]:
    """The constant, the field of each spin and the coupling of each bound pair on the kept states."""
    constant = ZERO
    field: dict[int, arb] = {}
    coupling: dict[tuple[int, int], arb] = {}
    for a in range(len(restricted.model.scopes)):
        scope, found = restricted.scope(a), restricted.logs(a)
        logs = [x for x in found if not isinstance(x, float)]
        if len(logs) < len(found):
            raise Reject(f"factor {a} has a zero; a log-determinant is for magnets")
        if restricted.constant(a):
            constant += logs[0]
            continue
        if len(scope) > 2 or any(restricted.sizes[v] > 2 for v in scope):
            raise Reject(f"factor {a} has more than two variables, or states; a log-determinant is for magnets")
        constant += sum(logs, ZERO) / len(logs)
        if len(scope) == 1:
            _add(field, scope[0], (logs[0] - logs[1]) / 2)
            continue
        pp, pm, mp, mm = logs
        _add(field, scope[0], (pp + pm - mp - mm) / 4)
        _add(field, scope[1], (pp - pm + mp - mm) / 4)
        _add(coupling, (min(scope), max(scope)), (pp - pm - mp + mm) / 4)
    for v, size in enumerate(restricted.sizes):
        if v not in field:
            constant += arb(size).log()
    return constant, field, coupling


def _add(found: dict, key: Any, value: arb) -> None:
    found[key] = found.get(key, ZERO) + value


def _lone(field: arb) -> arb:
    """log 2 cosh h, of a spin that no pair binds."""
    return (2 * field.cosh()).log()


def _norm(matrix: arb_mat) -> arb:
    """What the Frobenius norm does not exceed; balls around zero have squares that reach below it."""
    return sum((x * x for x in matrix.entries()), ZERO).upper().sqrt()


def _dot(a: arb_mat, b: arb_mat) -> arb:
    return sum((x * y for x, y in zip(a.entries(), b.entries(), strict=True)), ZERO)

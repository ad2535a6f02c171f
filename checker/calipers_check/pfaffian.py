"""Pfaffians of skew matrices of balls, by elimination along a tree of faces.

The matrix has a row for each dart: ±1 between two darts of one face, + in the order of their places; and ±l_e more
between the two darts of edge e. A *front* is the matrix on the darts of some faces after pairs of darts, both of
them there, were eliminated:

    Pf [E B; −Bᵀ C] = Pf E · Pf (C + Bᵀ E⁻¹ B),    pairs 2e, 2e + 1 stay side by side, so that no sign is lost.

Cost: a front of f darts, k of them eliminated, about k f² times 10 ns and f² times 1 µs, at 128 bits.
"""

from collections.abc import Sequence

from flint import arb, arb_mat

from calipers_check.errors import Reject
from calipers_check.tables import spend

MERGE = -1
_SMALL = 8  # rows up to which a Pfaffian is computed pair by pair
ZERO, ONE = arb(0), arb(1)
Rows = list[list[arb]]


class Singular(ArithmeticError):
    """A pivot may be zero: more bits are needed, if it is not."""


def tree_pfaffian(order: Sequence[int], faces: list[list[int]], face: list[int], long: list[arb]) -> arb:
    """The Pfaffian.

    **Arguments:** `order`, a tree of faces in reverse Polish notation: a dart names its face, −1 merges the last two;
    `faces`, the darts of each, by place; `face` of each dart; `long`, l_e with its sign.
    """
    stack: list[tuple[list[int], Rows]] = []
    value, used = ONE, set()
    for step in order:
        if step == MERGE:
            if len(stack) < 2:
                raise Reject("the witness's order merges faces that are not there")
            darts, rows = _merge(stack.pop(), stack.pop())
        else:
            if not 0 <= step < len(face) or face[step] in used:
                raise Reject("the witness's order names a face that does not exist or was named before")
            used.add(face[step])
            darts = faces[face[step]]
            rows = [[ONE if i < j else -ONE if i > j else ZERO for j in range(len(darts))] for i in range(len(darts))]
        darts, rows, factor = _eliminate(darts, rows, long)
        value = value * factor
        stack.append((darts, rows))
    if len(used) < len(faces) or any(darts for darts, _ in stack):
        raise Reject("the witness's order does not bring the faces of every edge together")
    return value


def _merge(b: tuple[list[int], Rows], a: tuple[list[int], Rows]) -> tuple[list[int], Rows]:
    """Two fronts side by side."""
    right, left = [ZERO] * len(b[0]), [ZERO] * len(a[0])
    spend(((len(left) + len(right)) ** 2 >> 4) + 1)
    return a[0] + b[0], [row + right for row in a[1]] + [left + row for row in b[1]]


def _eliminate(darts: list[int], rows: Rows, long: list[arb]) -> tuple[list[int], Rows, arb]:
    """Takes the pairs that are complete out of a front: what is left over, and the Pfaffian of what was taken out."""
    at = {h: i for i, h in enumerate(darts)}
    pairs = [h for h in darts if not h & 1 and h + 1 in at]
    if not pairs:
        return darts, rows, ONE
    rest = [h for h in darts if h ^ 1 not in at]
    inner = [i for h in pairs for i in (at[h], at[h + 1])]
    outer = [at[h] for h in rest]
    k, f = len(inner), len(darts)
    spend((f * f >> 2) + (k * f * f >> 6) + 20)
    E = [[rows[i][j] for j in inner] for i in inner]
    for i, h in enumerate(pairs):
        E[2 * i][2 * i + 1] += long[h >> 1]
        E[2 * i + 1][2 * i] -= long[h >> 1]
    B = [[rows[i][j] for j in outer] for i in inner]
    C = [[rows[i][j] for j in outer] for i in outer]
    return rest, _complement(E, B, C), _pfaffian(E)


def _complement(E: Rows, B: Rows, C: Rows) -> Rows:
    """C + Bᵀ E⁻¹ B, with a diagonal of exact zeros."""
    if not C:
        return C
    b = arb_mat(B)
    try:
        update = b.transpose() * arb_mat(E).solve(b)
    except ZeroDivisionError:
        raise Singular from None
    found = (arb_mat(C) + update).tolist()
    for i, row in enumerate(found):
        row[i] = ZERO
    return found


def _pfaffian(M: Rows) -> arb:
    """The Pfaffian of a skew matrix; only the part above the diagonal is read below `_SMALL` rows."""
    if len(M) <= _SMALL:
        return _pair_by_pair(M)
    k = len(M) // 4 * 2
    E, B = [row[:k] for row in M[:k]], [row[k:] for row in M[:k]]
    return _pfaffian(E) * _pfaffian(_complement(E, B, [row[k:] for row in M[k:]]))


def _pair_by_pair(M: Rows) -> arb:
    value = ONE
    while M:
        x, y, *rest = M
        pivot = x[1]
        value = value * pivot
        if rest:
            if not pivot != 0:
                raise Singular
            u, v = [a / pivot for a in x[2:]], y[2:]
            x = x[2:]
            rest = [
                [c + v[i] * u[j] - u[i] * v[j] if j > i else ZERO for j, c in enumerate(row[2:])]
                for i, row in enumerate(rest)
            ]
        M = rest
    return value

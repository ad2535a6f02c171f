"""Is every factor log-supermodular, f(x ∧ y) f(x ∨ y) ≥ f(x) f(y), once some variables' states are exchanged?

For a factor without zeros it is enough to look at two variables at a time (Theorem 6); with zeros, at all pairs.
Balls decide nearly always; a tie, or what balls cannot tell from one, is decided by the exact numbers of the model.
"""

from collections.abc import Container, Iterator
from itertools import combinations

from calipers_check.errors import Reject
from calipers_check.restricted import Restricted
from calipers_check.tables import spend

MAX_ARITY = 10  # variables of a factor with zeros


def check_supermodular(restricted: Restricted, flips: list[int], joined: Container[int]) -> None:
    """Refuses a model with a factor that is not log-supermodular, or has a variable of more than two kept states.

    A variable may keep more if it is by itself: no factor ties it to others, and it is none of those that are `joined`.
    """
    if len(flips) != len(restricted.sizes) or any(flip not in (0, 1) for flip in flips):
        raise Reject("the witness's flips are not a 0 or a 1 for each variable")
    for v, size in enumerate(restricted.sizes):
        if size > 2 and v in joined:
            raise Reject(f"variable {v} keeps {size} states; a Bethe bound needs variables with two")
    for a in range(len(restricted.model.scopes)):
        scope = restricted.scope(a)
        if len(scope) > 1 and not restricted.constant(a):
            if any(restricted.sizes[v] > 2 for v in scope):
                raise Reject(
                    f"factor {a} has a variable that keeps more states; a Bethe bound needs variables with two"
                )
            _check_factor(restricted, a, scope, flips)


def _check_factor(restricted: Restricted, a: int, scope: tuple[int, ...], flips: list[int]) -> None:
    cells, k = restricted.factor(a).cells, len(scope)
    mask = sum(flips[v] << (k - 1 - i) for i, v in enumerate(scope))  # the last variable changes fastest
    zeros = any(x.is_zero() for x in cells)
    if zeros and k > MAX_ARITY:
        raise Reject(f"factor {a} has zeros and {k} variables; such factors may have {MAX_ARITY} in a Bethe bound")
    spend(2 ** (2 * k - 1) if zeros else k * (k - 1) * 2**k // 8)
    for low, high, x, y in _pairs(k) if zeros else _squares(k):
        meet, join, one, other = low ^ mask, high ^ mask, x ^ mask, y ^ mask
        if cells[meet] * cells[join] >= cells[one] * cells[other]:
            continue
        if not restricted.at_least(a, (meet, join), (one, other)):
            raise Reject(f"factor {a} over variables {scope[:8]} is not log-supermodular under these flips")


def _squares(k: int) -> Iterator[tuple[int, int, int, int]]:
    """(x ∧ y, x ∨ y, x, y) for all x, y that differ in two variables, in one each."""
    for i, j in combinations(range(k), 2):
        for low in range(2**k):
            if not (low >> i & 1 or low >> j & 1):
                yield low, low | 1 << i | 1 << j, low | 1 << i, low | 1 << j


def _pairs(k: int) -> Iterator[tuple[int, int, int, int]]:
    """(x ∧ y, x ∨ y, x, y) for all pairs."""
    return ((x & y, x | y, x, y) for x, y in combinations(range(2**k), 2))

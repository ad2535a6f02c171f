"""Arithmetic modulo primes below 2^31, where products fit 64 bits: transforms, remainders, and two Ising polynomials.

The torus (`torus_values`), P(x) = ½ (A + B + C + D) with a_r = (1 + x²)² − 2 x (1 − x²) cos(πr/n), b = x (1 − x²):

    D_0 = 2,  D_1 = a_r,  D_{k+1} = a_r D_k − b² D_{k−1}   gives   b^m 2 cosh(m γ_r) = D_m
    A, C take D_m + 2 b^m, B, D take D_m − 2 b^m, once for each pair (r, 2n − r); those without a partner a square root:
    r = 0: (1 − x)^m ± x^m (1 + x)^m,      r = n: (1 + x)^m ± x^m (1 − x)^m
"""

from collections.abc import Iterator

import numpy as np
from numba import njit

from calipers.exact.frontier import Sweep


def prime_fields(order: int) -> Iterator[int]:
    """Primes p ≡ 1 (mod order) below 2^31, the largest first."""
    p = ((1 << 31) - 2) // order * order + 1
    while p > order:
        if _is_prime(p):
            yield p
        p -= order
    raise ValueError(f"there are not enough primes below 2^31 that are 1 modulo {order}")


def _is_prime(p: int) -> bool:
    """Miller–Rabin, exact below 3.4e14 with these bases."""
    small = (2, 3, 5, 7, 11, 13, 17)
    if any(p % q == 0 for q in small):
        return p in small
    d, s = p - 1, 0
    while d % 2 == 0:
        d, s = d // 2, s + 1
    for a in small:
        x = pow(a, d, p)
        if x not in (1, p - 1) and all((x := x * x % p) != p - 1 for _ in range(s - 1)):
            return False
    return True


def root_of_unity(p: int, order: int) -> int:
    """An element of multiplicative order `order` modulo p; `order` divides p − 1."""
    factors = {q for q in range(2, order + 1) if order % q == 0 and _is_prime_small(q)}
    for g in range(2, p):
        root = pow(g, (p - 1) // order, p)
        if all(pow(root, order // q, p) != 1 for q in factors):
            return root
    raise ValueError(f"no root of unity of order {order} modulo {p}")


def _is_prime_small(q: int) -> bool:
    return all(q % d for d in range(2, int(q**0.5) + 1))


@njit(cache=True)
def _powers(base: int, exponent: int, p: int) -> int:
    result = 1
    while exponent:
        if exponent & 1:
            result = result * base % p
        base, exponent = base * base % p, exponent >> 1
    return result


@njit(cache=True)
def inverse_transform(values, p, root):
    """Coefficients modulo p of the polynomial with these values at root^0, root^1, …; a power of two of them."""
    n = values.size
    out = values.copy()
    j = 0
    for i in range(1, n):  # bit reversal
        bit = n >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j ^= bit
        if i < j:
            out[i], out[j] = out[j], out[i]
    back = _powers(root, p - 2, p)
    length = 2
    while length <= n:
        step = _powers(back, n // length, p)
        for start in range(0, n, length):
            w = 1
            for k in range(start, start + length // 2):
                a, b = out[k], out[k + length // 2] * w % p
                out[k], out[k + length // 2] = (a + b) % p, (a - b + p) % p
                w = w * step % p
        length *= 2
    scale = _powers(n, p - 2, p)
    return out * scale % p


def chinese_remainders(residues: list[np.ndarray], primes: list[int]) -> list[int]:
    """The integers between 0 and Π primes with these residues, one array of residues a prime."""
    values, modulus = [0] * len(residues[0]), 1
    for row, p in zip(residues, primes, strict=True):
        inverse = pow(modulus, -1, p)
        values = [v + modulus * ((int(r) - v) * inverse % p) for v, r in zip(values, row, strict=True)]
        modulus *= p
    return values


def torus_values(m: int, n: int, p: int, points: np.ndarray) -> np.ndarray:
    """P(x) modulo p at the points."""
    zeta = root_of_unity(p, 2 * n)
    half = (p + 1) // 2
    cosines = [(pow(zeta, r, p) + pow(zeta, -r, p)) * half % p for r in range(n + 1)]
    return _torus(m, n, p, half, np.array(cosines, np.int64), points)


@njit(cache=True)
def _torus(m, n, p, half, cosines, points):
    out = np.empty_like(points)
    for i in range(points.size):
        x = points[i]
        square = x * x % p
        b = x * (1 - square + p) % p
        bm, b2 = _powers(b, m, p), b * b % p
        top = (1 + square) * (1 + square) % p
        xm = _powers(x, m, p)
        plus, minus = _powers(1 + x, m, p), _powers(1 - x + p, m, p)
        cosh, sinh = np.ones(2, np.int64), np.ones(2, np.int64)
        cosh[0], sinh[0] = (minus + xm * plus) % p, (minus - xm * plus % p + p) % p
        own = n % 2  # r = n is even or odd
        cosh[own] = cosh[own] * ((plus + xm * minus) % p) % p
        sinh[own] = sinh[own] * ((plus - xm * minus % p + p) % p) % p
        for r in range(1, n):
            a = (top - 2 * b * cosines[r]) % p
            last, now = 2, a
            for _ in range(m - 1):
                last, now = now, (a * now - b2 * last % p + p) % p
            cosh[r % 2] = cosh[r % 2] * ((now + 2 * bm) % p) % p
            sinh[r % 2] = sinh[r % 2] * ((now - 2 * bm + 2 * p) % p) % p
        out[i] = (cosh[0] + sinh[0] + cosh[1] + sinh[1]) % p * half % p
    return out


def evaluate_sweep(sweep: Sweep, couplings: np.ndarray, fields: np.ndarray, p: int, points: np.ndarray) -> np.ndarray:
    """Σ over configurations of x^(unsatisfied units), modulo p at the points; couplings and fields are integers."""
    kinds = {"replace": 0, "add": 1, "sum": 2, "multiply": 3}
    table: list[tuple[int, ...]] = []
    near: list[tuple[int, int]] = []
    for s in sweep.steps:
        bound = int(couplings[s.edge]) if s.kind == "replace" else 0
        table.append(
            (kinds[s.kind], s.slot, s.bits, bound, int(fields[s.site]) if s.field else 0, len(near), len(s.near))
        )
        near += [(slot, int(couplings[e])) for slot, e in s.near]
    flat = np.array(near, np.int64).reshape(-1, 2)
    return _sweep(np.array(table, np.int64).reshape(-1, 7), flat, p, points, np.zeros(1 << sweep.bits, np.int64))


@njit(cache=True)
def _sweep(table, near, p, points, vector):
    out = np.empty_like(points)
    for i in range(points.size):
        vector[:] = 0
        vector[0] = 1
        x = points[i]
        for s in range(len(table)):
            kind, slot, bits, bound, field, first, count = table[s]
            stride = 1 << slot
            like, unlike = _powers(x, max(0, -bound), p), _powers(x, max(0, bound), p)
            weights = np.empty((1 << count, 2), np.int64)
            for key in range(1 << count):
                up, down = max(0, -field), max(0, field)
                for j in range(count):
                    c = near[first + j, 1]
                    if (key >> j) & 1:
                        c = -c
                    # a bond costs |c| units where it is unsatisfied
                    up, down = up + max(0, -c), down + max(0, c)
                weights[key, 0], weights[key, 1] = _powers(x, up, p), _powers(x, down, p)
            for c in range(1 << (bits - 1)):
                at = ((c >> slot) << (slot + 1)) | (c & (stride - 1))
                key = 0
                for j in range(count):
                    key |= ((at >> near[first + j, 0]) & 1) << j
                a, b = vector[at], vector[at + stride]
                if kind == 2:
                    vector[at], vector[at + stride] = (a + b) % p, 0
                    continue
                if kind == 0:
                    a, b = (like * a + unlike * b) % p, (unlike * a + like * b) % p
                elif kind == 1:
                    b = a
                vector[at], vector[at + stride] = a * weights[key, 0] % p, b * weights[key, 1] % p
        out[i] = vector[0]
    return out

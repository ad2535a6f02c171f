"""Numba kernels of Φ_w over regions of an Ising model: power sums of binary variables, four or eight lanes at a time.

    λ(rest) = w log(e^{A/w} + e^{B/w}) = max(A, B) + w log1p(e^{−|A − B|/w}),   A, B the joint at spin +1 and −1

The exponential and the logarithm are polynomials without branches or table look-ups, which the compiler turns into
vector instructions: about 3 ns an entry where calls to the system's cost 20. Both are good to 4 units in the last place
(tests compare them with NumPy's). Regions of one shape share a `Template`; the scratch arrays hold one region.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_LOG2E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
_MAGIC = 6755399441055744.0  # 1.5 · 2^52: adding it rounds to an integer, kept in the low bits
_FAR = 700.0  # e^-700 is as good as nothing, and still a normal number


class Template(NamedTuple):
    """The elimination of one shape of region: sites 0…k−1 in order; arrays over sites, edges and messages."""

    width: np.ndarray  # (k,) sites in the message of each site
    message: np.ndarray  # (k,) where its message lies in the scratch, which is used again once a message is consumed
    place: np.ndarray  # (k+1,) where its conditional probabilities lie, one site after another
    edge_ptr: np.ndarray  # (k+1,)
    edge: np.ndarray  # (e,) the region's edges by their first site
    bit: np.ndarray  # (e,) the other end's place in the message's scope
    child_ptr: np.ndarray  # (k+1,)
    child: np.ndarray  # (c,) sites whose messages come here
    pattern: np.ndarray  # (c,) start in `offsets` of the child's entry for each entry of this message
    offsets: np.ndarray
    scratch: int  # entries of the messages alive at once


@intrinsic  # its first argument is the compiler's
def _as_int(context, x):
    """The bits of a float64."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), code


@intrinsic
def _as_float(context, x):
    """The float64 with these bits."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), code


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def exp_of_negative(x):
    """e^x for −700 ≤ x ≤ 0."""
    shifted = x * _LOG2E + _MAGIC
    k = shifted - _MAGIC
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * _as_float((_as_int(shifted) + 1023) << 52)  # type: ignore[call-arg]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def log1p_of_unit(e):
    """log(1 + e) for 0 ≤ e ≤ 1: 2 artanh(e/(2 + e)), or about 1 + e = 2 when e is large."""
    large = e > 0.41421356237309503
    s = (e - 1.0 if large else e) / (e + 3.0 if large else e + 2.0)
    z = s * s
    p = 1.0 / 23.0
    p = p * z + 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    return (0.6931471805599453 if large else 0.0) + 2.0 * (s + s * (z * p))


@njit(cache=True, nogil=True)
def _joint(template, v, field, couplings, messages, plus, minus):
    """The joint of site v at spin +1 and −1, over the states of its message's scope."""
    m, size = template.width[v], 1
    plus[0] = field
    for q in range(template.edge_ptr[v], template.edge_ptr[v + 1]):
        plus[0] += couplings[template.edge[q]]
    next_edge = template.edge_ptr[v + 1] - 1
    for bit in range(m):  # edges stand by descending place in the scope, so that bit 0 is the last
        step = 0.0
        if next_edge >= template.edge_ptr[v] and template.bit[next_edge] == bit:
            step = 2.0 * couplings[template.edge[next_edge]]
            next_edge -= 1
        for j in range(size):
            plus[size + j] = plus[j] - step
        size *= 2
    for j in range(size):
        minus[j] = -plus[j]
    for q in range(template.child_ptr[v], template.child_ptr[v + 1]):
        c = template.child[q]
        start, offsets = template.message[c], template.offsets[template.pattern[q] : template.pattern[q] + size]
        half = 1 << (template.width[c] - 1)
        for j in range(size):
            plus[j] += messages[start + offsets[j]]
            minus[j] += messages[start + half + offsets[j]]
    return size


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _eliminate(plus, minus, size, w, out, share, entropy):
    """Power sums of `size` pairs, the conditional probabilities of spin +1 and the conditional entropies."""
    inverse = 1.0 / w
    for j in range(size):
        gap = (plus[j] - minus[j]) * inverse
        t = min(abs(gap), _FAR)
        e = exp_of_negative(-t)
        r = 1.0 / (1.0 + e)
        g = log1p_of_unit(e)
        out[j] = max(plus[j], minus[j]) + w * g
        share[j] = r if gap > 0.0 else e * r
        entropy[j] = g + t * (e * r)


@njit(cache=True, nogil=True)
def _forward(template, field, couplings, weights, messages, share, entropy, plus, minus, shed, size_of):
    """Φ of one region into `shed`, site by site; sizes of messages for the rounding estimate."""
    for v in range(len(template.width)):
        size = _joint(template, v, field[v], couplings, messages, plus, minus)
        start, own = template.message[v], slice(template.place[v], template.place[v + 1])
        out = messages[start : start + size]
        _eliminate(plus, minus, size, weights[v], out, share[own], entropy[own])
        low = out[0]
        top = out[0]
        for j in range(size):
            low = min(low, out[j])
            top = max(top, out[j])
        for j in range(size):
            out[j] -= top
        shed[v] = top
        size_of[v] = top - low


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _moments(mass, share, entropy, size, up, down):
    """Joint probabilities of spin ±1 and the scope's states; the mean entropy."""
    total = 0.0
    for j in range(size):
        p = mass[j] * share[j]
        up[j] = p
        down[j] = mass[j] - p
        total += mass[j] * entropy[j]
    return total


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _fold(up, down, size, template, v, slope):
    """Moments ⟨s_v⟩ (returned) and ⟨s_v s_u⟩ (into `slope`) by halving; overwrites `up`."""
    for j in range(size):
        up[j] -= down[j]
    next_edge = template.edge_ptr[v]
    bit = template.width[v] - 1
    while bit >= 0:
        half = 1 << bit
        if next_edge < template.edge_ptr[v + 1] and template.bit[next_edge] == bit:
            first, second = 0.0, 0.0
            for j in range(half):
                first += up[j]
                second += up[half + j]
            slope[template.edge[next_edge]] = first - second
            next_edge += 1
        for j in range(half):
            up[j] += up[half + j]
        bit -= 1
    return up[0]


@njit(cache=True, nogil=True)
def _backward(template, share, entropy, dual, up, down, field_slope, slope, weight_slope):
    """The reverse pass of one region: moments and conditional entropies."""
    for v in range(len(template.width) - 1, -1, -1):
        m, start = template.width[v], template.message[v]
        size = 1 << m
        if m == 0:
            dual[start] = 1.0
        mass = dual[start : start + size]
        own = slice(template.place[v], template.place[v + 1])
        weight_slope[v] = _moments(mass, share[own], entropy[own], size, up, down)
        for q in range(template.child_ptr[v], template.child_ptr[v + 1]):
            c = template.child[q]
            place = template.message[c]
            offsets = template.offsets[template.pattern[q] : template.pattern[q] + size]
            half = 1 << (template.width[c] - 1)
            dual[place : place + 2 * half] = 0.0
            for j in range(size):
                dual[place + offsets[j]] += up[j]
                dual[place + half + offsets[j]] += down[j]
        field_slope[v] = _fold(up, down, size, template, v, slope)


@njit(cache=True, nogil=True)
def _evaluate(template, fields, couplings, weights, slopes, shed, sizes, share, entropy):
    widest = 1 << template.width.max()
    messages, plus, minus = np.empty(template.scratch), np.empty(widest), np.empty(widest)
    field_slope, slope, weight_slope = slopes
    for r in range(len(fields)):
        _forward(
            template, fields[r], couplings[r], weights[r], messages, share, entropy, plus, minus, shed[r], sizes[r]
        )
        _backward(template, share, entropy, messages, plus, minus, field_slope[r], slope[r], weight_slope[r])


def evaluate(
    template: Template,
    parts: tuple[np.ndarray, np.ndarray, np.ndarray],
    slopes: tuple[np.ndarray, np.ndarray, np.ndarray],
    shed: np.ndarray,
    sizes: np.ndarray,
    precision: type = np.float32,
) -> None:
    """Φ of R regions of one template: `shed` (R, k) adds up to it.

    **Arguments:** `parts`, fields (R, k), couplings (R, e) and weights (R, k); `slopes`, of the same shapes, are
    overwritten by the gradient; `sizes` (R, k), by the range of each message; `precision` of the conditional
    probabilities, on which the gradient depends, but not the value.
    """
    share, entropy = np.empty(template.place[-1], precision), np.empty(template.place[-1], precision)
    _evaluate(template, *parts, slopes, shed, sizes, share, entropy)

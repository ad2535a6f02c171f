"""Second-order Taylor arithmetic: a value with its first and second derivative in one variable.

    (f, f′, f″):   g(f) ↦ (g, g′ f′, g″ f′² + g′ f″)

A formula written over a module `xp` with numpy's names gives numbers when xp is numpy, and numbers with both
derivatives when xp is this module: exact up to rounding, and nothing to compile. Only what closed forms need is here.
"""

from typing import Any

import numpy as np


class Jet:
    """f, f′ and f″, arrays of one shape."""

    __array_ufunc__ = None  # numpy leaves mixed operations to the methods below

    def __init__(self, value: Any, first: Any = 0.0, second: Any = 0.0):
        self.value, self.first, self.second = value, first, second

    def chain(self, value: Any, slope: Any, curve: Any) -> "Jet":
        """g(f), from g, g′ and g″ at f."""
        return Jet(value, slope * self.first, curve * self.first**2 + slope * self.second)

    def __add__(self, other: Any) -> "Jet":
        b = jet(other)
        return Jet(self.value + b.value, self.first + b.first, self.second + b.second)

    def __mul__(self, other: Any) -> "Jet":
        b = jet(other)
        cross = self.value * b.second + 2.0 * self.first * b.first + self.second * b.value
        return Jet(self.value * b.value, self.value * b.first + self.first * b.value, cross)

    def __neg__(self) -> "Jet":
        return self * -1.0

    def __sub__(self, other: Any) -> "Jet":
        return self + -jet(other)

    def __rsub__(self, other: Any) -> "Jet":
        return jet(other) - self

    def __truediv__(self, other: Any) -> "Jet":
        b = jet(other)
        return self * b.chain(1.0 / b.value, -1.0 / b.value**2, 2.0 / b.value**3)

    def __pow__(self, n: int) -> "Jet":
        return self * self if n == 2 else NotImplemented

    def __lt__(self, other: Any) -> Any:
        return self.value < jet(other).value

    __radd__, __rmul__ = __add__, __mul__

    def sum(self) -> "Jet":
        """The sum over all entries."""
        return Jet(*(np.sum(np.broadcast_to(x, np.shape(self.value))) for x in (self.value, self.first, self.second)))

    def max(self) -> float:
        """The largest value, as a plain number."""
        return float(np.max(self.value))


def jet(x: Any) -> Jet:
    """x itself if it is one, a constant if not."""
    return x if isinstance(x, Jet) else Jet(x)


def exp(x: Jet) -> Jet:
    """e^x."""
    y = np.exp(x.value)
    return x.chain(y, y, y)


def expm1(x: Jet) -> Jet:
    """e^x − 1."""
    y = np.exp(x.value)
    return x.chain(np.expm1(x.value), y, y)


def log(x: Jet) -> Jet:
    """log x."""
    return x.chain(np.log(x.value), 1.0 / x.value, -1.0 / x.value**2)


def log1p(x: Jet) -> Jet:
    """log(1 + x)."""
    whole = 1.0 + x.value
    return x.chain(np.log1p(x.value), 1.0 / whole, -1.0 / whole**2)


def sqrt(x: Jet) -> Jet:
    """√x."""
    y = np.sqrt(x.value)
    return x.chain(y, 0.5 / y, -0.25 / (y * x.value))


def tanh(x: Jet) -> Jet:
    """tanh x."""
    y = np.tanh(x.value)
    slope = 1.0 / np.cosh(np.minimum(np.abs(x.value), 350.0)) ** 2
    return x.chain(y, slope, -2.0 * y * slope)


def arctanh(x: Jet) -> Jet:
    """artanh x."""
    slope = 1.0 / ((1.0 - x.value) * (1.0 + x.value))
    return x.chain(np.arctanh(x.value), slope, 2.0 * x.value * slope**2)


def logaddexp(x: Jet, y: float) -> Jet:
    """log(e^x + e^y), y a constant."""
    value = np.logaddexp(x.value, y)
    p, q = np.exp(x.value - value), np.exp(y - value)
    return x.chain(value, p, p * q)


def maximum(x: Jet, y: float) -> Jet:
    """The larger of x and a constant."""
    return where(x.value > y, x, y)


def where(condition: Any, x: Any, y: Any) -> Jet:
    """x where the condition holds, else y."""
    a, b = jet(x), jet(y)
    parts = ((a.value, b.value), (a.first, b.first), (a.second, b.second))
    return Jet(*(np.where(condition, p, q) for p, q in parts))

"""Calipers: log Z from both sides, for anything with an energy.

Names are looked up when they are first asked for: importing `calipers` imports no jax.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

METHODS: dict[str, str] = {
    "Auto": "calipers.auto",
    "Enumeration": "calipers.exact.enumeration",
    "Elimination": "calipers.exact.elimination",
    "MeanField": "calipers.variational.mean_field",
    "Bethe": "calipers.variational.bethe",
    "Tangent": "calipers.bounds.tangent",
    "MiniBucket": "calipers.bounds.mini_bucket",
}

"""Frozen records that JAX takes for trees: what answers, sides, beliefs, limits and plans are made of.

To JAX they are what Equinox modules are. They are plain frozen dataclasses otherwise: a small exact answer passes
through a dozen of them, and what a module checks as it is made (up to 50 microseconds each) took longer than the sum.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar, dataclass_transform

import equinox as eqx
import jax

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, eqx.field))
def record(cls: type[T]) -> type[T]:
    """Makes `cls` a frozen dataclass and a tree; fields declared with `eqx.field(static=True)` are structure.

    Records are equal when their trees are. JAX rebuilds them without `__init__`, whatever the leaves have become.
    """
    made: Any = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(made)
    fixed = tuple(f.name for f in fields if f.metadata.get("static", False))
    leaves = tuple(f.name for f in fields if f.name not in fixed)
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in leaves)

    def split(it: Any) -> tuple[tuple, tuple]:
        return tuple([getattr(it, name) for name in leaves]), tuple([getattr(it, name) for name in fixed])

    def split_with_keys(it: Any) -> tuple[tuple, tuple]:
        values, structure = split(it)
        return tuple(zip(keys, values, strict=True)), structure

    def joined(structure: tuple, values: Iterable) -> Any:
        it = object.__new__(made)
        vars(it).update(zip(leaves, values, strict=True), **dict(zip(fixed, structure, strict=True)))
        return it

    jax.tree_util.register_pytree_with_keys(made, split_with_keys, joined, split)
    made.__eq__ = eqx.tree_equal
    return made

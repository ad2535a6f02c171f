"""Where the parameters of a continuous model live: a pytree of arrays, each under a constraint, and the flat vector.

    x = x(u),   log |det dx/du| = Σ over the leaves,   u ∈ R^d the leaves' unconstrained reals one after another

**Cost** linear in the number of parameters; everything is traceable.
"""

import itertools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from calipers.models.bijector import AbstractBijector, Real, Shape


class Space(eqx.Module):
    """The layout of a pytree in a flat vector.

    **Arguments:** `example`, parameters whose structure and shapes are those of every other (values do not matter);
    `constraints`, None, one bijector for all leaves, or the same structure as `example` with bijectors in it, where
    parts may be left out of a dict: they are unconstrained.

    **Raises:** `ValueError` when a constraint names no parameter, or cannot have its shape.
    """

    treedef: Any = eqx.field(static=True)
    shapes: tuple[Shape, ...] = eqx.field(static=True)
    bijectors: tuple[AbstractBijector, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, example: Any, constraints: Any = None):
        paths, self.treedef = jax.tree_util.tree_flatten_with_path(example)
        if not paths:
            raise ValueError("a model needs parameters, but the example has no arrays in it")
        self.shapes = tuple(tuple(getattr(leaf, "shape", np.shape(leaf))) for _, leaf in paths)
        self.names = tuple(jax.tree_util.keystr(path) for path, _ in paths)
        used: set[int] = set()
        self.bijectors = tuple(_look_up(constraints, path, used) for path, _ in paths)
        given = jax.tree_util.tree_leaves(constraints, is_leaf=lambda c: isinstance(c, AbstractBijector))
        if lost := [c for c in given if id(c) not in used]:
            raise ValueError(f"the constraint {lost[0]!r} belongs to no parameter; there are {', '.join(self.names)}")
        for bijector, shape in zip(self.bijectors, self.shapes, strict=True):
            bijector.size(shape)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Unconstrained reals of each leaf."""
        return tuple(b.size(shape) for b, shape in zip(self.bijectors, self.shapes, strict=True))

    @property
    def dimension(self) -> int:
        return sum(self.sizes)

    def transform(self, u: Any) -> tuple[Any, Any]:
        """x(u) and log |det dx/du|."""
        ends = list(itertools.accumulate(self.sizes, initial=0))
        leaves, log_det = [], jnp.zeros((), u.dtype)
        for bijector, shape, begin, end in zip(self.bijectors, self.shapes, ends[:-1], ends[1:], strict=True):
            x, term = bijector.forward(u[begin:end], shape)
            leaves.append(x)
            log_det = log_det + term
        return jax.tree_util.tree_unflatten(self.treedef, leaves), log_det

    def unconstrain(self, x: Any) -> Any:
        """The u with x(u) = x."""
        leaves, treedef = jax.tree_util.tree_flatten(x)
        if treedef != self.treedef or tuple(map(np.shape, leaves)) != self.shapes:
            told = ", ".join(f"{n} {s}" for n, s in zip(self.names, self.shapes, strict=True))
            raise ValueError(f"these parameters are not of this model, which has {told}; {treedef} came")
        return jnp.concatenate([b.inverse(leaf) for b, leaf in zip(self.bijectors, leaves, strict=True)])

    def coordinate_names(self) -> list[str]:
        """A name for each of the d coordinates of u."""
        return [
            name if size == 1 and math.prod(shape) == 1 else f"{name}[{i}]"
            for name, shape, size in zip(self.names, self.shapes, self.sizes, strict=True)
            for i in range(size)
        ]


def _look_up(constraints: Any, path: tuple, used: set[int]) -> AbstractBijector:
    """The bijector that stands over the leaf at `path`; Real when there is none."""
    node = constraints
    for step in path:
        if node is None or isinstance(node, AbstractBijector):
            break
        key = getattr(step, "key", getattr(step, "idx", getattr(step, "name", None)))
        if isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, list | tuple) and isinstance(key, int):
            node = node[key] if key < len(node) else None
        else:
            node = getattr(node, str(key), None)
    if node is None:
        return Real()
    if not isinstance(node, AbstractBijector):
        raise ValueError(f"the constraint of {jax.tree_util.keystr(path)} is {node!r}; a bijector is needed")
    used.add(id(node))
    return node

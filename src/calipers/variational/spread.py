"""Sums over rows, shared by devices and processes: each sums its own rows, and one all-reduce adds up.

    Σ_{i ∈ block} f(common, row_i) = psum over devices of f(common, rows of the device) + f(common, rows left over)

f is a sum over the rows that it gets, so any division is right, and JAX does the rest (`jax.shard_map` over a mesh of
all devices; call `jax.distributed.initialize` first for several processes, which then run the same program). Every
process ends with the same numbers. Divisions differ by rounding alone. Rows that the devices do not divide, fewer than
there are devices, are summed by all. **Source** JAX's own collectives; there is no code here that sends anything.
"""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from calipers.core.method import Refusal
from calipers.io.rows import Rows
from calipers.io.shuffle import blocks

_AXIS = "rows"
_ASK = 16  # steps from one question to the next whether to go on


@eqx.filter_jit
def _divided(function: Callable, mesh: Mesh, common: Any, rows: Any) -> Any:
    arrays, static = eqx.partition(common, eqx.is_array)

    def part(arrays: Any, rows: Any) -> Any:
        return jax.lax.psum(function(eqx.combine(arrays, static), rows), _AXIS)

    specs = (PartitionSpec(), PartitionSpec(_AXIS))
    return jax.shard_map(part, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False)(arrays, rows)


@eqx.filter_jit
def _alone(function: Callable, common: Any, rows: Any) -> Any:
    return function(common, rows)


class Spread:
    """The devices that share the rows. **Arguments:** `devices`, how many of JAX's, 0 for all."""

    def __init__(self, devices: int = 0):
        there = jax.devices()
        self.processes, self.process = jax.process_count(), jax.process_index()
        if devices > len(there):
            raise Refusal(f"{devices} devices are wanted; JAX has {len(there)}")
        if self.processes > 1 and devices not in (0, len(there)):
            raise Refusal(f"{self.processes} processes share all {len(there)} devices; devices=0 is needed")
        self.count = devices or len(there)
        self.mesh = Mesh(np.array(there[: self.count]), (_AXIS,))
        self.place = NamedSharding(self.mesh, PartitionSpec(_AXIS))

    def total(self, function: Callable[[Any, Any], Any], common: Any, rows: Any, own: bool = False) -> Any:
        """Σ over rows of `function(common, rows)`, a tree of arrays, in the float64 scope of the caller.

        **Arguments:** `function`, of the module (it is compiled once for each shape); `common`, what all devices need;
        `rows`, the same in every process, or, if `own`, those of this process, as many as in any other.
        """
        share = self.count // self.processes if own else self.count
        count = len(jax.tree.leaves(rows)[0])
        even = count - count % share
        found = None
        if even:
            main = jax.tree.map(lambda a: self._put(a[:even], own), rows)
            found = jax.tree.map(np.asarray, _divided(function, self.mesh, common, main))
        if even < count:
            rest = jax.tree.map(lambda a: a[even:], rows)
            more = jax.tree.map(np.asarray, _alone(function, common, rest))
            if own:
                more = self._added(more)
            found = more if found is None else jax.tree.map(np.add, found, more)
        return found

    def blocks(self, rows: Rows, size: int, piece: int) -> Iterator[tuple[Any, bool]]:
        """All rows, `size` at a time at most, as `total` takes them: each process reads a share of its own."""
        return blocks(rows, size, piece, (self.process, self.processes))

    def agree(self, yes: bool, step: int) -> bool:
        """What process 0 says, asked every few steps: clocks differ, and no process may stop alone."""
        if self.processes == 1:
            return yes
        if step % _ASK:
            return True
        from jax.experimental import multihost_utils

        return bool(multihost_utils.broadcast_one_to_all(np.array(yes)))

    def _put(self, host: np.ndarray, own: bool) -> Any:
        if self.count == 1:
            return host
        if own and self.processes > 1:
            return jax.make_array_from_process_local_data(self.place, host)
        return jax.make_array_from_callback(host.shape, self.place, lambda index: host[index])

    def _added(self, tree: Any) -> Any:
        """Sums over processes."""
        if self.processes == 1:
            return tree
        from jax.experimental import multihost_utils

        return jax.tree.map(lambda a: np.asarray(multihost_utils.process_allgather(a)).sum(0), tree)

"""The transfer matrix of square strips in JAX: log Z as a plain differentiable function, in batches.

    v ← e^{Σ_y h_y s_y + Σ_y K_y s_y s_{y+1}} Π_y [Σ_{o_y} e^{L_y s_y o_y}] v,   row by row

`jax.grad` gives every moment, `jax.hessian` every covariance of two of them, `jax.vmap` a batch of couplings or
temperatures. **Proves** nothing: it carries no rounding bar; `TransferMatrix` does. **Cost** w 2^w a row, and as much
memory; rows are computed again on the way back. **Fails** to be of use beyond widths of about 12. **Source** Kramers &
Wannier 1941.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from calipers.models.ising import Ising


class StripArrays(NamedTuple):
    """Natural parameters of a strip of `l` rows and width `w`, with the bonds of each row closed or open.

    `across` (l, w) in a closed strip, (l, w − 1) in an open one; `along` (l − 1, w); `fields` (l, w).
    """

    across: np.ndarray
    along: np.ndarray
    fields: np.ndarray


def strip_arrays(model: Ising, shape: tuple[int, int] | None = None) -> StripArrays:
    """The arrays of a magnet whose site x·w + y is bound to (x, y ± 1) and (x ± 1, y), rows perhaps closed.

    **Arguments:** `model`; `shape` (l, w), None for the shape of its lattice.

    **Raises:** `ValueError` when a bond does not belong to such a strip, or no shape is known.
    """
    shape = shape if shape is not None or model.lattice is None else tuple(model.lattice.shape)  # type: ignore
    if shape is None or len(shape) != 2 or shape[0] * shape[1] != model.n:
        raise ValueError(f"a strip of {model.n} sites needs a shape (rows, width), but {shape} came")
    length, width = shape
    (x, y), (a, b) = (np.divmod(model.edges[:, k], width) for k in (0, 1))
    theta = model.beta * model.couplings
    step, up, round_ = (x == a) & (b == y + 1), (a == x + 1) & (b == y), (x == a) & (y == 0) & (b == width - 1)
    round_ &= ~step
    if not (step | up | round_).all():
        i, j = model.edges[~(step | up | round_)][0]
        raise ValueError(f"the bond of sites {i} and {j} does not belong to an open strip of shape {shape}")
    across, along = np.zeros((length, width)), np.zeros((length - 1, width))
    across[x[step], y[step]], along[x[up], y[up]] = theta[step], theta[up]
    across[x[round_], width - 1] = theta[round_]
    fields = (model.beta * model.fields).reshape(length, width)
    return StripArrays(across if round_.any() else across[:, : width - 1], along, fields)


@jax.jit
def strip_log_z(across: jax.Array, along: jax.Array, fields: jax.Array) -> jax.Array:
    """log Z of a strip with open ends, in the precision of its arguments (use `jax.enable_x64`).

    **Arguments:** as the fields of `StripArrays`; `across` says by its shape whether rows are closed.

    **Returns:** a scalar, in nats.
    """
    width = fields.shape[1]
    spins = 1.0 - 2.0 * ((jnp.arange(2**width)[:, None] >> jnp.arange(width)) & 1).astype(fields.dtype)
    pairs = spins * jnp.roll(spins, -1, axis=1)

    def weigh(vector: jax.Array, bonds: jax.Array, field: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The row's own weights; the vector back to a sum of one, and the log of what was taken out."""
        energy = spins @ field + pairs[:, : bonds.shape[0]] @ bonds
        top = energy.max()
        vector = vector * jnp.exp(energy - top)
        total = vector.sum()
        return vector / total, top + jnp.log(total)

    def exchange(vector: jax.Array, link: jax.Array) -> tuple[jax.Array, None]:
        """Sums out the spin of the highest bit and adds the new one as the lowest; after w times bits are in place."""
        like, unlike = jnp.exp(link - jnp.abs(link)), jnp.exp(-link - jnp.abs(link))
        up, down = vector.reshape(2, -1)
        return jnp.stack([like * up + unlike * down, unlike * up + like * down], axis=1).ravel(), None

    @jax.checkpoint
    def row(vector: jax.Array, here: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        bonds, links, field = here
        vector, _ = jax.lax.scan(exchange, vector, links[::-1])
        vector, taken = weigh(vector, bonds, field)
        return vector, taken + jnp.abs(links).sum()

    first, taken = weigh(jnp.ones(2**width, fields.dtype), across[0], fields[0])
    _, rest = jax.lax.scan(row, first, (across[1:], along, fields[1:]))
    return taken + rest.sum()

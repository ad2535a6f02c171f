"""The kernel of the scores against derivatives, and steps against least squares solved outright."""

import jax
import jax.numpy as jnp
import numpy as np
from tests.variational.test_autoregressive import GLASS, MIXED, trial

from calipers.variational.autoregressive import draw, logits
from calipers.variational.natural_gradient import gram, lacking, natural_step, plain_gradient, pulled, pushed, signals

COUNT = 12


def scores_matrix(network, weights, found):
    """J, shape (COUNT, parameters), by automatic differentiation: the scores times the derivatives of the logits."""

    def log_q(at):
        moved = jax.vmap(logits)(at, found.features)[1]
        return jnp.sum(moved * found.scores, axis=(0, 2))

    rows = jax.tree.leaves(jax.jit(jax.jacrev(log_q))(weights))
    return np.concatenate([np.reshape(leaf, (COUNT, -1)) for leaf in rows], axis=1)


def case(model):
    _, _, network, weights = trial(model)
    weights = {name: jnp.asarray(w, jnp.float64) for name, w in weights.items()}
    return network, weights, draw(network, weights, jax.random.key(4), 1.0, COUNT)


def test_the_kernel_is_that_of_the_scores():
    with jax.enable_x64(True):
        for model in (GLASS, MIXED):
            network, weights, found = case(model)
            matrix, signal = scores_matrix(network, weights, found), signals(weights, found)
            np.testing.assert_allclose(gram(found.features, signal), matrix @ matrix.T, rtol=1e-9, atol=1e-9)
            a = np.arange(COUNT) - 3.0
            back = pulled(jnp.asarray(a), found.features, signal)
            flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(back)])
            np.testing.assert_allclose(flat, a @ matrix, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(pushed(back, found.features, signal), matrix @ flat, rtol=1e-9, atol=1e-8)


def test_a_step_is_damped_least_squares():
    with jax.enable_x64(True):
        network, weights, found = case(GLASS)
        nothing = jax.tree.map(jnp.zeros_like, weights)
        step, _ = natural_step(network, weights, nothing, jax.random.key(4), 1.0, 0.5, 0.9, COUNT)
        flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(step)])
        matrix = scores_matrix(network, weights, found)
        centred = matrix - matrix.mean(0)
        scale = np.trace(centred @ centred.T) / COUNT
        normal = centred.T @ centred + 0.5 * scale * np.eye(centred.shape[1])
        expected = np.linalg.solve(normal, centred.T @ np.asarray(lacking(found)))
        expected *= min(1.0, 1.0 / np.sqrt(np.mean((centred @ expected) ** 2)))
        np.testing.assert_allclose(flat, expected, rtol=1e-6, atol=1e-9)


def test_the_plain_gradient_is_that_of_the_elbo():
    """Against a difference quotient of the ELBO along the gradient, from common draws in plenty."""
    with jax.enable_x64(True):
        network, weights, _ = case(GLASS)
        gradients = [plain_gradient(network, weights, jax.random.key(s), 1.0, 4096)[0] for s in range(8)]
        mean = jax.tree.map(lambda *g: sum(g) / len(g), *gradients)
        rise = float(sum(jnp.sum(g * g) for g in jax.tree.leaves(mean)))
        size = 0.02 / np.sqrt(rise)

        def elbo(sign):
            moved = jax.tree.map(lambda w, g: w + sign * size * g, weights, mean)
            return np.mean([draw(network, moved, jax.random.key(90 + s), 1.0, 8192).logs for s in range(8)])

        slope = (elbo(1.0) - elbo(-1.0)) / (2.0 * size)
        assert 0.8 * rise < slope < 1.2 * rise

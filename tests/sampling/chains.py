"""What the tests of Markov kernels share: beginning chains, comparing states, and χ² against exact probabilities."""

import warnings

import numpy as np
from scipy.stats import chi2

import calipers as cal
from calipers.sampling.kernel import leaves

WIDE = cal.Ising.square((4, 128), beta=0.4)
SLABS = [
    (cal.Multispin(), model)
    for model in (
        WIDE, cal.Ising.square((4, 128), beta=0.4, coupling=-1.0), cal.Ising.cubic((4, 4, 128), beta=0.2),
        cal.Ising.square((6, 128), coupling="pm1", beta=0.5, seed=4),
        cal.Ising.cubic((4, 6, 128), coupling="pm1", beta=0.5, seed=5),
    )
] + [
    (cal.ShardedMultispin(), model)
    for model in (
        cal.Ising.square((4, 64), beta=0.4), cal.Ising.square((4, 128), beta=0.3, field=0.4),
        cal.Ising.cubic((4, 4, 64), beta=0.2, coupling=-1.0),
        cal.Ising.cubic((4, 6, 64), coupling="pm1", beta=0.5, seed=5, field=-0.3),
        cal.Ising.hypercubic(4, 4, 4, 64, coupling="pm1", beta=0.3, seed=6),
    )
]  # fmt: skip


def begin(kernel, model, seed=1, chains=64, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # frustration, tested below
        return kernel.init(model, seed=seed, chains=chains, **options)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def probabilities(model):
    """p of every configuration, by mixed radix."""
    x = np.stack(np.unravel_index(np.arange(np.prod(model.domains)), tuple(model.domains)), axis=1)
    log = np.array([model.log_weight(row) for row in x]) if len(x) < 5000 else -model.beta * model.energy(1.0 - 2 * x)
    p = np.exp(log - log.max())
    return p / p.sum()


def surprise(counts, p):
    """The probability of a larger χ², bins of less than 10 expected put together."""
    order = np.argsort(p)
    expected, seen = p[order] * counts.sum(), counts[order]
    small = expected < 10
    expected = np.append(expected[~small], expected[small].sum())
    seen = np.append(seen[~small], seen[small].sum())
    used = expected > 0
    assert seen[~used].sum() == 0
    return chi2.sf(((seen - expected)[used] ** 2 / expected[used]).sum(), max(used.sum() - 1, 1))

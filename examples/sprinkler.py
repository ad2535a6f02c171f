"""A Bayesian network as a factor graph: the evidence is a partition function, the posterior its gradient.

Rain and a sprinkler wet the grass. Z with nothing observed is 1; with wet grass observed, Z = p(wet), and the marginals
are p(rain | wet) and p(sprinkler | wet). Run: python examples/sprinkler.py
"""

import math

import calipers as cal

RAIN, SPRINKLER, WET = 0, 1, 2


def network() -> cal.FactorGraph:
    """p(rain) p(sprinkler | rain) p(wet | rain, sprinkler); state 1 means yes."""
    return cal.FactorGraph.from_tables(
        [2, 2, 2],
        [
            ((RAIN,), [0.8, 0.2]),
            ((RAIN, SPRINKLER), [[0.6, 0.4], [0.99, 0.01]]),
            ((RAIN, SPRINKLER, WET), [[[1.0, 0.0], [0.1, 0.9]], [[0.2, 0.8], [0.01, 0.99]]]),
        ],
    )


def main() -> None:
    """Prints the evidence and the posterior."""
    wet = network().condition({WET: 1})
    found = cal.moments(wet, cal.Elimination())
    print(f"log p(wet) = {found.answer.value:.6f}, p(wet) = {math.exp(found.answer.value):.6f}")
    print(f"p(rain | wet) = {found.marginals[RAIN][1]:.4f}, p(sprinkler | wet) = {found.marginals[SPRINKLER][1]:.4f}")


if __name__ == "__main__":
    main()

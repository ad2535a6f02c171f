"""A method that is handed a model of the other kind says so in one sentence, whichever method it is."""

import jax.numpy as jnp
import numpy as np
import pytest

import calipers as cal
from calipers.catalogue import METHODS
from calipers.core.method import Limits, Refusal

EITHER = {"Auto", "BlackBoxVI"}
OVER_REALS = {
    *("Conjugate", "HamiltonianAnnealing", "CurvatureBounds", "DivergenceVI", "GaussianVI"),
    *("StochasticVI", "ConjugateVI", "PopulationMonteCarlo", "Flow"),
}
GRANTED = Limits(delta=0.01)


def over_reals():
    return cal.EnergyModel(lambda z: -0.5 * jnp.sum(z**2), np.zeros(2))


def refused(name, model):
    with pytest.raises(Refusal) as caught:
        getattr(cal, name)().plan(model, GRANTED)
    return str(caught.value)


@pytest.mark.parametrize("name", [n for n in METHODS if n not in EITHER | OVER_REALS])
def test_discrete_methods_refuse_densities_over_reals(name):
    assert "sums over discrete states, and EnergyModel is a density over reals" in refused(name, over_reals())


@pytest.mark.parametrize("name", sorted(OVER_REALS))
@pytest.mark.parametrize("model", [cal.Ising.square((2, 2)), cal.Ising.square((2, 2)).factor_graph()], ids=repr)
def test_methods_over_reals_refuse_discrete_models(name, model):
    said = refused(name, model)
    assert type(model).__name__ in said
    assert "\n" not in said


@pytest.mark.parametrize("name", sorted(EITHER))
def test_the_rest_take_both(name):
    for model in (over_reals(), cal.Ising.square((2, 2))):
        assert str(getattr(cal, name)().plan(model, GRANTED))


@pytest.mark.parametrize("verb", ["covariance", "energy", "most_probable"])
def test_verbs_over_states_refuse_densities_over_reals(verb):
    with pytest.raises(Refusal, match="is a density over reals"):
        getattr(cal, verb)(over_reals())

"""Which side of which method leaves a witness: every deterministic one, on every kind of model, but for a list.

The table is the catalogue times the zoo: each side that a method moves is written into a certificate, and the checker
must accept it with the user's file (calipers.testing.soundness).
"""

import numpy as np
import pytest

from calipers import zoo
from calipers.catalogue import METHODS
from calipers.exact.planar import Planar
from calipers.models.ising import Ising
from calipers.testing.certificates import check_certificates
from calipers.testing.drawn import drawn_model
from calipers.testing.soundness import METHODS as GENERAL
from calipers.testing.soundness import OF_MAGNETS, PAIRS, soundness

NO_DETERMINISTIC_SIDE = {
    *("ImportanceSampling", "AnnealedImportance", "BidirectionalAnnealing", "TootsiePop"),  # statistical
    *("Bethe", "Kikuchi", "PopulationAnnealing", "ThermodynamicIntegration", "MultistateReweighting"),  # estimates
}
NEEDS_A_KEY = {"BlackBoxVI", "Autoregressive"}  # certified in tests/variational: its product trials, its mini-buckets
OVER_REALS = {
    *("Conjugate", "HamiltonianAnnealing", "CurvatureBounds", "DivergenceVI", "GaussianVI"),
    *("PopulationMonteCarlo", "Flow", "StochasticVI", "ConjugateVI"),
}
WITHOUT: dict[str, set[str]] = {}  # by model: sides without a witness, and none of the zoo's lacks one
MODELS = {m.name: m for m in zoo.models()}
FROM_FILES = {f"{m.name} in a file": m for m in zoo.models() if isinstance(m.model, Ising)}
FEW = [
    "ring",
    "torus",
    "curie-weiss",
    "mixed",
    "evidence",
    "zeros",
    "odd-ring",
    "disconnected",
    "parity-code",
    "tempered",
]
FEW_FILES = ["glass in a file", "star in a file", "infinite-temperature in a file"]


def table(name, model, log_z, folder, pairs):
    """One row of the table: the methods that took the model, all of whose sides were certified but for the list."""
    found = soundness(model, log_z, folder, np.random.default_rng(1), pairs)
    assert set(found.without) == WITHOUT.get(name, set())
    assert found.tally.accepted > 0
    return found.methods


def test_the_table_has_every_deterministic_method():
    tried = {type(m).__name__ for m in (*GENERAL, *OF_MAGNETS, PAIRS)}
    assert tried == set(METHODS) - NO_DETERMINISTIC_SIDE - OVER_REALS - NEEDS_A_KEY


@pytest.mark.parametrize("name", FEW)
def test_every_side_is_certified(name, tmp_path):
    table(name, MODELS[name].model, MODELS[name].log_z, tmp_path, pairs=name == "ring")


@pytest.mark.parametrize("name", FEW_FILES)
def test_every_side_of_a_magnet_in_a_file_is_certified(name, tmp_path):
    example = FROM_FILES[name]
    taken = table(name, example.model.factor_graph(), example.log_z, tmp_path, pairs="glass" in name)
    wanted = {"StructuredMeanField"} | ({"Strips", "LogDeterminant"} if "glass" in name else set())
    assert all(any(text.startswith(method) and "in a file" in text for text in taken) for method in wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MODELS.keys() | FROM_FILES.keys()))
def test_every_side_of_the_whole_zoo_is_certified(name, tmp_path):
    if name in MODELS:
        table(name, MODELS[name].model, MODELS[name].log_z, tmp_path, pairs=True)
    else:
        table(name, FROM_FILES[name].model.factor_graph(), FROM_FILES[name].log_z, tmp_path, pairs=True)


def test_a_cube_with_a_field_whose_pfaffians_have_blocks_that_vanish(tmp_path):
    """Couplings moved along a line kept an exact zero among the pivots; they are moved at random now."""
    cube, log_z = drawn_model(742), 27.670820593519
    (answer,) = Planar().answers(cube, Planar().plan(cube))
    tally = check_certificates(answer, cube, log_z, tmp_path, np.random.default_rng(1))
    assert tally.accepted == 2

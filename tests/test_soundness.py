"""Random small models, some here and a thousand in benchmarks/soundness.py: no method and no certificate is wrong."""

import dataclasses

import numpy as np
import pytest

import calipers as cal
from calipers.core.answer import Answer
from calipers.exact.enumeration import enumerate_all
from calipers.testing.certificates import check_certificates
from calipers.testing.drawn import drawn_model
from calipers.testing.soundness import soundness


def run(seed, folder):
    model = drawn_model(seed)
    log_z = enumerate_all(model.factor_graph())[0]
    return soundness(model, log_z, folder, np.random.default_rng(seed + 1))


@pytest.mark.parametrize("seed", [1, 3, 4, 6, 10, 15, 526, 759])
def test_nothing_is_wrong(seed, tmp_path):
    found = run(seed, tmp_path)
    assert found.tally.accepted > 0
    assert found.tally.refused > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_nothing_is_wrong_in_a_hundred(seed, tmp_path):
    run(seed, tmp_path)


def test_drawn_models_have_every_property():
    graphs = [drawn_model(seed).factor_graph() for seed in range(300)]
    tables = [t for g in graphs for t in g.tables]
    assert any(np.isneginf(t).any() for t in tables)
    assert any(not s for g in graphs for s in g.scopes)
    assert {1, 2, 3, 4} == {k for g in graphs for k in g.sizes}
    assert any(g.evidence for g in graphs)
    assert {g.beta for g in graphs} >= {0.0, 0.5, 1.0, 2.0}
    assert any(len(set().union(*g.scopes)) < g.n for g in graphs if g.scopes)
    magnets = [m for m in map(drawn_model, range(300)) if isinstance(m, cal.Ising)]
    assert any((m.couplings < 0).any() for m in magnets)
    assert any((m.couplings > 0).all() and m.e for m in magnets)
    assert any(not m.fields.any() for m in magnets)
    assert any(m.lattice is not None for m in magnets)


def test_a_wrong_side_and_a_wrong_witness_are_caught(tmp_path):
    model = cal.Ising.chain(5, coupling=0.7, field=0.3)
    answer = cal.log_z(model, cal.Elimination())
    truth = answer.value
    good = check_certificates(answer, model, truth, tmp_path, np.random.default_rng(0))
    assert good.accepted == 2
    wrong = dataclasses.replace(answer.lower, value=truth + 1e-3)
    with pytest.raises(AssertionError, match="does not follow"):
        check_certificates(Answer(lower=wrong), model, truth, tmp_path, np.random.default_rng(0))
    with pytest.raises(AssertionError, match="but log Z"):
        check_certificates(answer, model, truth + 1.0, tmp_path, np.random.default_rng(0))

"""Clamping leaves certificates that the checker accepts, whenever it stops."""

import itertools

import pytest

import calipers as cal
from calipers.bounds import clamping, part_witness
from calipers.core.answer import Answer
from calipers.core.method import Limits
from calipers.models.factor_graph import FactorGraph
from calipers_check import check

SPECS = (
    "square:6x6,J=pm1,h=gauss:0.1,beta=1,seed=1",
    "square:6x6,J=pm1,beta=1,seed=1",
    "regular:3,n=30,J=pm1,beta=1,seed=0",
)
METHOD = cal.Clamping(leaf_log2_size=4, upper=cal.MiniBucket(ibound=3, sweeps=3, orders=1))


def verdict(answer, model, path):
    cal.Certificate.from_answer(answer, model).save(path)
    found = check(path)
    assert found.accepted, found.reason
    return {c.side: (c.kind, c.proved) for c in found.claims}


@pytest.mark.parametrize("spec", SPECS)
def test_when_all_parts_are_summed(tmp_path, spec):
    model = cal.from_spec(spec)
    exact = cal.log_z(model, cal.Elimination())
    claims = verdict(cal.log_z(model, METHOD, gap=0.0), model, tmp_path / "a.cert")
    for side in ("lower", "upper"):
        assert claims[side][0] == "split"
        assert claims[side][1] == pytest.approx(exact.value, abs=1e-10)


@pytest.mark.parametrize("spec", SPECS)
def test_while_groups_are_open(tmp_path, spec, monkeypatch):
    """The witness is read later than the claim was made: the bracket has only narrowed since."""
    monkeypatch.setattr(clamping, "_BATCH_SECONDS", 0.0)  # one part at a time
    model = cal.from_spec(spec)
    exact = cal.log_z(model, cal.Elimination())
    answers = METHOD.answers(model, METHOD.plan(model, Limits()))
    seen = list(itertools.islice((a for a in answers if a.upper.method == repr(METHOD)), 6))
    assert all(a.stats["open"] > 0 for a in seen)
    assert [a.stats["leaves"] for a in seen] == list(range(6))
    for answer in seen[::-1]:
        claims = verdict(answer, model, tmp_path / "a.cert")
        assert exact.value + 1e-6 < claims["upper"][1] <= answer.upper.value
        if answer.stats["leaves"]:
            assert answer.lower.value <= claims["lower"][1] < exact.value - 1e-6


def test_hard_models(tmp_path):
    """Colourings of a wheel: most parts are empty, and the checker finds that out for itself."""
    n, different = 7, [[0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]]
    pairs = [(i, (i + 1) % n) for i in range(n)] + [(i, n) for i in range(n)]
    model = FactorGraph.from_tables([4] * (n + 1), [(p, different) for p in pairs], evidence={2: 0})
    exact = cal.log_z(model, cal.Elimination())
    answer = cal.log_z(model, cal.Clamping(leaf_log2_size=2, upper=METHOD.upper), gap=0.0)
    claims = verdict(Answer(answer.lower, answer.upper), model, tmp_path / "a.cert")
    for side in claims:
        assert claims[side][1] == pytest.approx(exact.value, abs=1e-10)


def test_long_certificates_are_not_written(monkeypatch):
    monkeypatch.setattr(part_witness, "_MOST", 10.0)
    answer = cal.log_z(cal.from_spec(SPECS[0]), METHOD, gap=0.0)
    with pytest.raises(ValueError, match="witness"):
        _ = answer.certificate


def test_several_components_leave_no_witness():
    one = cal.from_spec(SPECS[2]).factor_graph()
    scopes = (*one.scopes, *(tuple(v + one.n for v in s) for s in one.scopes))
    answer = cal.log_z(FactorGraph(one.sizes * 2, scopes, one.tables * 2), METHOD, gap=0.0)
    assert answer.exact
    with pytest.raises(ValueError, match="witness"):
        _ = answer.certificate

"""Certificates written by the library are accepted by the checker, and come back as they were."""

import dataclasses
import math

import numpy as np
import pytest

import calipers as cal
from calipers.core.answer import Answer, Grounds, Side
from calipers.core.iterate import log_z
from calipers.core.witness import LEAF, MISSING, Bethe, Block, Bucket, Decomposition, Link, Split, Tangent
from calipers.exact.elimination import Elimination
from calipers.io.certificate import Certificate, load, resume
from calipers.io.errors import InputError
from calipers.io.uai import read_uai
from calipers.io.witness_arrays import model_digest, model_parts
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising
from calipers.models.tempered import Tempered
from calipers_check import check

UAI = "MARKOV 3 2 2 3 3 2 0 1 2 1 2 1 0 4 1 .1 0.25 3 6 1 2 0 1 1 1e-5 2 0.3 4"
MAGNET = Ising.from_arrays([(2, 1), (0, 1), (0, 2)], [0.3, -1.0, 0.7], [0.1, 0.0, -0.4], beta=0.9, offset=1.5)


def exact_side(value, witness, way):
    return Side(value + way * 1e-9, Grounds.EXACT, method="by hand", witness=lambda: witness)


def brute(model):
    """log Z over all states."""
    states = np.ndindex(*model.domains.tolist())
    return float(np.logaddexp.reduce([model.log_weight(np.array(x)) for x in states]))


def by_hand(model):
    """Exact elimination of a model of three variables, each factor in the bucket of its first variable."""
    graph = model.factor_graph()
    kept = [np.arange(k) for k in graph.sizes]
    for v, state in graph.evidence:
        kept[v] = np.array([state])
    homes = [[a for a, s in enumerate(graph.scopes) if s and min(s) == v] for v in range(3)]
    buckets = tuple(Bucket(v, 1.0, tuple(homes[v]), (), v + 1 if v < 2 else -1) for v in range(3))
    return Decomposition(tuple(kept), buckets)


@pytest.fixture
def uai(tmp_path):
    path = tmp_path / "m.uai"
    path.write_text(UAI)
    return path


def models(uai):
    graph = read_uai(uai)
    return [
        graph,
        graph.condition({2: 1}),
        graph.tempered(0.3).condition({0: 1}),
        Tempered(graph, 2.0),
        MAGNET,
        MAGNET.condition({1: 0}),
        FactorGraph.from_tables([2, 3, 1], [((1, 0), np.array([[1, 2], [3, 0], [1.5, 2]])), ((), np.array(2.0))]),
    ]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("embed", [True, False])
def test_written_checked_and_read_again(tmp_path, uai, number, embed):
    model = models(uai)[number]
    value, witness = brute(model), by_hand(model)
    written = Certificate.from_answer(Answer(exact_side(value, witness, -1), exact_side(value, witness, 1)), model)
    written.save(tmp_path / "a.cert", embed=embed)
    if embed:
        verdict = check(tmp_path / "a.cert")
        assert verdict.accepted, verdict.reason
        assert [c.side for c in verdict.claims] == ["lower", "upper"]
        assert verdict.sha256 == model_digest(*model_parts(model))
    else:
        assert "--model" in check(tmp_path / "a.cert").reason
    found = load(tmp_path / "a.cert", None if embed else model)
    found.save(tmp_path / "b.cert", embed=embed)
    assert (tmp_path / "a.cert").read_bytes() == (tmp_path / "b.cert").read_bytes()
    assert brute(found.model) == pytest.approx(value, abs=1e-12)
    low, high = found.sides()
    assert value - 2e-9 < low.value < value < high.value < value + 2e-9


def test_ties_to_the_users_file(tmp_path, uai):
    model = read_uai(uai, {2: 1})
    value = brute(model)
    answer = Answer(upper=exact_side(value, by_hand(model), 1))
    for embed in (True, False):
        Certificate.from_answer(answer, model).save(tmp_path / "a.cert", embed=embed)
        assert check(tmp_path / "a.cert", uai, "2=1").accepted
        assert "evidence" in check(tmp_path / "a.cert", uai).reason


def test_ising_file(tmp_path):
    np.savez(
        tmp_path / "m.npz", edges=MAGNET.edges, couplings=MAGNET.couplings, fields=MAGNET.fields, beta=0.9, offset=1.5
    )
    answer = Answer(upper=exact_side(brute(MAGNET), by_hand(MAGNET), 1))
    Certificate.from_answer(answer, MAGNET).save(tmp_path / "a.cert", embed=False)
    assert check(tmp_path / "a.cert", tmp_path / "m.npz").accepted
    assert "beta" in check(tmp_path / "a.cert", tmp_path / "m.npz", beta=0.5).reason


def test_bounds_by_hand(tmp_path):
    """Mini-buckets above and a product trial below, extra tables and all."""
    graph = MAGNET.factor_graph()
    kept, shift = tuple(np.arange(2) for _ in range(3)), np.array([0.2, -0.1])
    place = {s: a for a, s in enumerate(graph.scopes)}
    buckets = (
        Bucket(0, 0.5, (place[0, 1], place[(0,)]), (((0,), shift),), 2),
        Bucket(0, 0.5, (place[0, 2],), (((0,), -shift),), 3),
        Bucket(1, 1.0, (place[1, 2], place[(1,)]), (), 3),
        Bucket(2, 1.0, (place[(2,)],), (), -1),
    )
    trial = Tangent(kept, (Block((0, 1), (((1,), shift),)), Block((2,), ())))
    upper = Side(20.0, Grounds.COMPUTED, witness=lambda: Decomposition(kept, buckets))
    lower = Side(-20.0, Grounds.COMPUTED, witness=lambda: trial)
    Certificate.from_answer(Answer(lower, upper), MAGNET).save(tmp_path / "a.cert")
    verdict = check(tmp_path / "a.cert")
    assert verdict.accepted, verdict.reason
    assert verdict.claims[0].proved < brute(MAGNET) < verdict.claims[1].proved
    assert load(tmp_path / "a.cert").claims[1].witness.buckets[0].weight == 0.5


def written_and_read(path, model, lower, upper=None):
    """The checker's verdict; the certificate must come back as it was written."""
    low, high = (
        Side(-99.0, Grounds.COMPUTED, witness=lambda: lower),
        Side(99.0, Grounds.COMPUTED, witness=lambda: upper),
    )
    Certificate.from_answer(Answer(low, high) if upper else Answer(low), model).save(path)
    again = path.with_suffix(".again")
    load(path).save(again)
    assert path.read_bytes() == again.read_bytes()
    verdict = check(path)
    assert verdict.accepted, verdict.reason
    return verdict.claims


def test_parts_of_a_decision_tree(tmp_path):
    """Exact elimination under a tree is exact; without one part it is exact about the rest."""
    witness, value = by_hand(MAGNET), brute(MAGNET)
    tree, part = np.array([1, 0, LEAF, LEAF, LEAF]), np.zeros(3, int)
    split = Split(tree, part, (witness,))
    low, high = written_and_read(tmp_path / "a.cert", MAGNET, split, split)
    assert low.kind == high.kind == "split"
    assert value - 1e-12 < low.proved <= high.proved < value + 1e-12
    rest = Split(np.where(np.arange(5) == 2, MISSING, tree), part[:2], (witness,))
    (low,) = written_and_read(tmp_path / "a.cert", MAGNET, rest)
    assert low.proved == pytest.approx(np.log(np.exp(value) - np.exp(brute(MAGNET.condition({1: 0, 0: 0})))), abs=1e-12)


def test_a_bethe_functional(tmp_path):
    """On a tree the functional at the exact marginals is log Z."""
    chain = Ising.from_arrays([(0, 1), (1, 2)], [0.3, 1.0], [0.1, 0.0, -0.4], beta=0.9)
    states = list(np.ndindex(2, 2, 2))
    p = np.exp([chain.log_weight(np.array(x)) - brute(chain) for x in states]).reshape(2, 2, 2)
    single = [p.sum(axis=tuple({0, 1, 2} - {v})) for v in range(3)]
    fields = [np.log(q) - 0.9 * h * np.array([1.0, -1.0]) for q, h in zip(single, [0.1, 0.0, -0.4], strict=True)]
    blocks = tuple(Block((v,), (((v,), table),)) for v, table in enumerate(fields))
    pairs = [(0, p.sum(2) - np.outer(single[0], single[1])), (1, p.sum(0) - np.outer(single[1], single[2]))]
    kept = tuple(np.arange(2) for _ in range(3))
    witness = Bethe(kept, np.zeros(3, int), blocks, tuple(Link(a, table) for a, table in pairs))
    (low,) = written_and_read(tmp_path / "a.cert", chain, witness)
    assert low.kind == "bethe"
    assert low.proved == pytest.approx(brute(chain), abs=1e-12)


@pytest.mark.parametrize("model", [MAGNET, MAGNET.tempered(0.0), MAGNET.condition({1: 0})])
def test_elimination_is_certified(tmp_path, model):
    Certificate.from_answer(log_z(model, Elimination()), model).save(tmp_path / "a.cert")
    verdict = check(tmp_path / "a.cert")
    assert verdict.accepted, verdict.reason
    assert len(verdict.claims) == 2


def test_weight_zero_is_proved_by_propagation(tmp_path):
    model = FactorGraph.from_tables([2, 2], [((0, 1), np.eye(2)), ((0,), np.array([0.0, 1.0]))], evidence={1: 0})
    Certificate.from_answer(log_z(model, Elimination()), model).save(tmp_path / "a.cert")
    verdict = check(tmp_path / "a.cert")
    assert verdict.accepted, verdict.reason
    assert [(c.side, c.claim) for c in verdict.claims] == [("upper", "-inf")]


def test_statistical_sides_are_left_out(tmp_path):
    witness = by_hand(MAGNET)
    luck = Side(0.0, Grounds.STATISTICAL, delta=0.01, witness=lambda: witness)
    answer = Answer(lower=luck, upper=exact_side(brute(MAGNET), witness, 1))
    assert [c.side for c in Certificate.from_answer(answer, MAGNET).claims] == ["upper"]


def test_nothing_to_certify():
    for answer in (Answer(), Answer(lower=Side(-50.0, Grounds.COMPUTED))):
        with pytest.raises(ValueError, match="witness"):
            Certificate.from_answer(answer, MAGNET)


def test_claims_are_rounded_outward():
    value, witness = 0.1, by_hand(MAGNET)
    side = Side(value, Grounds.EXACT, witness=lambda: witness)
    answer = Answer(side, side)
    low, high = Certificate.from_answer(answer, MAGNET).claims
    assert float(low.claim) == math.nextafter(value, -math.inf)
    assert float(high.claim) == math.nextafter(value, math.inf)


def test_witness_of_another_model(tmp_path):
    witness = by_hand(MAGNET)
    other = Ising.from_arrays([(0, 1)], 1.0, 0.0)
    with pytest.raises(ValueError, match="does not fit"):
        Certificate.from_answer(Answer(upper=exact_side(9.0, witness, 1)), other).save(tmp_path / "a.cert")
    assert not list(tmp_path.iterdir())


def test_damage_is_noticed_when_read(tmp_path):
    path = tmp_path / "a.cert"
    Certificate.from_answer(Answer(upper=exact_side(9.0, by_hand(MAGNET), 1)), MAGNET).save(path)
    with pytest.raises(InputError, match="another model"):
        load(path, MAGNET.tempered(0.5))
    data = path.read_bytes()
    for broken in (b"", b"nothing", data[:-30], data[:200] + bytes([data[200] ^ 1]) + data[201:]):
        path.write_bytes(broken)
        with pytest.raises(InputError):
            load(path)
    with pytest.raises(InputError):
        load(tmp_path / "none.cert")


def test_going_on_from_a_certificate(tmp_path):
    """What was claimed is kept, with its witness, until something better is found."""
    model, path = cal.from_spec("square:4x4,J=pm1,h=gauss:0.1,seed=5"), tmp_path / "a.cert"
    first = cal.log_z(model, cal.Elimination())
    first.certificate.save(path)
    for source in (path, load(path)):
        again = cal.log_z(model, cal.MeanField(), resume=source)
        assert again.result.name == "GAP_MET"
        assert again.grounds == (Grounds.COMPUTED, Grounds.COMPUTED)
        assert (again.upper.method, again.lower.method) == ("Elimination()", "Elimination()")
        assert again.lower.value <= first.lower.value <= first.upper.value <= again.upper.value
    wide = cal.log_z(model, cal.MiniBucket(ibound=2, sweeps=1))
    wide.certificate.save(path)
    both = cal.log_z(model, cal.Tangent(width=2, starts=1), resume=path, gap=0.0)
    assert both.upper.method == wide.upper.method
    assert both.lower.method.startswith("Tangent")
    both.certificate.save(path)
    verdict = check(path)
    assert verdict.accepted, verdict.reason
    assert [c.kind for c in verdict.claims] == ["tangent", "decomposition"]
    better = cal.log_z(model, cal.Elimination(), resume=path, gap=0.0)
    assert better.exact


def test_a_certificate_of_another_model_is_nothing_to_go_on_from(tmp_path):
    path = tmp_path / "a.cert"
    cal.log_z(MAGNET, cal.Elimination()).certificate.save(path)
    for other in (MAGNET.tempered(0.5), MAGNET.factor_graph(), MAGNET.condition({0: 1})):
        with pytest.raises(InputError, match="another model"):
            cal.log_z(other, resume=path)
        with pytest.raises(ValueError, match="another model"):
            cal.log_z(other, resume=load(path))


@pytest.mark.parametrize(("side", "claim"), [("lower", "nan"), ("upper", "x"), ("below", "1.0"), ("lower", None)])
def test_claims_that_are_none(tmp_path, side, claim):
    path = tmp_path / "a.cert"
    certificate = Certificate.from_answer(Answer(upper=exact_side(9.0, by_hand(MAGNET), 1)), MAGNET)
    certificate._replace(claims=(certificate.claims[0]._replace(side=side, claim=claim),)).save(path)
    with pytest.raises(InputError, match="not a certificate"):
        resume(path, MAGNET)


def test_claims_that_contradict_each_other(tmp_path):
    path = tmp_path / "a.cert"
    witness = by_hand(MAGNET)
    low, high = (Side(x, Grounds.COMPUTED, witness=lambda: witness) for x in (5.0, 9.0))
    certificate = Certificate.from_answer(Answer(low, high), MAGNET)
    first, last = certificate.claims
    certificate._replace(claims=(first._replace(claim="9.5"), last)).save(path)
    with pytest.raises(InputError, match="contradict"):
        resume(path, MAGNET)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("square:3x4,T=2.5", "closed_form"),
        ("square:2x5,T=2.5", "closed_form"),
        ("square:4x6,J=-1,T=2", "closed_form"),
        ("complete:9,T=1,h=0.2", "closed_form"),
        ("chain:12,T=1,h=0.3", "decomposition"),
        ("chain:12,J=pm1,seed=2,T=1,open", "decomposition"),
    ],
)
def test_closed_forms_are_certified(tmp_path, spec, kind):
    answer = cal.log_z(cal.from_spec(spec), cal.ClosedForm())
    answer.certificate.save(tmp_path / "a.cert")
    verdict = check(tmp_path / "a.cert")
    assert verdict.accepted, verdict.reason
    assert [(c.side, c.kind) for c in verdict.claims] == [("lower", kind), ("upper", kind)]
    load(tmp_path / "a.cert").save(tmp_path / "b.cert")
    assert (tmp_path / "a.cert").read_bytes() == (tmp_path / "b.cert").read_bytes()


def test_closed_forms_beyond_the_checker_are_eliminated_where_that_is_possible(tmp_path):
    for model in (
        cal.from_spec("square:3x4,J=-1,T=2"),
        cal.from_spec("square:3x4,T=2.5").factor_graph(),
        cal.Ising.square(3, field=1.0, beta=0.0),
        cal.Ising.square((3, 4), coupling=0.0, field=0.0),
    ):
        answer = cal.log_z(model, cal.ClosedForm())
        assert answer.exact
        answer.certificate.save(tmp_path / "a.cert")
        verdict = check(tmp_path / "a.cert")
        assert verdict.accepted, verdict.reason
        assert [c.kind for c in verdict.claims] == ["decomposition"] * 2
    wide = cal.log_z(cal.from_spec("square:31x40,J=-1,T=2"), cal.ClosedForm())
    with pytest.raises(ValueError, match="witness"):
        _ = wide.certificate


@pytest.mark.parametrize(
    "method", [cal.Elimination(), cal.ModelCounting(), cal.Enumeration(), cal.Tangent(), cal.Search()]
)
def test_that_nothing_is_possible_is_certified_though_propagation_does_not_see_it(tmp_path, method):
    """Two colours around a ring of three: every state has support, and nothing fits."""
    differ = 1.0 - np.eye(2)
    ring = FactorGraph.from_tables((2,) * 3, [(s, differ) for s in [(0, 1), (1, 2), (0, 2)]])
    answer = cal.log_z(ring, method)
    assert answer.upper.value == -math.inf
    answer.certificate.save(tmp_path / "a.cert")
    verdict = check(tmp_path / "a.cert")
    assert verdict.accepted, verdict.reason
    assert [c.claim for c in verdict.claims] == ["-inf"]


@pytest.mark.parametrize("spec", ["sk:6,seed=1", "square:4x4,J=pm1,h=gauss:0.1,seed=1"])
def test_searches_and_log_determinants_come_back_as_they_were(tmp_path, spec):
    magnet = cal.from_spec(spec)
    for method in (
        cal.Search(ibound=1, sweeps=1, orders=1),
        cal.LogDeterminant(steps=2),
        cal.Clamping(leaf_log2_size=2),
    ):
        answer = cal.log_z(magnet, method, gap=0.0)
        answer.certificate.save(tmp_path / "a.cert")
        load(tmp_path / "a.cert").save(tmp_path / "b.cert")
        assert (tmp_path / "a.cert").read_bytes() == (tmp_path / "b.cert").read_bytes()
        assert resume(tmp_path / "b.cert", magnet).upper.value >= answer.upper.value


@pytest.mark.parametrize(
    "spec",
    ["square:6x6,J=pm1,seed=1,T=1,open", "square:20x20,J=gauss:1,seed=1,T=1,open", "square:8x8,J=pm1,seed=1,T=1",
     "triangular:5x6,J=pm1,seed=2,T=0.5,open", "honeycomb:4x5,T=0.5,open", "chain:40,J=gauss:1,seed=1,T=1,h=0.3"],
)  # fmt: skip
def test_planar_values_are_certified(tmp_path, spec):
    answer = cal.log_z(cal.from_spec(spec), cal.Planar(), time_limit=600)
    answer.certificate.save(tmp_path / "a.cert")
    verdict = check(tmp_path / "a.cert")
    assert verdict.accepted, verdict.reason
    assert [(c.side, c.kind, c.method) for c in verdict.claims] == [
        (s, "planar", "Planar()") for s in ("lower", "upper")
    ]
    assert verdict.claims[1].proved - verdict.claims[0].proved < 1e-12
    load(tmp_path / "a.cert").save(tmp_path / "b.cert")
    assert (tmp_path / "a.cert").read_bytes() == (tmp_path / "b.cert").read_bytes()


def test_planar_values_of_files_are_about_their_own_tables(tmp_path):
    magnet = cal.Ising.square((6, 7), coupling="gauss:1", beta=0.7, periodic=False, seed=3)
    cal.write_uai(magnet, tmp_path / "m.uai")
    for evidence in ({}, {0: 1, 6: 0}):  # at the rim, so that the fields that it leaves lie around one face
        model = read_uai(tmp_path / "m.uai").condition(evidence)
        answer = cal.log_z(model, cal.Planar(), time_limit=600)
        assert answer.value == pytest.approx(cal.log_z(model, Elimination()).value, abs=1e-10)
        answer.certificate.save(tmp_path / "a.cert", embed=False)
        assert [c.kind for c in answer.certificate.claims] == ["planar"] * 2
        text = ",".join(f"{v}={s}" for v, s in evidence.items()) or None
        verdict = check(tmp_path / "a.cert", tmp_path / "m.uai", text)
        assert verdict.accepted, verdict.reason
        assert not check(tmp_path / "a.cert", tmp_path / "m.uai", "0=0").accepted


def test_large_planar_values_are_left_without_a_certificate(monkeypatch):
    small = cal.log_z(cal.from_spec("square:6x6,J=pm1,seed=1,T=1"), cal.Planar(), time_limit=600)
    monkeypatch.setattr("calipers.exact.planar._CHECKED_FLOPS", 10.0)
    assert [c.kind for c in small.certificate.claims] == ["decomposition"] * 2
    wide = cal.log_z(cal.from_spec("square:40x40,J=pm1,seed=1,T=1"), cal.Planar(), time_limit=600)
    with pytest.raises(ValueError, match="multiplications, more than a checker"):
        _ = wide.certificate


def test_a_side_without_a_witness_leaves_the_claim_to_the_tightest_that_has_one(tmp_path):
    magnet = cal.Ising.square((4, 4), coupling="pm1", field="gauss:0.1", beta=0.5, seed=1)
    answer = cal.log_z(magnet, cal.Tangent(width=2)) & cal.log_z(magnet, cal.MiniBucket(ibound=2))
    sharp = dataclasses.replace(answer.lower, value=answer.lower.value + 1e-3, witness=None)
    both = answer & Answer(lower=sharp)
    assert both.lower.value == sharp.value
    claims = {c.side: float(c.claim) for c in Certificate.from_answer(both, magnet).claims}
    assert claims["lower"] == pytest.approx(answer.lower.value, abs=1e-9)
    assert claims["upper"] == pytest.approx(answer.upper.value, abs=1e-9)


@pytest.mark.parametrize("method", [None, cal.Elimination(), cal.ModelCounting()])
def test_a_constant_of_zero_is_certified(tmp_path, method):
    tables = [((0, 1), np.ones((2, 2))), ((), np.array(0.0)), ((1, 2), np.ones((2, 2)))]
    answer = cal.log_z(FactorGraph.from_tables((2, 2, 2), tables), method)
    assert answer.exact
    assert (answer.lower.value, answer.upper.value, answer.gap) == (-math.inf, -math.inf, 0.0)
    answer.certificate.save(tmp_path / "a.cert")
    verdict = check(tmp_path / "a.cert")
    assert verdict.accepted, verdict.reason
    assert "-inf" in [c.claim for c in verdict.claims]

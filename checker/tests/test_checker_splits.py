"""Decision trees over parts: whatever is accepted is true, and every way to cheat with a tree is refused."""

import math

import forge
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_checker_forgeries import EVIDENCE, EXACT, KEPT, LOG_Z, LOGS, MINI, SCOPES, SIZES, TRIAL, proved, reason
from test_checker_random import (  # noqa: F401 (a fixture)
    SLACK,
    Case,
    exact_witness,
    folder,
    many,
    seeds,
    split_witness,
    trial_witness,
)
from test_checker_random import proved as proved_case

from calipers_check import check
from calipers_check.__main__ import main

TREE = [1, 0, -1, -1, -1, 2, -1, -1]  # x1 = 0: by x0; x1 = 1: whole; x1 = 2: by x2
ONE = forge.decomposition(KEPT, EXACT)


def log_z(**states):
    """log of the part where x_v = s for keywords xv=s."""
    fixed = [(int(name[1:]), s) for name, s in states.items()]
    return forge.enumerate_log_z(SIZES, SCOPES, LOGS, sorted([*EVIDENCE, *fixed]))


def split(tree=TREE, part=None, witnesses=(ONE,)):
    return forge.split(tree, [0] * tree.count(-1) if part is None else part, witnesses)


def test_one_elimination_for_all_leaves_is_exact(tmp_path):
    low, high = (proved(side, "split", split(), folder=tmp_path) for side in ("lower", "upper"))
    assert low == pytest.approx(LOG_Z, abs=1e-13)
    assert low <= high <= low + 1e-14


def test_both_sides_in_one_certificate(tmp_path):
    claims = [("lower", "split", repr(LOG_Z - 1e-9), split()), ("upper", "split", repr(LOG_Z + 1e-9), split())]
    header, arrays = forge.draft((forge.tables_model(SIZES, SCOPES, LOGS, EVIDENCE)), *claims)
    header["claims"][1]["witness"] = "w0"  # shared
    verdict = check(forge.seal(tmp_path / "a.cert", header, arrays))
    assert verdict.accepted, verdict.reason
    assert verdict.claims[0].proved == pytest.approx(LOG_Z, abs=1e-13)
    assert verdict.claims[1].proved == pytest.approx(LOG_Z, abs=1e-13)


def test_a_single_leaf_is_its_witness(tmp_path):
    assert proved("upper", "split", split([-1]), folder=tmp_path) == pytest.approx(LOG_Z, abs=1e-13)


@pytest.mark.parametrize("nudge", [1e-14, 1e-6, 5.0])
def test_tightened_claims(tmp_path, nudge):
    assert "does not follow" in reason(tmp_path, ("upper", "split", repr(LOG_Z - nudge), split()))
    assert "does not follow" in reason(tmp_path, ("lower", "split", repr(LOG_Z + nudge), split()))


def test_a_missing_part_costs_a_lower_bound_its_mass(tmp_path):
    tree = [1, 0, -1, -1, -2, 2, -1, -1]
    low = proved("lower", "split", split(tree), folder=tmp_path)
    assert low == pytest.approx(np.logaddexp(log_z(x1=0), log_z(x1=2)), abs=1e-12)
    assert "does not follow" in reason(tmp_path, ("lower", "split", repr(LOG_Z - 1e-9), split(tree)))
    assert proved("lower", "split", split([-2]), folder=tmp_path) == -np.inf


def test_a_missing_part_spoils_an_upper_bound(tmp_path):
    assert "missing, and may be possible" in reason(tmp_path, ("upper", "split", "99", split([1, -1, -1, -2])))
    assert "everything is missing" in reason(tmp_path, ("upper", "split", "99", split([-2])))


def test_impossible_parts_may_be_missing_above(tmp_path):
    """x3 = 0 contradicts the evidence, x0 = 0 together with x1 = 2 is a zero of the first factor."""
    tree = [3, -2, 0, 1, -1, -1, -2, -1]
    assert proved("upper", "split", split(tree), folder=tmp_path) == pytest.approx(LOG_Z, abs=1e-12)
    assert "x3 = 1" in reason(tmp_path, ("upper", "split", "99", split([3, -1, -2])))


def test_states_dropped_at_a_leaf(tmp_path):
    """A witness for x1 = 0 alone proves nothing about the other leaves."""
    narrow = forge.decomposition([[0, 1], [0], [0, 1], [1]], [(0, 1.0, [0, 3], [], 1), (2, 1.0, [1, 2, 4], [], -1)])
    good = split([1, -1, -1, -1], [0, 1, 1], [narrow, ONE])
    assert proved("upper", "split", good, folder=tmp_path) == pytest.approx(LOG_Z, abs=1e-12)
    bad = split([1, -1, -1, -1], [0, 0, 1], [narrow, ONE])
    assert "drops state 1 of variable 1" in reason(tmp_path, ("upper", "split", "99", bad))
    assert proved("lower", "split", bad, folder=tmp_path) < LOG_Z - 0.01


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ([], "breaks off"),
        ([1], "breaks off"),
        ([1, -1, -1], "breaks off"),
        ([1, -1, -1, -1, -1], "ends before"),
        ([-1, -1], "ends before"),
        ([0, 0, -1, -1, -1], "stands above"),
        ([0, 1, 0, -1, -1, -1, -1, -1], "stands above"),
        ([9, -1, -1], "no variable"),
        ([-3, -1], "no variable"),
        ([2**62, -1, -1], "no variable"),
    ],
)
def test_trees_that_are_none(tmp_path, tree, said):
    for side in ("lower", "upper"):
        assert said in reason(tmp_path, (side, "split", "99" if side == "upper" else "-99", split(tree)))


def test_parts_that_do_not_match(tmp_path):
    for part in ([], [0] * 4, [0] * 6):
        assert "leaves" in reason(tmp_path, ("upper", "split", "99", split(TREE, part)))
    for k in (-1, 1, 2**40):
        assert "does not hold" in reason(tmp_path, ("upper", "split", "99", split(TREE, [0, 0, 0, 0, k])))


def test_a_split_of_splits_is_refused(tmp_path):
    reason(tmp_path, ("upper", "split", "99", split([0, -1, -1], [0, 0], [split()])))


def test_sides_that_parts_cannot_prove(tmp_path):
    trial = forge.tangent([[0, 1], [0, 1], [0, 1], [1]], TRIAL)
    assert "from below only" in reason(tmp_path, ("upper", "split", "99", split([-1], [0], [trial])))
    mini = forge.decomposition(KEPT, MINI)
    assert "one bucket a variable" in reason(tmp_path, ("lower", "split", "-99", split([-1], [0], [mini])))


def test_evidence_is_kept_below(tmp_path):
    free = forge.decomposition([[0, 1], *KEPT[1:3], [0, 1]], [])
    assert "rules out" in reason(tmp_path, ("lower", "split", "-99", split([3, -1, -1], [0, 0], [free])))


@pytest.mark.parametrize("name", ["tree", "part", "0/kept", "0/variable", "0/values"])
@pytest.mark.parametrize("how", ["gone", "type", "shape", "short", "empty"])
def test_arrays_of_another_form(tmp_path, name, how):
    witness = split(witnesses=(forge.decomposition(KEPT, MINI),))
    found = witness.pop(name)
    other = {"type": found.astype(np.int16), "shape": found[None], "short": found[:-1], "empty": found[:0]}
    if how != "gone":
        witness[name] = other[how]
    reason(tmp_path, ("upper", "split", "99", witness))


def test_work_is_limited(tmp_path):
    """A small file must not keep the checker busy for ever: entries are counted before they are computed."""
    n = 20
    model = forge.ising_model([(i, i + 1) for i in range(n - 1)], np.ones(n - 1), np.zeros(n))
    extra = [((v,), np.zeros(2)) for v in range(12)]
    rows: list = [(v, 1.0, [], extra[v:], v + 1 if v < 11 else -1) for v in range(12)]
    witness = forge.decomposition([[0, 1]] * n, rows)
    path = forge.seal(tmp_path / "a.cert", *forge.draft(model, ("upper", "decomposition", "99", witness)))
    assert check(path).accepted
    assert "--work" in check(path, work=1000).reason
    bushy = forge.split([*range(12), -1, *[-2] * 12], [0], [forge.decomposition([[0, 1]] * n, [])])
    path = forge.seal(tmp_path / "b.cert", *forge.draft(model, ("lower", "split", "-99", bushy)))
    assert check(path).accepted
    assert "--work" in check(path, work=200).reason
    assert main([str(path), "--work", "200"]) == 4


def random_tree(case, path=(), missing=0.0):
    """A tree in preorder over variables that are not on the path."""
    rng, free = case.rng, [v for v in range(case.n) if v not in path]
    if not free or len(path) > 2 or rng.random() < 0.3:
        return [-2 if rng.random() < missing else -1]
    v = int(rng.choice(free))
    return [v, *(x for _ in range(case.sizes[v]) for x in random_tree(case, (*path, v), missing))]


@many
@given(seeds)
def test_any_tree_with_exact_leaves_is_exact(folder, seed):  # noqa: F811
    case = Case(seed)
    tree, kept = random_tree(case), case.full()
    for v, state in case.evidence:
        kept[v] = [state]
    witness = forge.split(tree, [0] * tree.count(-1), [exact_witness(case, kept)])
    low, high = (proved_case(folder, case, side, "split", witness) for side in ("lower", "upper"))
    assert low == high == case.log_z or max(abs(low - case.log_z), abs(high - case.log_z)) < SLACK


@many
@given(seeds)
def test_any_tree_stays_on_its_side(folder, seed):  # noqa: F811
    """Mini-buckets above; below trials, with parts missing, several witnesses taking turns."""
    case = Case(seed)
    tree = random_tree(case)
    witnesses = [split_witness(case, case.full()) for _ in range(2)]
    part = [0, *case.rng.integers(0, 2, tree.count(-1) - 1)] if -1 in tree else []
    high = proved_case(folder, case, "upper", "split", forge.split(tree, part, witnesses))
    assert high >= case.log_z - SLACK
    tree = random_tree(case, missing=0.3)
    witnesses = [trial_witness(case, case.subset()), exact_witness(case, case.subset())]
    if all(w["kept_start"][-1] for w in witnesses):
        part = case.rng.integers(0, 2, tree.count(-1))
        low = proved_case(folder, case, "lower", "split", forge.split(tree, part, witnesses))
        assert low <= case.log_z + SLACK


@many
@given(seeds)
def test_above_a_missing_part_is_refused_or_empty(folder, seed):  # noqa: F811
    case = Case(seed)
    tree = random_tree(case, missing=0.3)
    witness = forge.split(tree, [0] * tree.count(-1), [split_witness(case, case.full())])
    path = forge.seal(folder / "a.cert", *forge.draft(case.model, ("upper", "split", "inf", witness)))
    verdict = check(path)
    assert not verdict.accepted or verdict.claims[0].proved >= case.log_z - SLACK


@many
@given(
    seeds,
    st.integers(0, 2**16),
    st.sampled_from([-(2**63), -2, -1, 0, 1, 2, 7, 2**31, 2**62, math.nan, math.inf, -math.inf, 1e300]),
)
def test_any_changed_number_is_refused_or_still_true(folder, seed, place, value):  # noqa: F811
    """One entry of one array replaced, everything hashed anew: no crash, and no false bound."""
    case = Case(seed)
    side = "upper" if seed % 2 else "lower"
    tree = random_tree(case, missing=0.0 if seed % 2 else 0.3)
    one = split_witness(case, case.full()) if seed % 2 else trial_witness(case, case.subset())
    witness = forge.split(tree, [0] * tree.count(-1), [one])
    names = sorted(name for name, array in witness.items() if array.size)
    name = names[place % len(names)]
    array = witness[name] = witness[name].copy()
    real = array.dtype == np.float64
    array[place % len(array)] = value if real or (math.isfinite(value) and abs(value) < 2**63) else -1
    claim = "inf" if side == "upper" else "-inf"
    verdict = check(forge.seal(folder / "a.cert", *forge.draft(case.model, (side, "split", claim, witness))))
    if verdict.accepted:
        bound = verdict.claims[0].proved
        assert bound >= case.log_z - SLACK if side == "upper" else bound <= case.log_z + SLACK

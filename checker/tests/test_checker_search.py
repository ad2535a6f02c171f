"""Searches: prefixes over one mini-bucket tree. True ones prove what they should; forged ones prove nothing false."""

import itertools
import math

import forge
import numpy as np
import pytest

from calipers_check import check

SIZES, KEPT = [2, 3, 2, 2], [[0, 1], [0, 1, 2], [0, 1], [0, 1]]
RNG = np.random.default_rng(5)
SCOPES = [(0, 1), (1, 2), (2, 3), (0, 3), (1, 3), ()]
LOGS = [RNG.normal(size=[SIZES[v] for v in s]) for s in SCOPES]
LOGS[4][1, 0] = -np.inf
MODEL = forge.tables_model(SIZES, SCOPES, LOGS)
LOG_Z = forge.enumerate_log_z(SIZES, SCOPES, LOGS)

# order 0, 1, 2, 3; variable 0 is split in two, so the search assigns 3 and then 1 (2 depends on 3 and on 1)
EXTRA = RNG.normal(size=2)
MINI = [
    (0, 0.4, [0], [((0,), EXTRA)], 2),
    (0, 0.6, [3], [((0,), -EXTRA)], 4),
    (1, 1.0, [1, 4], [], 3),
    (2, 1.0, [2], [], 4),
    (3, 1.0, [], [], -1),
]
BOUNDS = forge.decomposition(KEPT, MINI)
# with 3, 2, 1 assigned, only 0 is left: all its buckets are split, so parts are summed by another elimination
REST = forge.decomposition(KEPT, [(0, 1.0, [0, 3], [], -1)])
VARIABLES = [3, 2, 1]


def search(nodes, variables=(VARIABLES,), flips=((),), bounds=BOUNDS, parts=None):
    arrays = forge.cut("variables", list(map(list, variables)))
    arrays |= forge.cut("nodes", list(map(list, nodes))) | forge.cut("flips", list(map(list, flips)))
    for name, one in (("bounds", bounds), ("parts", parts)):
        arrays |= {f"{name}/{key}": array for key, array in (one or {}).items()}
    return arrays


def proved(tmp, side, witness, model=MODEL):
    claim = "inf" if side == "upper" else "-inf"
    verdict = check(forge.seal(tmp / "a.cert", *forge.draft(model, (side, "search", claim, witness))))
    assert verdict.accepted, verdict.reason
    return verdict.claims[0].proved


def reason(tmp, side, witness, model=MODEL):
    claim = "99" if side == "upper" else "-99"
    verdict = check(forge.seal(tmp / "a.cert", *forge.draft(model, (side, "search", claim, witness))))
    assert not verdict.accepted
    return verdict.reason


ROOT = [0]
HALF = [1, 1, 0, 0, 0]  # x3 branched, then x2 below x3 = 0
ALL = [1, 1, 1, *[1] * 4, *[2] * 12]


def test_the_root_alone_is_the_mini_bucket_bound(tmp_path):
    whole = proved(tmp_path, "upper", search([ROOT]))
    plain = forge.seal(tmp_path / "b.cert", *forge.draft(MODEL, ("upper", "decomposition", "inf", BOUNDS)))
    assert whole == pytest.approx(check(plain).claims[0].proved, abs=1e-12)
    assert proved(tmp_path, "lower", search([ROOT])) == -math.inf


def test_branching_tightens_and_parts_close(tmp_path):
    bounds = [proved(tmp_path, "upper", search([nodes], parts=REST)) for nodes in (ROOT, [1, 0, 0], HALF, ALL)]
    assert LOG_Z <= bounds[3] <= bounds[2] <= bounds[1] <= bounds[0]
    assert bounds[3] == pytest.approx(LOG_Z, abs=1e-12)
    assert bounds[2] > LOG_Z + 1e-3
    assert proved(tmp_path, "lower", search([ALL], parts=REST)) == pytest.approx(LOG_Z, abs=1e-12)
    some = [*ALL[:7], 0, *[2] * 11]
    low, high = (proved(tmp_path, side, search([some], parts=REST)) for side in ("lower", "upper"))
    assert low < LOG_Z - 1e-6 < LOG_Z + 1e-6 < high


def test_exact_buckets_need_no_parts(tmp_path):
    """Variables 0 and 1 are assigned last to first; what is left, 2 and 3, is in whole buckets."""
    rows: list = [
        (2, 1.0, [1, 2], [], 1),
        (3, 1.0, [3, 4], [], 2),
        (1, 0.5, [], [], 4),
        (1, 0.5, [0], [], 4),
        (0, 1.0, [], [], -1),
    ]
    exact = search([[1, 1, 1, *[0] * 6]], [[0, 1]], bounds=forge.decomposition(KEPT, rows))
    low, high = (proved(tmp_path, side, exact) for side in ("lower", "upper"))
    assert low == pytest.approx(LOG_Z, abs=1e-12)
    assert high == pytest.approx(LOG_Z, abs=1e-12)
    # a shift that is not balanced costs what is missing, on both sides
    rows[2] = (1, 0.5, [], [((1,), np.array([0.5, -0.25, 0.0]))], 4)
    shifted = search([[1, 1, 1, *[0] * 6]], [[0, 1]], bounds=forge.decomposition(KEPT, rows))
    assert proved(tmp_path, "lower", shifted) < LOG_Z < proved(tmp_path, "upper", shifted)


def test_any_tree_is_true(tmp_path):
    """Every tree of depth two, with stops anywhere, bounds log Z; deeper trees bound it no worse."""
    for codes in itertools.product((0, 1), repeat=2):
        nodes = [1, *codes]
        nodes += [0, 0] * sum(codes)
        assert proved(tmp_path, "upper", search([nodes], [[3, 2]])) >= LOG_Z - 1e-12


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([], "breaks off"),
        ([1], "breaks off"),
        ([1, 0], "breaks off"),
        ([0, 0], "beyond"),
        ([1, 0, 0, 0], "beyond"),
        ([2], "cannot have"),
        ([3], "cannot have"),
        ([-1], "cannot have"),
        ([*ALL[:7], *[1] * 12], "cannot have"),
    ],
)
def test_trees_that_are_none(tmp_path, nodes, said):
    for side in ("lower", "upper"):
        assert said in reason(tmp_path, side, search([nodes], parts=REST))


def test_variables_that_cannot_be_assigned(tmp_path):
    assert "depends on a variable" in reason(tmp_path, "upper", search([[0]], [[1]]))
    assert "depends on a variable" in reason(tmp_path, "upper", search([[0]], [[2, 3]]))
    for variables in ([[3, 3]], [[3], [3]], [[9]], [[-1]]):
        said = reason(tmp_path, "upper", search([[0]] * len(variables), variables, [()] * len(variables)))
        assert "twice" in said
    assert "numbers of trees" in reason(tmp_path, "upper", search([[0], [0]]))


def test_parts_need_an_elimination_of_one_tree(tmp_path):
    assert "to be summed" in reason(tmp_path, "upper", search([ALL]))
    split = forge.decomposition(KEPT, MINI)
    assert reason(tmp_path, "lower", search([ALL], parts=split))


def test_no_tree_at_all_proves_only_the_bound_above(tmp_path):
    none = search([], [], [])
    assert proved(tmp_path, "upper", none) >= LOG_Z
    assert proved(tmp_path, "lower", none) == -math.inf


AGREE, SPIN = np.array([[1.0, -1.0], [-1.0, 1.0]]), np.array([1.0, -1.0])
EDGES, COUPLINGS = [(0, 1), (0, 2), (1, 2), (2, 3)], [0.7, 1.1, -0.4, 0.3]


def magnet(fields=(0.0,) * 4):
    logs = [J * AGREE for J in COUPLINGS] + [h * SPIN for h in fields]
    log_z = forge.enumerate_log_z([2] * 4, [*EDGES, *((i,) for i in range(4))], logs)
    return forge.ising_model(EDGES, COUPLINGS, fields), log_z


PLUS_MINUS = [[0, 1]] * 4
MAGNET_ROWS: list = [
    (0, 0.5, [0, 4], [], 2),
    (0, 0.5, [1], [], 3),
    (1, 1.0, [2, 5], [], 3),
    (2, 1.0, [3, 6], [], 4),
    (3, 1.0, [7], [], -1),
]


def halved(flips, nodes=(1, 1, 1, 1, 0, 0, 0, 0)):
    """x3, x2 and x1 assigned; x3 in its first state only."""
    bounds = forge.decomposition(PLUS_MINUS, MAGNET_ROWS)
    rest = forge.decomposition(PLUS_MINUS, [(0, 1.0, [0, 1, 4], [], -1)])
    codes = [*nodes[:4], *[2] * 4] if nodes[-1] == 0 else list(nodes)
    return search([codes], [[3, 2, 1]], [flips], bounds, rest)


def test_half_is_enough_where_exchanging_states_changes_nothing(tmp_path):
    model, log_z = magnet()
    for side in ("lower", "upper"):
        assert proved(tmp_path, side, halved([0, 1, 2, 3]), model) == pytest.approx(log_z, abs=1e-12)


def test_half_is_not_enough_elsewhere(tmp_path):
    tilted, _ = magnet((0.0, 1e-300, 0.0, 0.0))
    assert "not the same" in reason(tmp_path, "lower", halved([0, 1, 2, 3]), tilted)
    model, _ = magnet()
    assert "not the same" in reason(tmp_path, "lower", halved([3]), model)
    assert "first variable" in reason(tmp_path, "lower", halved([0, 1, 2]), model)
    observed = (model[0], model[1] | {"evidence": np.array([[0, 1]], np.int64)})
    assert "observed" in reason(tmp_path, "upper", halved([0, 1, 2, 3]), observed)
    for flips in ([0, 1, 2, 3, 9], [-1, 0, 1, 2, 3]):
        assert "two kept states" in reason(tmp_path, "upper", halved(flips), model)
    assert "two trees exchange" in reason(tmp_path, "upper", halved([3, 3, 0, 1, 2]), model)


def test_parts_keep_the_states_that_were_compared(tmp_path):
    """Symmetric in the first two states of every variable; the third weighs much, but only on one side."""
    table = np.zeros((3, 3))
    table[2] = [5.0, 0.0, 0.0]
    model = forge.tables_model([3, 3], [(0, 1)], [table])
    two = [[0, 1], [0, 1]]
    bounds = forge.decomposition(two, [(0, 0.5, [0], [], 2), (0, 0.5, [], [], -1), (1, 1.0, [], [], -1)])
    rest = forge.decomposition([[0, 1, 2], [0, 1]], [(0, 1.0, [0], [], -1)])
    forged = search([[1, 2]], [[1]], [[0, 1]], bounds, rest)
    assert "other states" in reason(tmp_path, "lower", forged, model)
    rest = forge.decomposition(two, [(0, 1.0, [0], [], -1)])
    low = proved(tmp_path, "lower", search([[1, 2]], [[1]], [[0, 1]], bounds, rest), model)
    assert low == pytest.approx(math.log(4.0))


@pytest.mark.parametrize("name", ["variables", "nodes", "flips", "bounds/kept", "bounds/weight", "parts/variable"])
@pytest.mark.parametrize("how", ["gone", "type", "shape", "short"])
def test_arrays_of_another_form(tmp_path, name, how):
    witness = search([ALL], parts=REST)
    found = witness.pop(name)
    other = {"type": found.astype(np.int16), "shape": found[None], "short": found[:-1]}
    if how != "gone" and not (how == "short" and not found.size):
        witness[name] = other[how]
    reason(tmp_path, "upper", witness)


def test_work_is_limited(tmp_path):
    path = forge.seal(tmp_path / "a.cert", *forge.draft(MODEL, ("upper", "search", "99", search([ALL], parts=REST))))
    verdict = check(path, work=100)
    assert not verdict.accepted
    assert "--work" in verdict.reason

"""Every way to lie that we could think of: the checker must say no, and say why, in one line."""

import json
import zipfile

import forge
import numpy as np
import pytest

from calipers_check import Unreadable, check
from calipers_check.__main__ import main

SIZES, SCOPES = [2, 3, 2, 2], [(0, 1), (1, 2), (2, 3), (0, 3), (1,)]
RNG = np.random.default_rng(3)
LOGS = [RNG.normal(size=[SIZES[v] for v in scope]) for scope in SCOPES]
LOGS[0][0, 2] = -np.inf
EVIDENCE = [(3, 1)]
LOG_Z = forge.enumerate_log_z(SIZES, SCOPES, LOGS, EVIDENCE)
KEPT = [[0, 1], [0, 1, 2], [0, 1], [1]]
EXACT = [(0, 1.0, [0, 3], [], 1), (1, 1.0, [1, 4], [], 2), (2, 1.0, [2], [], -1)]
SHIFT = [0.2, -0.1, 0.3]
MINI = [
    (1, 0.6, [0], [((1,), SHIFT)], 2),
    (1, 0.4, [1, 4], [((1,), [-x for x in SHIFT])], 3),
    (0, 1.0, [3], [], -1),
    (2, 1.0, [2], [], -1),
]
TRIAL = [([0], [((0,), [0.1, -0.2])]), ([1, 2], [])]


def model(evidence=EVIDENCE, beta=1.0):
    return forge.tables_model(SIZES, SCOPES, LOGS, evidence, beta)


def proved(side, kind, witness, m=None, *, folder):
    """The bound that the checker itself draws from a witness."""
    path = forge.seal(
        folder / "probe.cert", *forge.draft(m or model(), (side, kind, "inf" if side == "upper" else "-inf", witness))
    )
    verdict = check(path)
    assert verdict.accepted, verdict.reason
    return verdict.claims[0].proved


def reason(tmp_path, *claims, m=None):
    path = forge.seal(tmp_path / "forged.cert", *forge.draft(m or model(), *claims))
    verdict = check(path)
    assert not verdict.accepted
    assert verdict.reason
    assert "\n" not in verdict.reason
    assert main([str(path)]) == 4
    return verdict.reason


def upper(buckets, claim="9", kept=KEPT):
    return "upper", "decomposition", claim, forge.decomposition(kept, buckets)


def replaced(buckets, place, **changes):
    names = ("variable", "weight", "factors", "extra", "parent")
    rows = [list(row) for row in buckets]
    for name, value in changes.items():
        rows[place][names.index(name)] = value
    return rows


def test_honest_certificates_are_accepted(tmp_path):
    lower = proved("lower", "tangent", forge.tangent([[0, 1], [0, 1], [0, 1], [1]], TRIAL), folder=tmp_path)
    high = proved("upper", "decomposition", forge.decomposition(KEPT, MINI), folder=tmp_path)
    exact = forge.decomposition(KEPT, EXACT)
    low, top = (
        proved("lower", "decomposition", exact, folder=tmp_path),
        proved("upper", "decomposition", exact, folder=tmp_path),
    )
    assert lower < LOG_Z < high
    assert low == pytest.approx(LOG_Z, abs=1e-13)
    assert low <= top <= low + 1e-15


@pytest.mark.parametrize("nudge", [1e-15, 1e-9, 1.0, 1e300])
def test_claims_beyond_the_witness(tmp_path, nudge):
    exact = forge.decomposition(KEPT, EXACT)
    nudge = max(nudge, 4 * float(np.spacing(LOG_Z)))
    assert "does not follow" in reason(tmp_path, ("upper", "decomposition", repr(LOG_Z - nudge), exact))
    assert "does not follow" in reason(tmp_path, ("lower", "decomposition", repr(LOG_Z + nudge), exact))


def test_one_false_claim_spoils_the_file(tmp_path):
    exact = forge.decomposition(KEPT, EXACT)
    good, bad = ("lower", "decomposition", "-50", exact), ("upper", "decomposition", "-50", exact)
    assert "does not follow" in reason(tmp_path, good, bad)


def test_changed_shares_are_other_bounds_not_errors(tmp_path):
    """Any shares that add up to zero are valid; what misses from zero is charged to the bound."""
    honest = proved("upper", "decomposition", forge.decomposition(KEPT, MINI), folder=tmp_path)
    other = replaced(MINI, 0, extra=[((1,), [5.0, -4.0, 3.0])])
    changed = proved("upper", "decomposition", forge.decomposition(KEPT, other), folder=tmp_path)
    assert changed > honest
    assert "does not follow" in reason(tmp_path, upper(other, repr(honest)))
    assert changed >= LOG_Z


def test_extra_tables_cannot_lower_a_bound(tmp_path):
    low = replaced(MINI, 0, extra=[((1,), [-50.0, -50.0, -50.0])])
    assert proved("upper", "decomposition", forge.decomposition(KEPT, low), folder=tmp_path) >= LOG_Z
    assert "forbid" in reason(tmp_path, upper(replaced(MINI, 0, extra=[((1,), [-np.inf, 0, 0])])))


@pytest.mark.parametrize("weight", [-0.5, 0.0, -0.0, np.nan, np.inf, -np.inf])
def test_weights(tmp_path, weight):
    assert "weights are positive" in reason(tmp_path, upper(replaced(MINI, 0, weight=weight)))


def test_weights_that_do_not_add_up_are_completed(tmp_path):
    small = replaced(replaced(MINI, 0, weight=1e-3), 1, weight=1e-3)
    assert proved("upper", "decomposition", forge.decomposition(KEPT, small), folder=tmp_path) >= LOG_Z


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_extra_tables_that_are_no_numbers(tmp_path, value):
    assert "NaN" in reason(tmp_path, upper(replaced(MINI, 0, extra=[((1,), [value, 0, 0])])))
    witness = forge.tangent(KEPT, [([0, 1, 2], [((0,), [0, value])])])
    assert "NaN" in reason(tmp_path, ("lower", "tangent", "-9", witness))


def test_factor_listed_twice(tmp_path):
    assert "listed already" in reason(tmp_path, upper(replaced(MINI, 2, factors=[3, 3])))
    assert "listed already" in reason(tmp_path, upper(replaced(EXACT, 1, factors=[1, 4, 0])))


def test_factor_left_out_counts_as_its_maximum(tmp_path):
    without = forge.decomposition(KEPT, replaced(EXACT, 1, factors=[1]))
    assert proved("upper", "decomposition", without, folder=tmp_path) > LOG_Z
    assert proved("lower", "decomposition", without, folder=tmp_path) < LOG_Z
    assert "does not follow" in reason(tmp_path, upper(replaced(EXACT, 1, factors=[1]), repr(LOG_Z + 1e-9)))


@pytest.mark.parametrize("parent", [-1, -2, 0, 7, 2**40])
def test_messages_that_get_lost(tmp_path, parent):
    assert "lost" in reason(tmp_path, upper(replaced(EXACT, 0, parent=parent)))


def test_messages_to_the_same_variable_or_too_far(tmp_path):
    assert "lost" in reason(tmp_path, upper(replaced(MINI, 0, parent=1)))
    assert "eliminated earlier" in reason(tmp_path, upper(replaced(EXACT, 0, parent=2)))


def test_variable_eliminated_too_early(tmp_path):
    swapped = [EXACT[1], EXACT[0], EXACT[2]]
    assert "eliminated earlier" in reason(tmp_path, upper([(*row[:4], min(i + 1, 2)) for i, row in enumerate(swapped)]))


def test_variable_never_eliminated(tmp_path):
    assert "never" in reason(tmp_path, upper(replaced(EXACT[:2], 1, parent=-1)))


def test_buckets_of_one_variable_apart(tmp_path):
    apart = [MINI[0], (0, 1.0, [3], [], -1), (1, 0.4, [1, 4], [], 3), MINI[3]]
    assert "stand together" in reason(tmp_path, upper(replaced(apart, 0, parent=1)))


@pytest.mark.parametrize(
    "kept", [[[0, 1], [0, 1], [0, 1], [1]], [[0, 1], [0, 1, 2], [0, 1], [0]], [[], [0, 1, 2], [0, 1], [1]]]
)
def test_possible_states_dropped_above(tmp_path, kept):
    assert "drops state" in reason(tmp_path, upper([], kept=kept))


@pytest.mark.parametrize(
    "kept", [[[1, 0], [0], [0], [1]], [[0, 0], [0], [0], [1]], [[0, 2], [0], [0], [1]], [[-1], [0], [0], [1]], [[0]]]
)
def test_states_that_are_none(tmp_path, kept):
    assert "witness" in reason(tmp_path, upper([], kept=kept))
    assert "witness" in reason(tmp_path, ("lower", "tangent", "-9", forge.tangent(kept, [])))


def test_evidence_below(tmp_path):
    free = [[0, 1], [0, 1], [0, 1], [0, 1]]
    assert "evidence" in reason(tmp_path, ("lower", "tangent", "-9", forge.tangent(free, [])))
    assert "evidence" in reason(tmp_path, ("lower", "decomposition", "-9", forge.decomposition(free, [])))


def test_evidence_dropped_or_changed(tmp_path):
    claims = [
        ("lower", "decomposition", repr(LOG_Z - 1e-9), forge.decomposition(KEPT, EXACT)),
        upper(EXACT, repr(LOG_Z + 1e-9)),
    ]
    assert "drops state" in reason(tmp_path, claims[1], m=model(evidence=[]))
    assert "rules out" in reason(tmp_path, claims[0], m=model(evidence=[(3, 0)]))


def test_other_beta_or_model(tmp_path):
    claim = upper(EXACT, repr(LOG_Z + 1e-9))
    assert "does not follow" in reason(tmp_path, claim, m=model(beta=1.1))
    higher = [LOGS[0] + 0.01, *LOGS[1:]]
    assert "does not follow" in reason(tmp_path, claim, m=forge.tables_model(SIZES, SCOPES, higher, EVIDENCE))


def test_zero_mass_gets_no_trial_mass(tmp_path):
    """A trial that reaches a zero of a factor across blocks proves nothing."""
    reaching = forge.tangent(KEPT, [([0], []), ([1, 2], [])])
    assert "-inf" in reason(tmp_path, ("lower", "tangent", "-99", reaching))
    inside = forge.tangent(KEPT, [([0, 1], []), ([2], [])])
    assert proved("lower", "tangent", inside, folder=tmp_path) < LOG_Z


def test_tangent_structure(tmp_path):
    def low(blocks):
        return "lower", "tangent", "-99", forge.tangent([[0, 1], [0, 1], [0, 1], [1]], blocks)

    assert "two blocks" in reason(tmp_path, low([([0], []), ([0, 1], [])]))
    assert "outside" in reason(tmp_path, low([([0], [((1,), [0.0, 0.0])])]))
    assert "repeated" in reason(tmp_path, low([([0], [((0, 0), np.zeros((2, 2)))])]))
    assert "does not have" in reason(tmp_path, low([([9], [])]))
    assert "from below only" in reason(tmp_path, ("upper", "tangent", "99", low([])[3]))


def test_decomposition_from_below_must_be_exact(tmp_path):
    witness = forge.decomposition(KEPT, MINI)
    assert "one bucket a variable" in reason(tmp_path, ("lower", "decomposition", "-99", witness))


@pytest.mark.parametrize("array", ["variable", "parent", "factors", "scopes"])
@pytest.mark.parametrize("value", [-1, 2**62, -(2**63), 77])
def test_numbers_out_of_range(tmp_path, array, value):
    witness = forge.decomposition(KEPT, MINI)
    witness[array] = np.full_like(witness[array], value)
    reason(tmp_path, ("upper", "decomposition", "9", witness))


@pytest.mark.parametrize("array", sorted(forge.decomposition(KEPT, MINI)))
@pytest.mark.parametrize("how", ["gone", "type", "shape", "short", "empty"])
def test_arrays_of_another_form(tmp_path, array, how):
    witness = forge.decomposition(KEPT, MINI)
    found = witness.pop(array)
    other = {"type": found.astype(np.int16), "shape": found[None], "short": found[:-1], "empty": found[:0]}
    if how != "gone":
        witness[array] = other[how]
    reason(tmp_path, ("upper", "decomposition", "9", witness))


def test_huge_tables_are_refused_before_they_are_made(tmp_path):
    n = 60
    edges = [(i, j) for i in range(n) for j in range(i + 1, n)]
    m = forge.ising_model(edges, np.ones(len(edges)), np.zeros(n))
    star = [[v for v in range(len(edges)) if edges[v][0] == i] for i in range(n)]
    buckets = [(i, 1.0, star[i], [], i + 1 if i + 1 < n else -1) for i in range(n)]
    witness = forge.decomposition([[0, 1]] * n, buckets)
    assert "2^24" in reason(tmp_path, ("upper", "decomposition", "9e9", witness), m=m)
    trial = forge.tangent([[0, 1]] * n, [(list(range(n)), [])])
    assert "2^24" in reason(tmp_path, ("lower", "tangent", "-9e9", trial), m=m)
    wide = forge.cut("scopes", [list(range(n))]) | {"values": np.zeros(3), "extra_start": np.array([0, 1])}
    assert "shorter" in reason(
        tmp_path, ("lower", "tangent", "-9", forge.tangent([[0, 1]] * n, [([0], [])]) | wide), m=m
    )


@pytest.mark.parametrize(
    "claim", ["", "nan", "1 +/- 9", "[1 +/- 9]", "1e99999", "0x1p3", "1_0", "１", None, 3, ["1"], "1" * 500]
)
def test_claims_that_are_no_numbers(tmp_path, claim):
    header, arrays = forge.draft(model(), upper(EXACT))
    header["claims"][0]["claim"] = claim
    assert "decimal" in check(forge.seal(tmp_path / "a.cert", header, arrays)).reason


@pytest.mark.parametrize(
    ("key", "value"),
    [("side", "both"), ("kind", "statistical"), ("kind", []), ("side", {}), ("assumptions", ["J ≥ 0"]), ("witness", 7)],
)
def test_claims_of_unknown_sorts(tmp_path, key, value):
    header, arrays = forge.draft(model(), upper(EXACT))
    header["claims"][0][key] = value
    assert not check(forge.seal(tmp_path / "a.cert", header, arrays)).accepted


@pytest.mark.parametrize("claims", [[], None, {}, [1], "x"])
def test_no_claim(tmp_path, claims):
    header, arrays = forge.draft(model())
    header["claims"] = claims
    assert not check(forge.seal(tmp_path / "a.cert", header, arrays)).accepted


def test_terminal_tricks_in_names(tmp_path, capsys):
    header, arrays = forge.draft(model(), upper(EXACT))
    header["claims"][0]["method"] = "x\x1b[2J\naccepted"
    assert main([str(forge.seal(tmp_path / "a.cert", header, arrays))]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path):
    path = forge.seal(tmp_path / "a.cert", *forge.draft(model(), upper(EXACT, repr(LOG_Z + 1e-9))))
    data, noticed = path.read_bytes(), 0
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x24]) + data[place + 1 :])
        try:
            verdict = check(path)
        except Unreadable:
            noticed += 1
            continue
        noticed += not verdict.accepted
        assert verdict.accepted is False or float(verdict.claims[0].claim) >= LOG_Z
    assert noticed > len(data) // 7 / 2


def test_flipped_byte_in_an_array(tmp_path):
    header, arrays = forge.draft(model(), upper(EXACT))
    path = forge.seal(tmp_path / "a.cert", header, arrays)
    with zipfile.ZipFile(path) as archive:
        sealed = json.loads(archive.read("header.json"))
    values = arrays["model/values"].copy()
    values.view(np.uint8)[3] ^= 1
    verdict = check(forge.pack(path, json.dumps(sealed), arrays | {"model/values": values}))
    assert "SHA-256" in verdict.reason


def test_model_that_is_not_the_one_hashed(tmp_path):
    header, arrays = forge.draft(model(), upper(EXACT))
    header["model"] |= {"parts": {name[6:]: "0" for name in arrays if name.startswith("model/")}, "sha256": "0"}
    assert "SHA-256" in check(forge.seal(tmp_path / "a.cert", header, arrays, rehash_model=False)).reason


def test_truncated_archives(tmp_path):
    path = forge.seal(tmp_path / "a.cert", *forge.draft(model(), upper(EXACT)))
    data = path.read_bytes()
    for length in (0, 1, 3, 10, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert main([str(path)]) in (4, 5)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"\x89HDF", b"PK", b"{}"])
def test_other_files_are_unreadable(tmp_path, content):
    path = tmp_path / "a.cert"
    path.write_bytes(content)
    with pytest.raises(Unreadable):
        check(path)
    assert main([str(path)]) == 5


@pytest.mark.parametrize(
    "header", ["", "{", "[]", "3", "{}", '{"format": 2}', '{"format": true}', '{"format": "1"}', "[" * 10**5]
)
def test_headers_of_another_kind_are_unreadable(tmp_path, header):
    assert main([str(forge.pack(tmp_path / "a.cert", header, {}))]) == 5


def test_missing_paths_are_unreadable(tmp_path, capsys):
    assert main([str(tmp_path / "none.cert")]) == 5
    assert main([str(tmp_path)]) == 5
    assert "Traceback" not in capsys.readouterr().err


def test_zip_bomb(tmp_path):
    path = tmp_path / "a.cert"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", '{"format": 1}')
        with archive.open("bomb.npy", "w", force_zip64=True) as entry:
            for _ in range(600):
                entry.write(bytes(2**20))
    with pytest.raises(Unreadable, match="unpacks"):
        check(path)


def test_array_that_claims_a_huge_shape(tmp_path):
    header = {"format": 1, "sha256": {"model/x": "0"}}
    npy = (
        b"\x93NUMPY\x01\x00v\x00"
        + str({"descr": "<f8", "fortran_order": False, "shape": (10**14,)}).encode().ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(tmp_path / "a.cert", "w") as archive:
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("model/x.npy", npy)
    assert "shape" in check(tmp_path / "a.cert").reason

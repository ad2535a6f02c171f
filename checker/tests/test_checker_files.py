"""Tying a certificate to the user's own files, and the command line around it."""

import gzip
import json
import subprocess
import sys

import forge
import numpy as np
import pytest

from calipers_check import Unreadable, check
from calipers_check.__main__ import main

UAI = "MARKOV 2 2 3 2 2 0 1 1 1 6 1 .5 0.25 3 0 2 3 1e0 1 2"
EVIDENCE = [(1, 0)]
LOGS = [np.log(np.array([[1, 0.5, 0.25], [3, 1e-300, 2]])), np.log(np.array([1.0, 1, 2]))]
LOGS[0][1, 1] = -np.inf
EXACT = [(0, 1.0, [0], [], 1), (1, 1.0, [1], [], -1)]
EDGES, COUPLINGS, FIELDS = [(0, 1), (1, 2)], [0.3, -1.1], [0.2, 0.0, -0.4]


def uai_certificate(path, evidence=(), beta=1.0, embed=True):
    log_z = forge.enumerate_log_z([2, 3], [(0, 1), (1,)], LOGS, evidence, beta)
    kept = [[0, 1], [0]] if evidence else [[0, 1], [0, 1, 2]]
    witness = forge.decomposition(kept, EXACT)
    claims = [(side, "decomposition", repr(log_z + d), witness) for side, d in (("lower", -1e-9), ("upper", 1e-9))]
    return sealed(path, forge.draft(forge.uai_model(UAI, evidence, beta), *claims), embed)


def ising_certificate(path, beta=0.7):
    spin = np.array([1.0, -1.0])
    logs = [J * np.outer(spin, spin) for J in COUPLINGS] + [H * spin for H in FIELDS]
    log_z = forge.enumerate_log_z([2, 2, 2], [*EDGES, (0,), (1,), (2,)], logs, (), beta)
    witness = forge.decomposition(
        [[0, 1]] * 3, [(0, 1.0, [0, 2], [], 1), (1, 1.0, [1, 3], [], 2), (2, 1.0, [4], [], -1)]
    )
    claims = [(side, "decomposition", repr(log_z + d), witness) for side, d in (("lower", -1e-9), ("upper", 1e-9))]
    return sealed(path, forge.draft(forge.ising_model(EDGES, COUPLINGS, FIELDS, beta), *claims), True)


def sealed(path, drafted, embed):
    header, arrays = drafted
    path = forge.seal(path, header, arrays)
    if embed:
        return path
    forge.seal(path, header, arrays)
    parts = {name[6:]: forge.digest(array) for name, array in arrays.items() if name.startswith("model/")}
    lines = [header["model"]["kind"], *(f"{name} {parts[name]}" for name in sorted(parts))]
    sha = forge.hashlib.sha256("\n".join(lines).encode()).hexdigest()
    header["model"] |= {"parts": parts, "sha256": sha}
    bare = {name: array for name, array in arrays.items() if not name.startswith("model/")}
    return forge.seal(path, header, bare, rehash_model=False)


@pytest.fixture
def uai(tmp_path):
    path = tmp_path / "m.uai"
    path.write_text("markov\n2\n2 3\n2\n2 0 1\n1 1\n\n6\n1 .5 0.25\n3 0 2\n\n3\n 1e0 1 2\n trailing words\n")
    return path


def test_white_space_and_trailing_words_do_not_matter(tmp_path, uai):
    cert = uai_certificate(tmp_path / "a.cert")
    assert check(cert).about == "the embedded model"
    verdict = check(cert, model=uai)
    assert verdict.accepted, verdict.reason
    assert verdict.about == str(uai)
    packed = tmp_path / "m.uai.gz"
    packed.write_bytes(gzip.compress(uai.read_bytes()))
    assert check(cert, model=packed).accepted


@pytest.mark.parametrize("text", ["1 1 0", "1 1 1 0", "1=0"])
def test_evidence(tmp_path, uai, text):
    source = tmp_path / "m.evid"
    source.write_text(text)
    cert = uai_certificate(tmp_path / "a.cert", EVIDENCE)
    assert check(cert, uai, text if "=" in text else source).accepted
    assert "evidence" in check(cert, uai).reason
    assert "evidence" in check(cert, uai, "1=1").reason
    assert "evidence" in check(uai_certificate(tmp_path / "b.cert"), uai, "1=0").reason


@pytest.mark.parametrize("text", ["0", "1 0"])
def test_no_evidence(tmp_path, uai, text):
    source = tmp_path / "m.evid"
    source.write_text(text)
    assert check(uai_certificate(tmp_path / "a.cert"), uai, source).accepted


@pytest.mark.parametrize("text", ["", "2 1 0", "1 1", "x", "1 1 -1", "1 9 0", "1 1 9", "2 1 0 1 1", "3 1 0"])
def test_bad_evidence_is_unreadable(tmp_path, uai, text):
    source = tmp_path / "m.evid"
    source.write_text(text)
    cert = uai_certificate(tmp_path / "a.cert")
    assert main([str(cert), "--model", str(uai), "--evidence", str(source)]) == 5


def test_other_tables(tmp_path, uai):
    uai.write_text(uai.read_text().replace("0.25", "0.2500001"))
    verdict = check(uai_certificate(tmp_path / "a.cert"), uai)
    assert not verdict.accepted
    assert "model differs" in verdict.reason


def test_beta_must_be_asked_for(tmp_path, uai):
    cert = uai_certificate(tmp_path / "a.cert", beta=0.5)
    assert check(cert).accepted
    assert "beta" in check(cert, uai).reason
    assert check(cert, uai, beta=0.5).accepted


def test_without_the_model_inside(tmp_path, uai):
    cert = uai_certificate(tmp_path / "a.cert", embed=False)
    assert "--model" in check(cert).reason
    assert check(cert, uai).accepted
    uai.write_text(uai.read_text().replace("0.25", "0.26"))
    assert "model differs" in check(cert, uai).reason


def test_ising_arrays_in_any_order(tmp_path):
    cert = ising_certificate(tmp_path / "a.cert")
    np.savez(tmp_path / "m.npz", edges=[(2, 1), (1, 0)], couplings=[-1.1, 0.3], fields=FIELDS, beta=0.7)
    assert check(cert, tmp_path / "m.npz").accepted
    np.savez(tmp_path / "m.npz", edges=[(2, 1), (1, 0)], couplings=[-1.1, 0.3], fields=FIELDS, beta=0.8)
    assert "beta" in check(cert, tmp_path / "m.npz").reason
    np.savez(tmp_path / "m.npz", edges=[(2, 1), (1, 0), (0, 1)], couplings=[-1.1, 0.3, 1], fields=FIELDS, beta=0.7)
    assert "couplings" in check(cert, tmp_path / "m.npz").reason
    assert "kind" in check(uai_certificate(tmp_path / "b.cert"), tmp_path / "m.npz").reason


def test_sparse_matrix(tmp_path):
    cert = sealed(
        tmp_path / "a.cert",
        forge.draft(
            forge.ising_model([(0, 1), (1, 2)], [2.0, -1.0], np.zeros(3)),
            ("upper", "decomposition", "9", forge.decomposition([[0, 1]] * 3, [])),
        ),
        True,
    )
    sparse = {
        "format": np.array(b"csr"),
        "shape": [3, 3],
        "indptr": [0, 1, 3, 3],
        "indices": [1, 0, 2],
        "data": [2, 2, -1],
    }
    np.savez(tmp_path / "m.npz", **sparse)
    verdict = check(cert, tmp_path / "m.npz")
    assert verdict.accepted, verdict.reason
    coo = {"format": np.array(b"coo"), "shape": [3, 3], "row": [1, 0], "col": [2, 1], "data": [-1, 2]}
    np.savez(tmp_path / "m.npz", **coo)
    assert check(cert, tmp_path / "m.npz").accepted


BAD_NPZ = [
    {},
    {"edges": [[0, 0]], "couplings": [1.0], "fields": [0.0]},
    {"edges": [[0, 7]], "couplings": [1.0], "fields": [0.0]},
    {"edges": [[0, 1]], "couplings": [1.0, 2.0], "fields": [0.0, 0.0]},
    {"edges": [[0, 1]], "couplings": [np.nan], "fields": [0.0, 0.0]},
    {"edges": ["a"], "couplings": [1.0], "fields": [0.0]},
    {"format": np.array(b"dia"), "shape": [2, 2]},
]


@pytest.mark.parametrize("arrays", BAD_NPZ)
def test_bad_npz_is_unreadable(tmp_path, arrays):
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(Unreadable):
        check(ising_certificate(tmp_path / "a.cert"), tmp_path / "m.npz")


@pytest.mark.parametrize("name", ["none.uai", "none.npz", ".", "empty.uai", "empty.npz", "short.uai"])
def test_bad_model_paths_are_unreadable(tmp_path, name, capsys):
    for path, text in (("empty.uai", ""), ("empty.npz", ""), ("short.uai", UAI[:-4])):
        (tmp_path / path).write_text(text)
    cert = uai_certificate(tmp_path / "a.cert")
    assert main([str(cert), "--model", str(tmp_path / name)]) == 5
    assert capsys.readouterr().err.count("\n") == 1


def test_json(tmp_path, capsys):
    assert main([str(uai_certificate(tmp_path / "a.cert")), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["accepted"]
    assert [c["side"] for c in document["claims"]] == ["lower", "upper"]


def test_usage(capsys):
    with pytest.raises(SystemExit) as error:
        main(["a.cert", "--evidence", "1=0"])
    assert error.value.code == 2
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "examples:" in capsys.readouterr().out


def test_it_stands_alone(tmp_path):
    """The command imports neither the library whose answers it checks, nor jax."""
    cert = uai_certificate(tmp_path / "a.cert")
    code = (
        "import sys; from calipers_check.__main__ import main; code = main(sys.argv[1:]);"
        "assert not {'calipers', 'jax', 'scipy', 'numba'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(cert)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "accepted" in done.stdout

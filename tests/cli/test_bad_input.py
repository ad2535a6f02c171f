"""Whatever comes in, one clear line comes out, with the right exit code and no traceback."""

import gzip
import resource

import pytest

GOOD = "MARKOV\n2\n2 2\n1\n2 0 1\n4 1 2 3 4\n"

OPTIONS = [
    ["--gap", "-1"], ["--gap", "nan"], ["--gap", "wide"], ["--time-limit", "0"], ["--time-limit", "nan"],
    ["--delta", "2"], ["--delta", "-0.1"], ["--delta", "1"], ["--method", "Foo()"], ["--method", "__import__('os')"],
    ["--method", "MiniBucket(ibound=-3)"], ["--method", "MiniBucket(sweeps=1.5)"], ["--method", ""], ["--beta", "nan"],
    ["--beta", "-1"], ["--beta", "inf"], ["--T", "0"], ["--T", "-2"], ["--T", "nan"], ["--T", "1", "--beta", "1"],
    ["--seed", "-1"], ["--seed", "x"], ["--threads", "0"], ["--memory", "0"], ["--memory", "nan"], ["--log", "loud"],
    ["--format", "xml"], ["-o", "x"], ["--format", "uai", "-o", "/no/such/folder/x"],
    ["--certificate", "/no/such/folder/x"], ["--certificate", "/"],
    ["--nonsense"], ["extra"], ["--evidence", "3=x,"], ["--evidence", "=1"],
]  # fmt: skip


def complaint(done, code):
    """The one line."""
    assert done.code == code, (done.out, done.err)
    assert done.err.startswith("calipers: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    assert "internal error" not in done.err
    assert done.out == ""
    return done.err


@pytest.mark.parametrize("words", OPTIONS, ids=" ".join)
def test_bad_options(run, words):
    complaint(run("logz", "square:3x3", *words), 2)


@pytest.mark.parametrize(
    "spec",
    [
        "square:", "square:axb", "square:0x3", "square:-1x3", "square:3x3,T=0", "square:3x3,T=nan", "square:3x3,J=",
        "square:3x3,foo=1", "square:3x3,T=1,beta=1", "square:3x3,T=1,T=2", "square:999999999x999999999", "squaer:3x3",
        "regular:3,n=5", "regular:3,n=2", "sk:", "sk:1e9", "square:3x3,seed=-1", "square:3x3,h=gauss:x",
    ],
)  # fmt: skip
def test_bad_specs(run, spec):
    complaint(run("logz", spec), 2)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", ""), ("MARKOVIAN\n1\n2\n0\n", ":1:"), ("MARKOV\n2\n2 2\n1\n2 0 1\n4 0.1 0.2", ""),
        ("MARKOV\n1\n2\n1\n1 0\n2 -1 0.5\n", ":6:"), ("MARKOV\n1\n2\n1\n1 0\n2 nan 0.5\n", ":6:"),
        ("MARKOV\n1\n2\n1\n1 0\n2 1e999 0.5\n", ""), ("MARKOV\n2\n2 2\n1\n2 0 1\n3 1 1 1\n", ":6:"),
        ("MARKOV\n2\n2 2\n1\n2 0 7\n4 1 1 1 1\n", ":5:"), ("MARKOV\n2\n2 2\n1\n2 0 0\n4 1 1 1 1\n", ":5:"),
        ("MARKOV\n99999999999999999999999999\n2\n1\n1 0\n2 1 1\n", ":2:"),
        ("MARKOV\n1\n4000000000\n1\n1 0\n2 1 1\n", ""),
        ("MARKOV\n1\n2\n4000000000\n1 0\n2 1 1\n", ""), ("MARKOV\n1\n2\n1\n1 0\n4000000000 1 1\n", ""),
        ("MARKOV\n1\n0\n0\n", ":3:"), ("MARKOV\n1\n2.5\n0\n", ":3:"), ("\x00\x01\x02", ""), ("MARKOV", ""),
    ],
)  # fmt: skip
def test_bad_files(run, uai, text, where):
    path = uai(text)
    assert f"{path}{where}" in complaint(run("logz", path, "--json"), 5)


def test_memory_stays_bounded(run, uai):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run("logz", uai("MARKOV\n3\n90000 90000 90000\n1\n3 0 1 2\n729000000000000 1 1\n"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_things_that_are_no_files(run, tmp_path):
    (tmp_path / "folder.uai").mkdir()
    for name in ("folder.uai", "missing.uai", "missing.npz", "missing.json", "missing"):
        complaint(run("logz", str(tmp_path / name)), 5)
    (tmp_path / "notes.txt").write_text(GOOD)
    complaint(run("logz", str(tmp_path / "notes.txt")), 5)


def test_a_truncated_gzip(run, tmp_path):
    whole = gzip.compress((GOOD * 50).encode())
    for name, data in {
        "cut.uai.gz": whole[: len(whole) // 2],
        "plain.uai.gz": GOOD.encode(),
        "none.uai.gz": b"",
    }.items():
        (tmp_path / name).write_bytes(data)
        if name != "plain.uai.gz":
            complaint(run("logz", str(tmp_path / name)), 5)


@pytest.mark.parametrize("name", ["bad.npz", "bad.json"])
@pytest.mark.parametrize(
    "data", [b"", b"{}", b"PK\x03\x04nonsense", b"\xff" * 100, b'{"type": "BinaryQuadraticModel"}']
)
def test_bad_magnets(run, tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    complaint(run("logz", str(tmp_path / name)), 5)


@pytest.mark.parametrize("evidence", ["9=0", "0=5", "0=0,0=1"])
def test_bad_evidence(run, uai, evidence):
    complaint(run("logz", uai(GOOD), "--evidence", evidence), 5)


@pytest.mark.parametrize("text", ["1 9 0", "1 0 5", "2 0 0", "x", "2 0 0 0 1", "-1", "1 0 0 7"])
def test_bad_evidence_files(run, uai, text):
    complaint(run("logz", uai(GOOD), "--evidence", uai(text, "bad.evid")), 5)


def test_missing_evidence(run, uai, tmp_path):
    complaint(run("logz", uai(GOOD), "--evidence", str(tmp_path / "missing.evid")), 5)


def test_trailing_words_are_one_warning(run, uai):
    done = run("logz", uai(GOOD + "7 7 7\n"), "--json", "--log", "off")
    assert done.code == 0
    assert done.json["stopped"] == "exact"
    assert done.err.startswith("calipers: warning: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["make", "square:3x3"], ["make", "square:3x3", "-o", "/no/such/folder/x.uai"],
        ["make", "square:3x3", "-o", "x.txt"],
        ["compare"], ["compare", "square:3x3", "--time-limit", "0"], ["sweep", "square:3x3", "--T", "0:1:3"],
        ["sweep", "square:3x3", "--T", "1:2"], ["sweep", "square:3x3", "--T", "1:2:0"],
        ["sweep", "square:3x3", "--beta", "nan"],
        ["sweep", "square:3x3", "--T", "1:2:9999999999"], ["sweep", "square:3x3", "--T", "1", "--beta", "1"],
        ["sweep", "square:3x3", "--T", "1", "--figure", "x.txt"], ["sweep", "square:3x3", "--h", "a"],
        ["sweep", "square:3x3", "--h", "1", "--evidence", "0=0"], ["verify"], ["verify", "x", "--beta", "1"], ["logz"],
        ["lgz", "square:3x3"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_usage_of_the_others(run, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    complaint(run(*words), 2)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_certificate(run, tmp_path):
    complaint(run("verify", str(tmp_path / "missing.cert")), 5)
    complaint(run("verify", str(tmp_path)), 5)


def test_an_unexpected_exception_is_one_line(run, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("calipers.io.load", fail)
    monkeypatch.delenv("CALIPERS_DEBUG", raising=False)
    done = run("logz", "square:3x3")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert done.err.startswith("calipers: internal error: ZeroDivisionError: a b (set CALIPERS_DEBUG=1")

"""Specifications: what they build, how they are printed back, and what is refused."""

import re

import numpy as np
import pytest

from calipers.io.errors import SpecError
from calipers.io.spec import describe, from_spec
from calipers.models.ising import Ising


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("square:64x64,T=2", "square:64x64,J=1,h=0,beta=0.5"),
        ("square:16", "square:16x16,J=1,h=0,beta=1"),
        ("cubic:8x8x8,beta=0.2217", "cubic:8x8x8,J=1,h=0,beta=0.2217"),
        ("cubic:3", "cubic:3x3x3,J=1,h=0,beta=1"),
        (
            "square:16x16,J=pm1,h=gauss:0.1,beta=1,seed=7,open",
            "square:16x16,J=pm1,h=gauss:0.1,beta=1,seed=7,open",
        ),
        (" square : 4x3 , open , J = -1 ", "square:4x3,J=-1,h=0,beta=1,open"),
        ("sk:100,beta=0.5,seed=0", "sk:100,h=0,beta=0.5,seed=0"),
        ("sk:10,h=pm0.5", "sk:10,h=pm0.5,beta=1,seed=0"),
        ("regular:3,n=1000,J=pm1,beta=1,seed=0", "regular:3,n=1000,J=pm1,h=0,beta=1,seed=0"),
        ("triangular:4x5,J=-1.0", "triangular:4x5,J=-1,h=0,beta=1"),
        ("honeycomb:2x3,beta=0", "honeycomb:2x3,J=1,h=0,beta=0"),
        ("chain:7,h=1e-3", "chain:7,J=1,h=0.001,beta=1"),
        ("complete:5,J=gauss:.5,seed=3", "complete:5,J=gauss:0.5,h=0,beta=1,seed=3"),
        ("hypercubic:2x3x2x2", "hypercubic:2x3x2x2,J=1,h=0,beta=1"),
        ("square:4,seed=3", "square:4x4,J=1,h=0,beta=1"),
    ],
)
def test_specs_are_printed_back_in_full(text, full):
    assert describe(text) == full
    assert describe(full) == full
    model, again = from_spec(text), from_spec(full)
    assert model.describe()["spec"] == full
    for name in ("edges", "couplings", "fields", "beta"):
        assert np.array_equal(getattr(model, name), getattr(again, name))


def test_a_spec_builds_what_python_builds():
    spec = from_spec("square:4x5,J=pm1,h=gauss:0.1,T=2.5,seed=7,open")
    model = Ising.square((4, 5), coupling="pm1", field="gauss:0.1", beta=0.4, seed=7, periodic=False)
    assert spec.couplings.tolist() == model.couplings.tolist()
    assert spec.fields.tolist() == model.fields.tolist()
    assert (spec.beta, spec.lattice) == (0.4, model.lattice)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kagome:4", "kinds"),
        ("square", "square:16"),
        ("square:", "square:16"),
        ("regular:", "regular:3,n=100"),
        ("square:4y4", "size '4y4'"),
        ("square:1e3", "size '1e3'"),
        ("square:-4x4", "size '-4x4'"),
        ("square:4.5", "size '4.5'"),
        ("square:٤", "size"),
        ("square:0x4", "side"),
        ("square:4x4x4", "side"),
        ("chain:4x4", "side"),
        ("square:1000000000000", "side"),
        ("square:99999999999999999999", "size"),
        ("square:1000000x1000000", "GB"),
        ("hypercubic:" + "x".join(["100"] * 30), "GB"),
        ("complete:100000000", "GB"),
        ("square:4,T=2,beta=0.5", "T and beta"),
        ("square:4,T=0", "above 0"),
        ("square:4,T=-1", "above 0"),
        ("square:4,T=nan", "above 0"),
        ("square:4,T=1e-320", "above 0"),
        ("square:4,T=inf", "above 0"),
        ("square:4,beta=-1", "0 or above"),
        ("square:4,beta=nan", "0 or above"),
        ("square:4,beta=1e999", "0 or above"),
        ("square:4,beta=1_0", "0 or above"),
        ("square:4,J=nan", "J: expected a number"),
        ("square:4,J=pm", "J: expected a number"),
        ("square:4,h=gauss", "h: expected a number"),
        ("square:4,h=gauss:-1", "h: expected a number"),
        ("square:4,J=1e308,beta=100", "finite"),
        ("square:4,seed=-1", "whole number"),
        ("square:4,seed=1.5", "whole number"),
        ("square:4,q=3", "'q=3'"),
        ("square:4,t=3", "'t=3'"),
        ("square:4,n=3", "'n=3'"),
        ("square:4,open=1", "'open=1'"),
        ("square:4,", "empty"),
        ("square:4,,open", "empty"),
        ("square:4,J=", "expected a value"),
        ("square:4,J=1,J=2", "twice"),
        ("square:4,open,open", "twice"),
        ("sk:10,J=1", "'J=1'"),
        ("sk:10,open", "boundary"),
        ("regular:3", "n="),
        ("regular:3,n=5", "does not exist"),
        ("regular:5,n=5", "does not exist"),
        ("regular:3x3,n=10", "degree"),
    ],
)
def test_what_is_malformed_is_refused_in_one_line(text, complaint):
    with pytest.raises(SpecError, match=re.escape(complaint)) as caught:
        from_spec(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("spec '")
    assert len(str(caught.value)) < 400

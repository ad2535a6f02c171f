"""How good point estimates are: Bethe and Kikuchi against exact log Z and marginals, on ten models built by seed.

    python benchmarks/estimates.py

For each model and method: the error of log Z in nats; the largest and the mean |error| of p(x_i) over all variables;
CPU seconds, kernels compiled before; whether the method settled. Exact values by elimination.
"""

import time

import numpy as np

import calipers as cal

MODELS = {
    "ferromagnet 10x10, beta_c, h=.05": "square:10x10,J=1,h=0.05,beta=0.4407",
    "±J glass 10x10, beta=.5, h~.1": "square:10x10,J=pm1,h=gauss:0.1,beta=0.5,seed=1",
    "±J glass 10x10, beta=1, h~.1": "square:10x10,J=pm1,h=gauss:0.1,beta=1,seed=1",
    "Gaussian glass 12x12, beta=.7, h~.5": "square:12x12,J=gauss:1,h=gauss:0.5,beta=0.7,seed=2",
    "±J glass 4x4x4, beta=.4, h~.3": "cubic:4x4x4,J=pm1,h=gauss:0.3,beta=0.4,seed=3",
    "triangular 8x8 ±J, beta=.5, h~.2": "triangular:8x8,J=pm1,h=gauss:0.2,beta=0.5,seed=4",
    "random cubic N=60 ±J, beta=.5, h~.2": "regular:3,n=60,J=pm1,h=gauss:0.2,beta=0.5,seed=5",
    "random cubic N=60 ±J, beta=1, h~.2": "regular:3,n=60,J=pm1,h=gauss:0.2,beta=1,seed=5",
    "SK N=18, beta=.5, h~.2": "sk:18,h=gauss:0.2,beta=0.5,seed=6",
    "SK N=18, beta=1, h~.2": "sk:18,h=gauss:0.2,beta=1,seed=6",
}
METHODS = (cal.Bethe(max_sweeps=3000), cal.Kikuchi(), cal.Kikuchi(loop=6), cal.Kikuchi(loop=8))


def row(model: cal.Ising, method: cal.AbstractMethod, truth: cal.Answer) -> str:
    """One line: errors, seconds, whether it settled."""
    began = time.process_time()
    answer = cal.log_z(model, method, beliefs=True, time_limit=60.0)
    seconds = time.process_time() - began
    pairs = zip(answer.belief.marginals, truth.belief.marginals, strict=True)
    errors = [float(np.abs(got - want).max()) for got, want in pairs]
    settled = "settled" if answer.stats["converged"] else "UNSETTLED"
    return (
        f"  {method!r:24s} log Z {answer.value - truth.value:+9.4f}  p(x): max {max(errors):.4f} mean "
        f"{np.mean(errors):.5f}  {seconds:6.2f} s  {settled}"
    )


def main() -> None:
    """Prints the table."""
    for method in METHODS:
        cal.log_z(cal.from_spec("square:3x3,J=pm1,h=0.1,beta=0.3,seed=1"), method, beliefs=True)
    for name, spec in MODELS.items():
        model = cal.from_spec(spec)
        truth = cal.log_z(model, cal.Elimination(), beliefs=True, time_limit=300.0)
        print(f"{name} (log Z = {truth.value:.4f})", flush=True)
        for method in METHODS:
            try:
                print(row(model, method, truth), flush=True)
            except cal.Refusal as reason:
                print(f"  {method!r:24s} {reason}", flush=True)


if __name__ == "__main__":
    main()

"""Monte Carlo: kernels that leave a model's distribution invariant, and what is said of their chains."""

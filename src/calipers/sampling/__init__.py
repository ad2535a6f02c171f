"""Random draws from models: kernels that leave p(x) invariant, chains, annealing. `bounds/` does the bounding."""

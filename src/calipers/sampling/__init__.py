"""Random draws from models: exact, annealed, by Markov chains. Nothing here bounds log Z; `bounds/` does that with it."""

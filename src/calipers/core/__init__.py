"""The contract in code: a model, a method, an answer, and the one driver that runs a method anytime."""

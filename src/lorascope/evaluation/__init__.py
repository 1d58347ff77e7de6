"""How good it is: generation, metrics, evaluation."""

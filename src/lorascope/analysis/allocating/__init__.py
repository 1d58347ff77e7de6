"""Ranks under a budget of parameters: the exact solver, the methods that say what is wished for, the controls."""

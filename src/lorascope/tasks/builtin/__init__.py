"""Seeded generators in the spirit of the real tasks, for a machine without network."""

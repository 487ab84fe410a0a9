"""A protein made from nothing but geometry and a seed: test and demonstration input."""

from c2s_data.sources.procedural.protein import procedural_protein

__all__ = ["procedural_protein"]

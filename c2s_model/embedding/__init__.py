"""Sequences become numbers: language models of proteins, applied to the entries of a store."""

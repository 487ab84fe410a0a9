"""A small training from nothing to scores, written down as it comes out: docs/train-demo.md."""

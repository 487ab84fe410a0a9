"""Training: from batches of a store to a network file."""

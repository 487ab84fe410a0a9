"""From predictions to a backbone: candidates, hidden Markov model, structure file."""

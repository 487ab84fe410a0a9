"""Pure numerics: array in, array out."""

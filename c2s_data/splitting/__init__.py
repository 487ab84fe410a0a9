"""How entries are divided into train, validation and test: policies, components, lists, tables."""

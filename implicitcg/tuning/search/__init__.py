"""Searches by values and hypergradients: the oracle, descents, starts, what is kept and told."""

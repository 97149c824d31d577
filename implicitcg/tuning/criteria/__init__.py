"""Criteria: hold-out, folds, information criteria and degrees of freedom, and how exact they are."""

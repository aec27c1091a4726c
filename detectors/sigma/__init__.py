"""Sigma rules, correlations and filters, lowered to predicates; parsing is pySigma's.

Only this package imports pySigma. A rule that cannot be lowered is refused with its path, line and column, never
loaded with part of its meaning missing.
"""

from detectors.sigma.loading import load_rules

__all__ = ["load_rules"]

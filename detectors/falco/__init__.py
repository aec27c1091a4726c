"""Falco's rule language: rule files as Falco loads them, and conditions as it evaluates them.

Facts are from falco 0.44.1 (rule engine 0.63.0), libs 0.25 and the k8saudit plugin; each module names its source. What
Falco refuses is refused with its code, path, line and column.
"""

from detectors.falco.loading import load_falco_rules
from detectors.falco.rules import FalcoRule, FalcoRules

__all__ = ["FalcoRule", "FalcoRules", "load_falco_rules"]

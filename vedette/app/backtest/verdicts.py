"""What analysts said about alerts.

The store keeps no verdicts yet. When it does, this is the one place that reads them: a comparison asks for nothing but
the ids of the alerts that were confirmed.
"""

from __future__ import annotations

from typing import Final

NO_VERDICTS: Final = "no alert has a verdict yet, so none of the lost ones is known to be a confirmed true positive"


def confirmed_true_positives() -> frozenset[str] | None:
    """Return the ids of the alerts that analysts confirmed as true positives; None while nobody can say so."""
    return None

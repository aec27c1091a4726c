"""The types of detectors there are. A new one is a module beside this, and a line here."""

from __future__ import annotations

from typing import Final

import msgspec

from detectors.behaviour.allowed_edges import AllowedEdges
from detectors.behaviour.beacon import Beacon
from detectors.behaviour.credential_addresses import CredentialAddresses
from detectors.behaviour.detector import Detector
from detectors.behaviour.distinct_count import DistinctCount
from detectors.behaviour.egress_volume import EgressVolume
from detectors.behaviour.first_seen import FirstSeen
from detectors.behaviour.new_edge import NewEdge
from detectors.behaviour.profile import ProfileDeviations
from detectors.behaviour.rate import Rate
from detectors.behaviour.scan import Scan
from detectors.behaviour.silence import Silence

_TYPES: Final[tuple[type[Detector], ...]] = (
    AllowedEdges,
    Beacon,
    CredentialAddresses,
    DistinctCount,
    EgressVolume,
    FirstSeen,
    NewEdge,
    ProfileDeviations,
    Rate,
    Scan,
    Silence,
)

SETTINGS: Final[dict[str, type[msgspec.Struct]]] = {kind.type_name: kind.settings for kind in _TYPES}
"""The settings of each type, for `detectors.behaviour.loading`."""


def make_detectors() -> tuple[Detector, ...]:
    """Make one detector of each type, in a fixed order."""
    made = tuple(kind() for kind in _TYPES)
    judge = next(found for found in made if isinstance(found, ProfileDeviations))
    for found in made:
        if isinstance(found, NewEdge):
            found.share(judge.profiles, judge.waiting)
    return made

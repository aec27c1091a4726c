"""Attack scenarios as data: what each does, within which bounds, and which detectors ought to see it.

Committed before any detector. Every parameter has two ranges without a common value: detectors are tuned on the one and
reported on the other, and the seed alone says which (`phase_of`). Where the project promises a number (a scan of 20
ports, 15 secrets in 30 minutes, a beacon of 60 s ± 20 %), that number is in the reporting range. Techniques are MITRE
ATT&CK's (Enterprise, v16). `attacks/` plays them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

REPORTING_SEEDS_FROM: Final = 10_000
"""Seeds below are for tuning, from here on for reporting."""


class Phase(StrEnum):
    """What a seed is for."""

    TUNING = "tuning"
    REPORTING = "reporting"


class Detector(StrEnum):
    """The detectors that scenarios are labelled for."""

    FIRST_SEEN = "first-seen"
    PROFILE = "profile"
    RATE = "rate"
    EGRESS_VOLUME = "egress-volume"
    DISTINCT_COUNT = "distinct-count"
    SCAN = "scan"
    NEW_EDGE = "new-edge"
    CREDENTIAL_ADDRESSES = "credential-addresses"
    SILENCE = "silence"
    BEACON = "beacon"


class Range(NamedTuple):
    """Bounds of a parameter, both included; with `whole`, whole numbers only."""

    low: float
    high: float
    whole: bool = False

    def draw(self, random: Random) -> float:
        """Draw a value, each equally likely."""
        return random.randint(int(self.low), int(self.high)) if self.whole else random.uniform(self.low, self.high)


class Parameter(NamedTuple):
    """A parameter's range in each phase. They have no value in common."""

    tuning: Range
    reporting: Range

    def of(self, phase: Phase) -> Range:
        """Return the range of a phase."""
        return self.tuning if phase is Phase.TUNING else self.reporting


class Scenario(NamedTuple):
    """One attack. Names of parameters end with their unit; `start_h` is the hour of the day (UTC) it begins at."""

    name: str
    summary: str
    techniques: tuple[str, ...]
    detectors: tuple[Detector, ...]
    parameters: Mapping[str, Parameter]

    def draw(self, phase: Phase, random: Random) -> dict[str, float]:
        """Draw all parameters, in their order."""
        return {name: parameter.of(phase).draw(random) for name, parameter in self.parameters.items()}


def phase_of(seed: int) -> Phase:
    """Say what a seed is for."""
    return Phase.TUNING if seed < REPORTING_SEEDS_FROM else Phase.REPORTING


def _counts(tuning: tuple[int, int], reporting: tuple[int, int]) -> Parameter:
    return Parameter(Range(*tuning, whole=True), Range(*reporting, whole=True))


def _spans(tuning: tuple[float, float], reporting: tuple[float, float]) -> Parameter:
    return Parameter(Range(*tuning), Range(*reporting))


_DAY: Final = _spans((1.0, 9.9), (10.0, 21.0))
"""Any hour will do."""
_NIGHT: Final = _spans((22.0, 23.4), (1.0, 3.9))
"""When nobody works."""
_OFFICE: Final = _spans((9.5, 12.4), (12.5, 16.0))
"""While the owner of a stolen credential is at work."""

_ALL: Final = (
    Scenario(
        "port_scan",
        "A pod tries ports of one host, most of them closed.",
        ("T1046",),
        (Detector.SCAN,),
        {
            "ports": _counts((25, 60), (20, 20)),
            "gap_s": _spans((0.2, 5.0), (5.1, 30.0)),
            "open_share": _spans((0.0, 0.04), (0.05, 0.08)),
            "start_h": _DAY,
        },
    ),
    Scenario(
        "host_sweep",
        "A pod tries one port on many addresses.",
        ("T1018", "T1046"),
        (Detector.SCAN,),
        {
            "hosts": _counts((41, 120), (20, 40)),
            "gap_s": _spans((0.2, 4.0), (4.1, 20.0)),
            "open_share": _spans((0.0, 0.05), (0.06, 0.12)),
            "start_h": _DAY,
        },
    ),
    Scenario(
        "forbidden_enumeration",
        "A service account's token asks for one thing after another, and is refused.",
        ("T1613", "T1069"),
        (Detector.SCAN, Detector.RATE),
        {
            "requests": _counts((31, 80), (15, 30)),
            "gap_s": _spans((0.3, 3.0), (3.1, 20.0)),
            "allowed_share": _spans((0.0, 0.05), (0.06, 0.15)),
            "start_h": _DAY,
        },
    ),
    Scenario(
        "secret_harvest",
        "Somebody who may read secrets reads many different ones by name.",
        ("T1552.007",),
        (Detector.DISTINCT_COUNT,),
        {
            "secrets": _counts((16, 40), (15, 15)),
            "window_min": _spans((5.0, 24.9), (25.0, 29.5)),
            "start_h": _OFFICE,
        },
    ),
    Scenario(
        "slow_exfiltration",
        "A pod sends data out in small pieces, over two days.",
        ("T1030", "T1041"),
        (Detector.EGRESS_VOLUME,),
        {
            "hours": _spans((24.0, 40.0), (48.0, 48.0)),
            "total_mb": _spans((601.0, 3000.0), (200.0, 600.0)),
            "chunk_min": _spans((20.1, 45.0), (8.0, 20.0)),
            "start_h": _DAY,
        },
    ),
    Scenario(
        "burst_exfiltration",
        "A pod sends much data out at once.",
        ("T1048",),
        (Detector.EGRESS_VOLUME,),
        {
            "minutes": _spans((5.0, 19.9), (20.0, 40.0)),
            "total_mb": _spans((6001.0, 20000.0), (3000.0, 6000.0)),
            "start_h": _NIGHT,
        },
    ),
    Scenario(
        "token_from_new_network",
        "A pod's token is used from outside the cluster.",
        ("T1528", "T1078.004"),
        (Detector.FIRST_SEEN, Detector.CREDENTIAL_ADDRESSES),
        {"requests": _counts((6, 20), (1, 5)), "gap_s": _spans((1.0, 10.0), (10.1, 120.0)), "start_h": _DAY},
    ),
    Scenario(
        "credential_in_two_networks",
        "A person's certificate is used from a second network while its owner works with it.",
        ("T1078",),
        (Detector.CREDENTIAL_ADDRESSES, Detector.FIRST_SEEN),
        {"requests": _counts((13, 40), (4, 12)), "gap_s": _spans((5.0, 60.0), (61.0, 300.0)), "start_h": _OFFICE},
    ),
    Scenario(
        "sensor_killed",
        "Falco on one node is stopped and stays so; the node and its pods go on.",
        ("T1562.001",),
        (Detector.SILENCE,),
        {"hours": _spans((0.5, 1.9), (2.0, 6.0)), "start_h": _DAY},
    ),
    Scenario(
        "source_silent",
        "The API server's audit log is switched off or diverted.",
        ("T1562.008",),
        (Detector.SILENCE,),
        {"hours": _spans((0.5, 1.9), (2.0, 4.0)), "start_h": _DAY},
    ),
    Scenario(
        "beacon",
        "An implant in a pod calls home at a steady interval with jitter.",
        ("T1071.001", "T1573"),
        (Detector.BEACON, Detector.FIRST_SEEN),
        {
            "period_s": _spans((75.0, 150.0), (60.0, 60.0)),
            "jitter": _spans((0.0, 0.15), (0.2, 0.2)),
            "hours": _spans((3.0, 4.0), (5.0, 7.0)),
            "start_h": _DAY,
        },
    ),
    Scenario(
        "new_process",
        "A tool that the image holds, but nobody ran there before, is run.",
        ("T1059.004",),
        (Detector.PROFILE, Detector.FIRST_SEEN),
        {"commands": _counts((4, 9), (1, 3)), "gap_s": _spans((1.0, 10.0), (10.1, 60.0)), "start_h": _DAY},
    ),
    Scenario(
        "miner",
        "A miner is started in a pod and talks to its pool.",
        ("T1496", "T1105"),
        (Detector.PROFILE, Detector.FIRST_SEEN),
        {"hours": _spans((1.0, 2.9), (3.0, 8.0)), "keepalive_s": _spans((20.0, 44.0), (45.0, 90.0)), "start_h": _DAY},
    ),
    Scenario(
        "lateral_edge",
        "A pod connects to a service that its workload never spoke to.",
        ("T1021", "T1210"),
        (Detector.NEW_EDGE, Detector.PROFILE),
        {"connections": _counts((9, 30), (1, 8)), "gap_s": _spans((1.0, 30.0), (31.0, 300.0)), "start_h": _DAY},
    ),
    Scenario(
        "service_account_new_verb",
        "A service account does what it may, but never did.",
        ("T1078.001", "T1609"),
        (Detector.FIRST_SEEN, Detector.PROFILE),
        {"requests": _counts((5, 12), (1, 4)), "gap_s": _spans((1.0, 20.0), (21.0, 120.0)), "start_h": _DAY},
    ),
    Scenario(
        "mass_delete",
        "Somebody deletes the objects of a namespace one after another.",
        ("T1485",),
        (Detector.RATE, Detector.DISTINCT_COUNT),
        {"objects": _counts((41, 120), (20, 40)), "gap_s": _spans((0.1, 1.9), (2.0, 8.0)), "start_h": _NIGHT},
    ),
    Scenario(
        "persistent_cron_job",
        "A service account that never did creates a cron job, which then runs.",
        ("T1053.007",),
        (Detector.FIRST_SEEN, Detector.PROFILE),
        {"every_min": _spans((16.0, 60.0), (5.0, 15.0)), "runs": _counts((2, 4), (5, 8)), "start_h": _DAY},
    ),
    Scenario(
        "night_exec",
        "A developer's credential, never used at night, opens a shell in a pod then.",
        ("T1609", "T1078"),
        (Detector.FIRST_SEEN, Detector.PROFILE),
        {"commands": _counts((7, 15), (2, 6)), "gap_s": _spans((2.0, 9.9), (10.0, 40.0)), "start_h": _NIGHT},
    ),
    Scenario(
        "drift",
        "A binary that the image does not hold is written into a container and run.",
        ("T1105", "T1059"),
        (Detector.PROFILE, Detector.FIRST_SEEN),
        {"delay_s": _spans((1.0, 19.9), (20.0, 300.0)), "runs": _counts((4, 8), (1, 3)), "start_h": _DAY},
    ),
    Scenario(
        "credential_files_read",
        "A program in a pod opens files with credentials that it never opened.",
        ("T1552.001",),
        (Detector.PROFILE,),
        {"files": _counts((6, 12), (2, 5)), "gap_s": _spans((0.1, 1.9), (2.0, 20.0)), "start_h": _DAY},
    ),
    Scenario(
        "api_flood",
        "A service account asks for what it always does, many times as often.",
        ("T1499", "T1613"),
        (Detector.RATE,),
        {"factor": _spans((41.0, 100.0), (20.0, 40.0)), "minutes": _spans((21.0, 40.0), (10.0, 20.0)), "start_h": _DAY},
    ),
)
SCENARIOS: Final[Mapping[str, Scenario]] = {scenario.name: scenario for scenario in _ALL}
"""All scenarios by name."""

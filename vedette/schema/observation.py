"""What behaviour is learned of: who did what to whom, in one shape for all sources, and the seam `Observer`.

Rules look at documents with their native fields; models of behaviour compare one record with thousands before it, so
they look at a few normalised values of each. A decoder that can tell them is an `Observer`, and tells them cheaply:
every record is observed, not only what matched.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from vedette.schema.event import Document


class Kind(StrEnum):
    """What was observed. Definitions name it as the category of their log source."""

    CALL = "call"
    """A request to the API server, once, when it was answered."""
    PROCESS = "process"
    """A program was started in a container."""
    FILE = "file"
    """A program in a container opened a file."""
    CONNECTION = "connection"
    """Two ends talked, or tried to. Made of Falco's connections as they are, and of flow records by the flow view."""
    FLOW = "flow"
    """A record of a flow log: raw material of connections, never what a definition looks at."""
    LIFE = "life"
    """Nothing but a sign of life of a sensor."""
    ANY = "any"
    """No observation is of this kind; a definition of it looks at all but raw flows."""


class Phase(StrEnum):
    """How a connection's observation stands to those before it of the same connection."""

    OPENED = "opened"
    """The first of it: contacts are counted by these."""
    COUNTED = "counted"
    """More of it: bytes, or how it came out. Amounts are what was added since the observation before."""


class Observation(msgspec.Struct, gc=False, omit_defaults=True):
    """One thing that somebody did. Strings are the source's word, bounded and perhaps hostile; "" where unknown.

    `time_ns`: event time, clamped as an event's. `source` is the configured name of where the record came from,
    `format` its decoder's, `seq` and `arrival_ns` are the record's.
    """

    kind: Kind
    time_ns: int = 0
    source: str = ""
    format: str = ""
    cluster: str = ""
    seq: int = 0
    arrival_ns: int = 0
    # --- who -------------------------------------------------------------------------------------
    actor: str = ""
    """The authenticated user or service account of a call; the user of a process."""
    user_agent: str = ""
    address: str = ""
    """Where a call came from, as the API server saw it; of a connection the end that opened it."""
    credential: str = ""
    # --- a call ----------------------------------------------------------------------------------
    verb: str = ""
    resource: str = ""
    """`pods`, `pods/exec`; of a request for no resource its path."""
    api_group: str = ""
    name: str = ""
    code: int = 0
    outcome: str = ""
    """allow, deny or failure; of a connection allow or deny where the source tells."""
    namespace: str = ""
    """The object's, or that of the pod that did it."""
    # --- in a container --------------------------------------------------------------------------
    workload_kind: str = ""
    workload: str = ""
    """The owner of the pod, as far as is known or its name tells."""
    container: str = ""
    image: str = ""
    """Repository."""
    digest: str = ""
    pod: str = ""
    node: str = ""
    """Where it happened; of a kubelet's call its node."""
    process: str = ""
    """Path of the executable, else its name."""
    parent: str = ""
    command: str = ""
    file: str = ""
    # --- a connection ----------------------------------------------------------------------------
    peer: str = ""
    """Address of the end that was contacted."""
    peer_namespace: str = ""
    peer_workload: str = ""
    """Workload or service at the other end, where it is known."""
    port: int = 0
    """The contacted end's."""
    protocol: str = ""
    direction: str = ""
    """egress or ingress, as the workload sees it."""
    bytes_out: int = 0
    """Sent by the end that opened it."""
    bytes_in: int = 0
    window_s: int = 0
    """Over how long the source aggregated; 0 where it tells moments."""
    phase: Phase = Phase.OPENED
    source_port: int = 0
    """The port of the end that opened it; of a raw flow that of the end that `address` is."""
    # --- a raw flow: `address` and `source_port` sent what `bytes_out` counts to `peer` and `port` ----
    sender: str = ""
    """Which end that is, where the record tells: client or server."""
    reporter: str = ""
    """The interface or node that saw it."""

    def trace(self) -> Trace:
        """Return what is remembered of the record it came from."""
        return Trace(self.seq, self.time_ns, self.arrival_ns, self.source, self.format)


class Trace(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Which record showed something: its number in intake, event and arrival time (ns), source and format."""

    seq: int
    time_ns: int
    arrival_ns: int
    source: str
    format: str


@runtime_checkable
class Observer(Protocol):
    """What a decoder may offer beside `Decoder`."""

    def observe(self, payload: bytes, context: str, head: Document | None) -> Observation | None:
        """Tell what a record shows, without cluster, source, sequence number and arrival; None if nothing.

        `head` is given where the record was decoded anyway. Never raises: a record that can't be read shows nothing
        here, and is refused where it is decoded. `time_ns` is the event's own time, 0 if it has none.
        """
        ...

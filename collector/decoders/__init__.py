"""What the bytes say: one wire format per module, as functions from bytes to events.

A decoder is pure and total: for any input it returns events or raises `DecodeError`, and it never blocks, logs or
keeps state that a restart would lose. Decoders are strangers to each other and to the sources that feed them; what they
do alike stands in `_common`.
"""

from collections.abc import Mapping
from typing import Final

from collector.decoders.falco import Falco
from collector.decoders.hubble import Hubble
from collector.decoders.kube_audit import KubeAudit
from collector.decoders.vpc_flow import VpcFlow
from vedette.schema.event import Decoder

DECODERS: Final[Mapping[str, Decoder]] = {
    "falco": Falco(),
    "hubble": Hubble(),
    "kube_audit": KubeAudit(),
    "vpc_flow": VpcFlow(),
}
"""Every wire format by its name: its module's, its path in `/intake/<format>`, the value of `--source`."""

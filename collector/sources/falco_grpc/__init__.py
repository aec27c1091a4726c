"""Alerts of Falco's gRPC output, which Falco has up to 0.43.

`source` is the life of the source, `connection` one connection to Falco and why it ended, `hold` what was read and is
not stored yet, `responses` turns what Falco sends into the alerts that its HTTP output writes. `outputs_pb2` is
generated from outputs.proto.
"""

import os

# gRPC's core writes lines of its own on standard error, which are no JSON; the errors say the same. It looks here once,
# when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from collector.sources.falco_grpc.settings import FalcoGrpcSettings
from collector.sources.falco_grpc.source import FalcoGrpcSource

__all__ = ["FalcoGrpcSettings", "FalcoGrpcSource"]

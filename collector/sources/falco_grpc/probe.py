"""What `vedette doctor` tries of a `falco_grpc` source: that Falco answers. It takes no alerts: they would be gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.sources.falco_grpc.connection import LostError, connect
from vedette.runtime.check import Check
from vedette.schema.errors import ConfigError
from vedette.schema.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.sources.falco_grpc.settings import FalcoGrpcSettings

PROBE_S: Final = 15.0
"""Doctor waits a little longer."""


async def probe(name: str, settings: FalcoGrpcSettings) -> Sequence[Check]:
    """Try the server within PROBE_S seconds, or within its own `timeout_s` if that is less."""
    files, what = "read the files that the settings name", f"reach Falco's gRPC server at {settings.address}"
    hasty = settings.model_copy(update={"timeout_s": min(settings.timeout_s, PROBE_S)})
    try:
        async with connect(f"sources.{name}.falco_grpc", hasty):
            return [Check(what)]
    except ConfigError as error:
        return [Check(files, safe_text(str(error)), "correct the settings or the files")]
    except LostError as error:
        return [Check(what, str(error), error.remedy)]

"""Which path takes which format: settings and decoders bound once, so that routing is one dictionary look-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.sources.http.settings import ANY_FORMAT, RouteSettings
from vedette.schema.errors import ConfigError
from vedette.schema.record import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vedette.schema.event import Decoder


class Route:
    """One path: its decoder, what that must know, and how its clients want to be answered."""

    __slots__ = ("context", "decoder", "hashed", "single", "source", "waits")

    def __init__(self, source: str, settings: RouteSettings, decoder: Decoder, *, hashed: bool) -> None:
        """Bind the settings of a path to its decoder."""
        self.source = source
        self.decoder = decoder
        self.context = settings.context
        self.waits = settings.waits
        self.hashed = hashed
        self.single = self.run(1, settings.context, 1)

    def run(self, count: int, context: str, record: int) -> Run:
        """Describe `count` records of this route, of which the first is number `record` of its body."""
        return Run(self.source, self.decoder.name, count, context, record=record, hashed=self.hashed)


def bind_routes(
    source: str, routes: Mapping[str, RouteSettings], decoders: Mapping[str, Decoder], *, hashed: bool
) -> dict[bytes, Route]:
    """Bind each path to its route; a path that names its format goes before one that names all.

    Raises:
        ConfigError: there is no such format.
    """
    bound: dict[bytes, Route] = {}
    for path, settings in routes.items():
        if settings.format == ANY_FORMAT:
            for name, decoder in decoders.items():
                route = Route(source, RouteSettings(format=name), decoder, hashed=hashed)
                bound.setdefault(path.removesuffix("*").encode("ascii") + name.encode(), route)
        elif settings.format in decoders:
            bound[path.encode("ascii")] = Route(source, settings, decoders[settings.format], hashed=hashed)
        else:
            known = ", ".join(sorted(decoders))
            raise ConfigError(
                f"sources.{source}.http.routes: {path!r} names the format {settings.format!r}, which there is not. "
                f"Use one of: {known}"
            )
    return bound


def path_of(target: bytes) -> bytes:
    """Cut a request target (RFC 9112 §3.2: origin or absolute form) down to its path."""
    if not target.startswith(b"/"):
        _, absolute, rest = target.partition(b"://")
        slash = rest.find(b"/")
        if absolute:
            target = rest[slash:] if slash >= 0 else b"/"
    return target.partition(b"?")[0]

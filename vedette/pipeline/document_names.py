"""What names tell: the parts of an image reference, the workload that a pod's name points to."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class ImageReference(NamedTuple):
    """The parts of an image reference; "" where it names none."""

    registry: str
    repository: str
    tag: str
    digest: str


class Owner(NamedTuple):
    """A workload."""

    kind: str
    name: str


_REPLICA: Final = re.compile(r"(.+)-[bcdf-hj-np-tv-z2456789]{6,10}-[bcdf-hj-np-tv-z2456789]{5}")


def parse_image(ref: str) -> ImageReference:
    """Split an image reference."""
    rest, _, digest = ref.partition("@")
    host, slash, path = rest.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = "", rest
    repository, _, tag = path.partition(":")
    return ImageReference(host, repository, tag, digest)


def owner_of_pod(pod: str) -> Owner | None:
    """Guess the deployment of a pod from its name."""
    match = _REPLICA.fullmatch(pod)
    return Owner("Deployment", match[1]) if match else None

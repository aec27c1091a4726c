"""What an image reference names: registry, repository, tag and digest, with Docker's defaults spelled out.

`nginx`, `docker.io/nginx` and `index.docker.io/library/nginx:latest` are one image, and allow-lists, inventories and
vulnerability reports must agree on that. Grammar and defaults: github.com/distribution/reference, `reference.go` and
`normalize.go` (`splitDockerDomain`, `TagNameOnly`). What is no valid reference is still taken apart as far as it goes,
because it comes out of events that must not get lost.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from vedette.schema.event import Facts
from vedette.schema.limits import TEXT_CHARS_MAX

DEFAULT_REGISTRY: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_LEGACY_REGISTRY: Final = "index.docker.io"
_OFFICIAL: Final = "library"
_LOCALHOST: Final = "localhost"
_SCHEME: Final = "://"
"""Container runtimes put one before the reference in a pod's status: `docker-pullable://`."""
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}", re.ASCII)
_IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}", re.ASCII)


class ImageReference(msgspec.Struct, frozen=True):
    """An image by name, digest or both; only a bare digest or identifier leaves `registry` and `repository` empty."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository: the image, whatever its version."""
        return f"{self.registry}/{self.repository}" if self.repository else ""

    def __str__(self) -> str:
        """The reference in full: `docker.io/library/nginx:latest`."""
        version = (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")
        return self.name + version if self.name else self.digest


def parse_image(ref: str) -> ImageReference:
    """Take a reference apart; what stands beyond TEXT_CHARS_MAX is cut off. Never raises.

    The tag is `latest` where neither tag nor digest is given.
    """
    rest = ref[:TEXT_CHARS_MAX].strip().rpartition(_SCHEME)[2]
    if _IDENTIFIER.fullmatch(rest):
        return ImageReference("", "", digest=f"sha256:{rest}")
    if _DIGEST.fullmatch(rest):
        return ImageReference("", "", digest=rest)
    rest, digest = _without_digest(rest)
    rest, tag = _without_tag(rest)
    registry, repository = _split_registry(rest)
    return ImageReference(registry, repository, tag or ("" if digest or not rest else DEFAULT_TAG), digest)


def images_of(facts: Facts) -> tuple[ImageReference, ...]:
    """The images that facts name, each once, in their order."""
    return tuple(dict.fromkeys(parse_image(image) for image in facts.images))


def _without_digest(ref: str) -> tuple[str, str]:
    name, _, digest = ref.rpartition("@")
    return (name, digest) if _DIGEST.fullmatch(digest) else (ref, "")


def _without_tag(ref: str) -> tuple[str, str]:
    name, _, tag = ref.rpartition(":")
    return (name, tag) if name and _TAG.fullmatch(tag) else (ref, "")


def _split_registry(name: str) -> tuple[str, str]:
    """The first component is a registry if it can't be anything else: it has a dot, a port or an upper-case letter."""
    first, slash, rest = name.partition("/")
    if slash and (any(sign in first for sign in ".:") or first == _LOCALHOST or first.lower() != first):
        registry, repository = first, rest
    else:
        registry, repository = DEFAULT_REGISTRY, name
    if registry == _LEGACY_REGISTRY:
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and repository and "/" not in repository:
        repository = f"{_OFFICIAL}/{repository}"
    return registry, repository

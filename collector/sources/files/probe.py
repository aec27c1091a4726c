"""What `vedette doctor` tries of a `files` source: that its patterns find files, and that these can be read."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, Final

from collector.sources.files.content import open_content
from collector.sources.files.finder import Finder, displayed
from collector.sources.lines import guess_format
from vedette.runtime.check import Check
from vedette.schema.limits import KIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.sources.files.finder import Found
    from collector.sources.files.settings import FilesSettings

FILES_MAX: Final = 1_000
"""Files of one pattern that are opened."""
HEAD_BYTES: Final = 64 * KIB
"""Bytes by which a format is guessed."""


def probe(name: str, settings: FilesSettings, positions: Mapping[str, str]) -> list[Check]:
    """Look up each pattern; blocking. `positions` are what intake committed for this source."""
    return [check for pattern in settings.paths for check in _check_pattern(name, pattern, settings, positions)]


def _check_pattern(name: str, pattern: str, settings: FilesSettings, positions: Mapping[str, str]) -> list[Check]:
    what = f"read {displayed(pattern)}"
    found = Finder(name, [pattern]).find()
    if not found:
        remedy = f"mend the path in sources.{name}.files.paths, or wait until something is written there"
        return [Check(what, "no file is there, or none that can be looked at", remedy)]
    known = sum(identity in positions for identity in found)
    problems = [
        check for file in islice(found.values(), FILES_MAX) if (check := _check_file(file, settings)) is not None
    ]
    return problems or [Check(f"{what}: {len(found)} files, {known} of them read before")]


def _check_file(file: Found, settings: FilesSettings) -> Check | None:
    what = f"read {displayed(file.path)}"
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            content = open_content(descriptor, file.path)
            head = content.read_at(0, HEAD_BYTES) if content is not None else b""
        finally:
            os.close(descriptor)
    except OSError as error:
        return Check(what, f"it can't be read: {error.strerror}", "let Vedette's user read it (group, ACL, or a mount)")
    if content is not None and content.broken:
        return Check(what, f"it can't be unpacked: {content.broken}", "replace the file, or leave it out of `paths`")
    guessed = guess_format(head, file.path)
    if guessed not in (None, settings.format):
        return Check(what, f"it looks like {guessed}, but is read as {settings.format}", "mend `format` of the source")
    return None

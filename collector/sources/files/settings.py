"""What operators set for a `files` source."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Pattern = Annotated[str, Field(min_length=1)]


class FilesSettings(BaseModel):
    """Settings of a `files` source."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    paths: Annotated[list[Pattern], Field(min_length=1)]
    """Files to read, as paths or glob patterns (`*`, `?`, `[…]`, and `**` for any number of folders). Symbolic links
    are followed; a file that several patterns or links lead to is read once."""

    format: Annotated[str, Field(min_length=1)]
    """Name of the decoder of the lines, e.g. `kube_audit`, `falco`, `vpc_flow`."""

    context: str = ""
    """What the decoder must know beside the lines (`vpc_flow`: the field order). Default: empty;
    a file's own header says."""

    follow: bool = True
    """Go on reading as files grow and new ones appear (default), or end when all have been read once."""

    poll_interval_s: Annotated[float, Field(ge=0.01, le=3600)] = 0.5
    """Seconds between looks for new files and new lines. Default: 0.5."""

    start_at: Literal["beginning", "end"] = "beginning"
    """Where to begin in files that exist when this source runs for the first time ever. Files that appear later, also
    while the agent is stopped, are read from the beginning. Default: beginning."""

    rotate_wait_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """Seconds without new bytes after which a file that was rotated away, deleted or is an unfinished archive counts as
    complete: its last line is taken without a line end, and the file is closed. Default: 60."""

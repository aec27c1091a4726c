"""Log files: lines of plain files as they are written, and of compressed files once.

`source` is the part that lives in the event loop; everything else runs in a thread: `watch` opens files and takes
turns, `finder` finds them, `tail` reads one, `content` is its plain or compressed bytes, `marks` says how far it has
been read, `copies` whether it holds what was read already under another name.
"""

from collector.sources.files.settings import FilesSettings
from collector.sources.files.source import FilesSource

__all__ = ["FilesSettings", "FilesSource"]

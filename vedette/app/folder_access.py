"""How commands that look into a data folder find it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.journal.sqlite import DataFolder


def find_folder(config: Path | None, data_dir: Path | None) -> DataFolder:
    """Return the data folder that is named, else that of the configuration, after checking that it is one.

    Raises:
        ConfigError: it is none, a newer version wrote it, or the configuration is wrong.
    """
    from vedette.journal.sqlite import DataFolder  # noqa: PLC0415 - keeps the start fast

    if data_dir is None:
        from vedette.app.config_file import load_config  # noqa: PLC0415 - keeps the start fast

        data_dir = load_config(config).data_dir
    folder = DataFolder(data_dir.expanduser())
    folder.check()
    return folder

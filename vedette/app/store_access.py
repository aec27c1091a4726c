"""How commands that read alerts find the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sinks.store import StoreReader, StoreSink
from vedette.app.config_file import load_config
from vedette.runtime.sink_context import SinkContext
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def open_store(config: Path | None, data_dir: Path | None, sink: str | None) -> StoreReader:
    """Open the store of a sink for reading; None is the first one of kind `store`. The caller closes it.

    Raises:
        ConfigError: there is no such sink, or no store yet. TransientError: it can't be read now.
    """
    loaded = load_config(config, data_dir=data_dir)
    stores = [name for name, entry in loaded.sinks.items() if entry.kind == "store"]
    if not stores or sink not in (None, *stores):
        there = f"there are {', '.join(stores)}" if stores else "add `store: {store: {}}` under `sinks`"
        raise ConfigError(f"the configuration has no store{f' named `{sink}`' if sink else ''}; {there}")
    name = sink or stores[0]
    return StoreReader(StoreSink(name, loaded.sinks[name].settings, SinkContext(loaded.data_dir)).path)

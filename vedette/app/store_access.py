"""How commands that read alerts find the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sinks.store import StoreReader, StoreSink
from vedette.app.config_file import load_config
from vedette.runtime.sink_context import SinkContext
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from vedette.app.config import Config


def open_store(config: Path | None, data_dir: Path | None, sink: str | None) -> StoreReader:
    """Open the store of a sink for reading; None is the first one of kind `store`. The caller closes it.

    Raises:
        ConfigError: there is no such sink, or no store yet. TransientError: it can't be read now.
    """
    return StoreReader(store_path(load_config(config, data_dir=data_dir), sink)[1])


def store_path(config: Config, sink: str | None) -> tuple[str, Path]:
    """Return name and file of a store; None is the first one of kind `store`.

    Raises:
        ConfigError: there is no such sink.
    """
    stores = [name for name, entry in config.sinks.items() if entry.kind == "store"]
    if not stores or sink not in (None, *stores):
        there = f"there are {', '.join(stores)}" if stores else "add `store: {store: {}}` under `sinks`"
        raise ConfigError(f"the configuration has no store{f' named `{sink}`' if sink else ''}; {there}")
    name = sink or stores[0]
    return name, StoreSink(name, config.sinks[name].settings, SinkContext(config.data_dir)).path

"""Reads the configuration from its file and says, with place and remedy, what is wrong with it.

One file, read once at the start; without one the defaults hold. Relative paths in the file count from its folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import BaseModel, ValidationError

from vedette.app.config import Config
from vedette.app.config_errors import explain
from vedette.app.substitution import expand
from vedette.app.yaml_text import TEXT_BYTES_MAX, Document, parse_yaml
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH_KEYS: Final = ("data_dir", "paths")
"""Keys that hold paths, beside all that end in `_file`."""


def load_config(
    file: Path | None, *, data_dir: Path | None = None, environment: Mapping[str, str] | None = None
) -> Config:
    """Read the configuration; None means all defaults. `data_dir` (from the command line) overrides the file's.

    Raises:
        ConfigError: the file can't be read or used; each line of the message names a place and what to do.
    """
    config = Config() if file is None else _read(file, os.environ if environment is None else environment)
    if data_dir is not None:
        config = config.model_copy(update={"data_dir": data_dir})
    return config.model_copy(update={"data_dir": config.data_dir.expanduser().absolute()})


def parse_config(text: str, file: str, *, environment: Mapping[str, str], folder: Path) -> Config:
    """Parse the text of a configuration. `file` names it in errors, relative paths count from `folder`.

    Raises:
        ConfigError: as `load_config`.
    """
    document = parse_yaml(text, file, lambda value: expand(value, environment))
    if document.value is not None and not isinstance(document.value, dict):
        raise ConfigError(f"{file}:1:1: the configuration must be a mapping, such as `cluster: prod`")
    config: Config = _placed(_validate(document, file), folder)
    return config


def _read(file: Path, environment: Mapping[str, str]) -> Config:
    try:
        with file.open("rb") as opened:
            content = opened.read(TEXT_BYTES_MAX + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"the configuration {file} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration {file} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    return parse_config(text, str(file), environment=environment, folder=file.absolute().parent)


def _validate(document: Document, file: str) -> Config:
    try:
        return Config.model_validate(document.value or {})
    except ValidationError as error:
        # Not chained: pydantic's own message quotes the values, which may be secrets.
        message = explain(error, document, file, Config)
    raise ConfigError(message)


def _placed(value: Any, folder: Path) -> Any:
    """Return a value with the relative paths in it made absolute."""
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in value.model_fields_set}
        return value.model_copy(
            update={
                name: _absolute(field, folder)
                if name in PATH_KEYS or name.endswith("_file")
                else _placed(field, folder)
                for name, field in fields.items()
            }
        )
    if isinstance(value, dict):
        return {key: _placed(item, folder) for key, item in cast("dict[str, Any]", value).items()}
    return value


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_absolute(item, folder) for item in cast("list[object]", value)]
    if isinstance(value, Path):
        return folder / value.expanduser()
    return str(folder / Path(value).expanduser()) if isinstance(value, str) else value

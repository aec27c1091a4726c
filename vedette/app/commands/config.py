"""`vedette config`."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import App, Parameter

from vedette.app.terminal import ConfigFile, DataDir, count_text, put_json, say

app = App(
    name="config",
    help="Check, show and describe the configuration.",
    help_epilogue="`vedette config COMMAND --help` shows examples.",
)


@app.command(
    help_epilogue="""Example:
  vedette config check --config vedette.yaml && systemctl restart vedette

Exit status: 0 `vedette run` would take it; 2 something is wrong, and it says where and what to do."""
)
def check(*, config: ConfigFile = None) -> int:
    """Check the configuration, and every rule that it names, without starting anything.

    Whether ports are free and files are there is seen only when `vedette run` starts.
    """
    from vedette.app.config_check import check_config  # noqa: PLC0415 - keeps the start fast
    from vedette.app.config_file import load_config  # noqa: PLC0415

    loaded = load_config(config)
    checked = check_config(loaded)
    for rule, reason in checked.dead:
        say(f"warning: {rule}: this rule can never match: {reason}")
    counts = {"source": len(loaded.sources), "rule": checked.rules, "sink": len(loaded.sinks)}
    parts = ", ".join(count_text(count, noun) for noun, count in counts.items())
    say(f"{config or 'the default configuration'} is fine: {parts}")
    return 0


@app.command(
    help_epilogue="""Examples:
  vedette config show
  vedette config show --config vedette.yaml --format json | jq .sources"""
)
def show(
    *,
    format: Annotated[  # noqa: A002 - the name of the option
        Literal["yaml", "json"], Parameter(help="`yaml` for people, `json` for programs.")
    ] = "yaml",
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> int:
    """Show the configuration that is in force: all keys with defaults filled in and variables replaced.

    Secrets are masked.
    """
    from vedette.app.config_file import load_config  # noqa: PLC0415 - keeps the start fast
    from vedette.app.config_show import plain_config, yaml_config  # noqa: PLC0415

    loaded = load_config(config, data_dir=data_dir)
    if format == "json":
        put_json(plain_config(loaded))
    else:
        sys.stdout.write(yaml_config(loaded))
    return 0


@app.command(
    help_epilogue="""Examples:
  vedette config schema > vedette.schema.json     for editors that complete and check YAML
  vedette config schema --format markdown         the reference in docs/configuration.md"""
)
def schema(
    *,
    format: Annotated[  # noqa: A002 - the name of the option
        Literal["json", "markdown"], Parameter(help="`json` is JSON Schema, `markdown` a reference for people.")
    ] = "json",
) -> int:
    """Describe every key: meaning, unit, default."""
    from vedette.app.config_reference import json_schema, markdown  # noqa: PLC0415 - keeps the start fast

    if format == "json":
        put_json(json_schema())
    else:
        sys.stdout.write(markdown())
    return 0

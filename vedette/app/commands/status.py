"""`vedette status`."""

from __future__ import annotations

from cyclopts import App

from vedette.app.terminal import ConfigFile, DataDir, Format, put_fields, put_json

app = App(
    name="status",
    help_epilogue="""Examples:
  vedette status
  vedette status --format json --data-dir /var/lib/vedette

Exit status: 0 the agent answers; 1 it answers that it can't take records in; 2 there is no such data folder;
3 no agent answers.""",
)


@app.default
def status(*, format: Format = "table", config: ConfigFile = None, data_dir: DataDir = None) -> int:  # noqa: A002
    """Ask the running agent how it is: where it takes records, how far detection is, what fails.

    Works on the machine that the agent runs on, for the user that it runs as. `vedette ledger` has the numbers.
    """
    from vedette.app.agent_client import ask  # noqa: PLC0415 - keeps the start fast

    answer = ask(config, data_dir, "status")
    if format == "json":
        put_json(answer)
    else:
        put_fields((name.replace("_", " "), _shown(value)) for name, value in answer.items())
    return 1 if answer.get("intake_failure") else 0


def _shown(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

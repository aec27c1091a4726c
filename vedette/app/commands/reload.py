"""`vedette reload`."""

from __future__ import annotations

from cyclopts import App

from vedette.app.terminal import ConfigFile, DataDir, Format, count_text, put_json, say

app = App(
    name="reload",
    help_epilogue="""Example:
  vedette reload && vedette status

Exit status: 0 the rules are in force; 2 a rule is wrong, the former rules stay in force; 3 no agent answers.""",
)


@app.default
def reload(*, format: Format = "table", config: ConfigFile = None, data_dir: DataDir = None) -> int:  # noqa: A002
    """Make the running agent read its rules again, all or nothing.

    Other changes of the configuration need a restart.
    """
    from vedette.app.agent_client import ask  # noqa: PLC0415 - keeps the start fast

    answer = ask(config, data_dir, "reload")
    if format == "json":
        put_json(answer)
    else:
        say(
            f"{count_text(answer['rules'], 'rule')} in force"
            + ("" if answer.get("changed") else "; nothing had changed")
        )
    return 0

"""Secrets come from the environment or from files, and never come out again."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from vedette.app.cli import main
from vedette.app.config_errors import options
from vedette.app.config_file import load_config
from vedette.app.config_reference import keys
from vedette.app.config_show import plain_config, yaml_config
from vedette.schema.errors import ConfigError

SECRET = "correct-horse-battery"
TEXT = """
sources:
  audit: {http: {listen: "127.0.0.1:0", bearer_token: "${TOKEN}"}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKEN", SECRET)
    path = tmp_path / "vedette.yaml"
    path.write_text(TEXT)
    return path


def test_a_secret_reaches_its_source(file: Path) -> None:
    token = load_config(file).sources["audit"].settings.bearer_token
    assert token.get_secret_value() == SECRET


def test_no_rendering_of_the_configuration_shows_a_secret(file: Path) -> None:
    config = load_config(file)
    renderings = (
        repr(config),
        str(config),
        json.dumps(plain_config(config)),
        yaml_config(config),
        config.model_dump_json(),
        str(config.model_dump()),
        config.detection_settings(),
    )
    assert not [shown for shown in renderings if SECRET in str(shown)]
    assert "bearer_token: '**********'" in yaml_config(config)


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--format", "json"], ["config", "check"]])
def test_no_command_shows_a_secret(file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main([*arguments, "--config", str(file)]) == 0
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err


@pytest.mark.parametrize(
    "broken",
    [
        "sources: {a: {http: {bearer_token: [S]}}}",
        "sources: {a: {http: {bearer_token: {x: S}}}}",
        "sources: {a: {http: {bearer_token: S, bearer_token_file: /x}}}",
        "sources: {a: {http: {bearer_tokn: S}}}",
        "sources: {a: {http: {bearer_token: S, lisen: 1}}}",
        "sources: {a: {http: {bearer_token: *S}}}",
        "sources: {a: {http: {bearer_token: !S}}}",
        "sources: {a: {http: {bearer_token: '${S'}}}",
        "sources: {a: {http: {bearer_token: 'S}}}",
        "sources: {a: {http: S}}",
        "alerts: {rollup_window_s: S}",
        "log: {level: S}",
        "sources: {a: {http: {listen: S}}}",
    ],
)
def test_no_error_shows_a_value(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "vedette.yaml"
    file.write_text(broken.replace("S", SECRET))
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_credentials_in_urls_are_masked(tmp_path: Path) -> None:
    file = tmp_path / "vedette.yaml"
    file.write_text("cluster: https://user:hunter2@host/x")
    assert plain_config(load_config(file))["cluster"] == "https://**********@host/x"


def test_every_secret_can_come_from_a_file() -> None:
    paths = {path: list(options(field.annotation)) for path, field in keys()}
    secrets = [path for path, kinds in paths.items() if SecretStr in kinds]
    assert secrets
    assert [path for path in secrets if f"{path}_file" not in paths] == []

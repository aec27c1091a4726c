"""What may stand in the configuration of an HTTP port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ValidationError

from collector.sources.http import HttpSettings, HttpSource
from collector.sources.http.settings import RouteSettings, TlsSettings
from vedette.schema.errors import ConfigError

if TYPE_CHECKING:
    from tests.collector.sources.http.conftest import Kit


def test_defaults_take_what_falcosidekick_and_k8saudit_take() -> None:
    settings = HttpSettings()
    assert settings.address == ("127.0.0.1", 2801)
    assert {path: (route.format, route.waits) for path, route in settings.routes.items()} == {
        "/": ("falco", True),
        "/k8s-audit": ("kube_audit", False),
        "/intake/*": ("*", False),
    }


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:2801", ("::1", 2801)),
        (":0", (None, 0)),
        ("sensor.local:65535", ("sensor.local", 65_535)),
    ],
)
def test_addresses(listen: str, address: tuple[str | None, int]) -> None:
    assert HttpSettings(listen=listen).address == address


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"listen": "127.0.0.1"}, "host:port"),
        ({"listen": "127.0.0.1:99999"}, "65535"),
        ({"listen": "::1:2801"}, "brackets"),
        ({"routes": {}}, "at least 1"),
        ({"routes": {"no-slash": "falco"}}, "begin it with /"),
        ({"routes": {"/a b": "falco"}}, "begin it with /"),
        ({"routes": {"/a?b": "falco"}}, "begin it with /"),
        ({"routes": {"/ping": "falco"}}, "choose another path"),
        ({"routes": {"/a/*": "falco"}}, "ends in /\\*"),
        ({"routes": {"/a": "*"}}, "ends in /\\*"),
        ({"routes": {"/*/*": "*"}}, "ends in /\\*"),
        ({"routes": {"/a/*": {"format": "*", "context": "x"}}}, "path of their own"),
        ({"routes": {"/a": {"format": "falco", "answer": "never"}}}, "wait"),
        ({"bearer_token": "a", "bearer_token_file": "b"}, "not both"),
        ({"reading_bytes_max": 2_000}, "at least body_bytes_max"),
        ({"tls": {"cert_file": "a"}}, "key_file"),
        ({"tls": {"cert_file": "a", "key_file": "b", "version_min": "1.1"}}, "1.2"),
        ({"header_timeout_s": 0}, "greater than 0"),
        ({"nonsense": 1}, "Extra inputs"),
    ],
)
def test_mistakes_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HttpSettings.model_validate(wrong)


@pytest.mark.parametrize("model", [HttpSettings, RouteSettings, TlsSettings])
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    assert not [name for name, field in model.model_fields.items() if not field.description]
    assert model.model_json_schema()["additionalProperties"] is False


def test_the_token_is_never_shown() -> None:
    settings = HttpSettings.model_validate({"bearer_token": "hidden"})
    assert "hidden" not in repr(settings) + settings.model_dump_json()


def test_a_route_names_a_known_format(kit: Kit) -> None:
    decoders = {name: kit.decoder(name) for name in ("falco", "hubble")}
    with pytest.raises(
        ConfigError, match=r"sources\.port\.http\.routes: '/x' names .*'none'.*Use one of: falco, hubble"
    ):
        HttpSource("port", HttpSettings.model_validate({"routes": {"/x": "none"}}), kit.memory(), decoders)


def test_a_path_of_its_own_goes_before_the_generic_one(kit: Kit) -> None:
    decoders = {name: kit.decoder(name) for name in ("falco", "vpc_flow")}
    own = {"format": "vpc_flow", "context": "v5"}
    for routes in ({"/intake/*": "*", "/intake/vpc_flow": own}, {"/intake/vpc_flow": own, "/intake/*": "*"}):
        source = HttpSource("port", HttpSettings.model_validate({"routes": routes}), kit.memory(), decoders)
        bound = source._service.routes
        assert {path: route.context for path, route in bound.items()} == {
            b"/intake/falco": "",
            b"/intake/vpc_flow": "v5",
        }


def test_urls_name_the_configured_paths(kit: Kit) -> None:
    settings = HttpSettings.model_validate({"listen": "[::1]:7", "routes": {"/": "falco", "/intake/*": "*"}})
    source = HttpSource("port", settings, kit.memory(), {"falco": kit.decoder("falco")})
    assert source.urls() == ["http://[::1]:7/", "http://[::1]:7/intake/<format>"]

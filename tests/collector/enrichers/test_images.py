"""Image references by the grammar and defaults of github.com/distribution/reference, and hostile ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.enrichers.images import ImageReference, images_of, parse_image
from vedette.schema.event import Facts

SHA = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("ref", "registry", "repository", "tag", "digest"),
    [
        pytest.param("nginx", "docker.io", "library/nginx", "latest", "", id="official"),
        pytest.param("nginx:1.25", "docker.io", "library/nginx", "1.25", "", id="tag"),
        pytest.param("bitnami/redis", "docker.io", "bitnami/redis", "latest", "", id="user"),
        pytest.param("docker.io/nginx", "docker.io", "library/nginx", "latest", "", id="hub, official"),
        pytest.param("index.docker.io/library/nginx", "docker.io", "library/nginx", "latest", "", id="legacy hub"),
        pytest.param("docker.io/a/b:c", "docker.io", "a/b", "c", "", id="hub"),
        pytest.param("quay.io/cilium/cilium:v1", "quay.io", "cilium/cilium", "v1", "", id="registry with a dot"),
        pytest.param("gcr.io/nginx", "gcr.io", "nginx", "latest", "", id="no library elsewhere"),
        pytest.param("localhost/nginx", "localhost", "nginx", "latest", "", id="localhost"),
        pytest.param("localhost:5000/nginx:1", "localhost:5000", "nginx", "1", "", id="port and tag"),
        pytest.param("registry:5000/nginx", "registry:5000", "nginx", "latest", "", id="port makes a registry"),
        pytest.param("Uppercase/nginx", "Uppercase", "nginx", "latest", "", id="upper case makes a registry"),
        pytest.param("[2001:db8::1]:5000/nginx", "[2001:db8::1]:5000", "nginx", "latest", "", id="IPv6"),
        pytest.param(f"nginx@{SHA}", "docker.io", "library/nginx", "", SHA, id="digest: no default tag"),
        pytest.param(f"nginx:1@{SHA}", "docker.io", "library/nginx", "1", SHA, id="tag and digest"),
        pytest.param(f"docker-pullable://a/b@{SHA}", "docker.io", "a/b", "", SHA, id="runtime scheme"),
        pytest.param(SHA, "", "", "", SHA, id="bare digest"),
        pytest.param(SHA[7:], "", "", "", SHA, id="bare identifier"),
        pytest.param(" nginx\n", "docker.io", "library/nginx", "latest", "", id="space"),
        pytest.param("nginx@sha256:short", "docker.io", "library/nginx@sha256", "short", "", id="invalid digest"),
        pytest.param("nginx:-x", "docker.io", "library/nginx:-x", "latest", "", id="invalid tag"),
        pytest.param("", "docker.io", "", "", "", id="nothing"),
        pytest.param("/", "docker.io", "/", "latest", "", id="slash"),
        pytest.param("quay.io/", "quay.io", "", "latest", "", id="registry alone"),
    ],
)
def test_parse(ref: str, registry: str, repository: str, tag: str, digest: str) -> None:
    assert parse_image(ref) == ImageReference(registry, repository, tag, digest)


NAMES = st.from_regex(r"[a-z0-9]{1,6}(?:[._-][a-z0-9]{1,6})?(?:/[a-z0-9]{1,6}){0,2}", fullmatch=True)


@given(
    registry=st.sampled_from(["docker.io", "quay.io", "localhost", "r:5000"]),
    name=NAMES,
    tag=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True),
    digest=st.sampled_from(["", SHA]),
)
def test_parse_undoes_str(registry: str, name: str, tag: str, digest: str) -> None:
    repository = f"library/{name}" if registry == "docker.io" and "/" not in name else name
    image = ImageReference(registry, repository, tag, digest)
    assert parse_image(str(image)) == image
    assert image.name == f"{registry}/{repository}"


@given(st.text() | st.text(alphabet="a:/@.-[]", max_size=40))
def test_any_text_is_taken_apart(ref: str) -> None:
    image = parse_image(ref)
    assert len(str(image)) <= 1100
    assert parse_image(str(image)).digest == image.digest


def test_images_of_facts_are_named_once() -> None:
    facts = Facts(images=("nginx", "docker.io/library/nginx:latest", "redis"))
    assert [str(image) for image in images_of(facts)] == [
        "docker.io/library/nginx:latest",
        "docker.io/library/redis:latest",
    ]
    assert str(parse_image(SHA)) == SHA

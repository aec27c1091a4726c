"""The generated files are what grpcio-tools makes of outputs.proto."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from collector.sources.falco_grpc.outputs_pb2 import DESCRIPTOR

ROOT = Path(__file__).parents[4]
PROTO = Path("collector/sources/falco_grpc/outputs.proto")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the command that the file names, in another folder."""
    folder = tmp_path_factory.mktemp("generated")
    (named,) = [line for line in (ROOT / PROTO).read_text().splitlines() if "grpc_tools.protoc" in line]
    assert named == f"//   python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. {PROTO}"
    target = folder / PROTO
    target.parent.mkdir(parents=True)
    target.write_bytes((ROOT / PROTO).read_bytes())
    subprocess.run([sys.executable, *named.split()[2:]], cwd=folder, check=True)
    return target.parent


@pytest.mark.parametrize("name", ["outputs_pb2.py", "outputs_pb2.pyi"])
def test_the_generated_files_are_current(made: Path, name: str) -> None:
    assert (made / name).read_text() == (ROOT / PROTO.parent / name).read_text(), f"run the command in {PROTO}"


def test_what_goes_over_the_wire_is_what_falco_documents() -> None:
    """Written down once more, since a wrong number would be wrong in the stand-in for Falco, too."""
    fields = {field.number: field.name for field in DESCRIPTOR.message_types_by_name["response"].fields}
    names = ["time", "priority", "rule", "output", "output_fields", "hostname", "tags", "source"]
    assert fields == dict(zip([1, 2, 4, 5, 6, 7, 8, 9], names, strict=True))
    service = DESCRIPTOR.services_by_name["service"]
    assert service.full_name == "falco.outputs.service"
    streams = {name: method.client_streaming for name, method in service.methods_by_name.items()}
    assert streams == {"sub": True, "get": False}
    assert all(method.server_streaming for method in service.methods)

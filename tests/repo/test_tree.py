"""The tree's own promises: our names are ours, files and functions stay readable, the wheel and the locks are whole."""

import ast
import io
import re
import tokenize
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = ("collector", "detectors", "sinks", "vedette")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*")) if path.is_file()]
MODULES = [path for path in FILES if path.suffix == ".py"]

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

LAYOUT_TOKENS = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_lines(source: str) -> set[int]:
    """The numbers of the lines that hold code: no blanks, no comments, no docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT_TOKENS:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Documented) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return lines


def test_code_lines_leaves_out_what_only_explains() -> None:
    explained = '"""Why."""\n\n# how\n'
    code = 'X = """a\n\nb"""\n\n\n'
    function = 'def f() -> int:\n    """What.\n\n    More.\n    """\n    return 1  # one\n'
    assert code_lines(explained + code + function) == {4, 5, 6, 9, 14}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_our_names(package: str) -> None:
    # An editable install lists no files, so then there is no owner at all.
    assert set(packages_distributions().get(package, [])) <= {"vedette"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_installed_package_has_every_file_of_the_tree(package: str) -> None:
    installed = Path(str(import_module(package).__file__)).parent
    expected = {p.relative_to(ROOT / package) for p in FILES if p.is_relative_to(ROOT / package) and p.suffix != ".pyc"}
    assert not {p.as_posix() for p in expected if not (installed / p).is_file()}


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_can_be_read_in_one_sitting(module: Path) -> None:
    assert len(code_lines(module.read_text("utf-8"))) <= MODULE_LINES_MAX


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_function_fits_on_a_screen(module: Path) -> None:
    source = module.read_text("utf-8")
    lines = code_lines(source)
    long = {
        f"{name(module)}:{node.lineno} {node.name}": length
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := len(lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1)))) > FUNCTION_LINES_MAX
    }
    assert not long


def locked(file: str) -> dict[str, list[str]]:
    """Version(s) by distribution name in one file of requirements/; several where Python versions differ."""
    pins: dict[str, list[str]] = {}
    text = (ROOT / "requirements" / file).read_text("utf-8")
    for distribution, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE):
        pins.setdefault(canonicalize_name(distribution), []).append(version)
    return pins


@pytest.mark.parametrize(
    ("file", "groups"),
    [
        ("build.txt", ["build"]),
        ("run.txt", ["run"]),
        ("test.txt", ["run", "test"]),
        ("dev.txt", ["run", "test", "lint"]),
        ("fuzz.txt", ["fuzz"]),
    ],
)
def test_the_lock_satisfies_what_pyproject_declares(file: str, groups: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    declared: dict[str, list[str]] = {"run": project["project"]["dependencies"], **project["dependency-groups"]}
    pins = locked(file)
    unmet = [
        line
        for group in groups
        for line in declared[group]
        for requirement in [Requirement(line)]
        if not any(map(requirement.specifier.contains, pins.get(canonicalize_name(requirement.name), [])))
    ]
    assert not unmet, f"run make lock: {unmet}"


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").glob("*.txt")), ids=name)
def test_a_lock_names_no_registry_and_no_machine(file: Path) -> None:
    assert not re.search(r"://|@ |--(extra-)?index-url|--find-links|^/| /", file.read_text("utf-8"), re.MULTILINE)

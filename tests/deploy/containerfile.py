"""A Containerfile, read as far as ours goes."""

from __future__ import annotations

import json
import re
import shlex
from typing import Final, NamedTuple

from .rendered import DEPLOY

PATH: Final = DEPLOY / "container" / "Containerfile"
IGNORED: Final = DEPLOY / "container" / "Containerfile.dockerignore"


class Step(NamedTuple):
    """One instruction and what stands behind it, on one line."""

    instruction: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def stages() -> list[list[Step]]:
    """The stages, each beginning with its FROM."""
    text = re.sub(r"^#.*\n", "", PATH.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    steps = [Step(*line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]
    starts = [at for at, step in enumerate(steps) if step.instruction == "FROM"]
    return [steps[start:end] for start, end in zip(starts, [*starts[1:], len(steps)], strict=True)]


def settings(stage: list[Step], instruction: str) -> list[str]:
    return [step.text for step in stage if step.instruction == instruction]


def environment(stage: list[Step]) -> dict[str, str]:
    return dict(word.split("=", 1) for step in stage if step.instruction == "ENV" for word in step.words)


def command(stage: list[Step]) -> list[str]:
    """What a container runs: entry point and arguments."""
    found: list[str] = []
    for instruction in ("ENTRYPOINT", "CMD"):
        (text,) = settings(stage, instruction)
        found += json.loads(text)
    return found


def script(stage: list[Step]) -> str:
    """A stage as a shell script, with the tree at /context; what is copied from another stage is there already."""
    lines = ["set -eux"]
    for step in stage:
        match step.instruction:
            case "WORKDIR":
                lines += [f"mkdir -p {step.text}", f"cd {step.text}"]
            case "RUN":
                lines.append(step.text)
            case "COPY" if not step.text.startswith("--from"):
                *sources, target = step.words
                lines += [f"mkdir -p {target}"] if target.endswith("/") else []
                lines += [f"cp -r /context/{source} {target}" for source in sources]
            case _:
                pass
    return "\n".join(lines) + "\n"

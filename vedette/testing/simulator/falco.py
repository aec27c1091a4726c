"""Falco alerts as Falco 0.44 writes them (userspace/engine/formats.cpp): one compact object, keys in order of letters.

Most come from four rules that an operator adds to see what containers do: each program started, file opened for
writing, file with credentials read, connection made; all informational. Falco's stock rules are silent on most days.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson

from vedette.testing.simulator.moments import falco_text
from vedette.testing.simulator.record import Emission

FORMAT: Final = "falco"
PROGRAM_RULE: Final = "Program Started in Container"
FILE_RULE: Final = "File Written in Container"
READ_RULE: Final = "Credential File Read in Container"
CONNECTION_RULE: Final = "Connection Made by Container"
_INFORMATIONAL: Final = "Informational"
_SHELL_RULE: Final = "Terminal shell in container"


class Box(NamedTuple):
    """A container as Falco knows it, rendered: `head` and `kube` are the members of `output_fields` about it."""

    node: str
    container_id: str
    head: str
    kube: str
    user: str


class Program(NamedTuple):
    """A program: executable, command line, parent's name."""

    path: str
    command: str
    parent: str

    @property
    def name(self) -> str:
        """The name as `proc.name` has it."""
        return self.path.rpartition("/")[2][:15]


def text_of(value: str) -> str:
    """Write a string in JSON."""
    return orjson.dumps(value).decode()


def make_box(
    node: str, container_id: str, container: str, image: tuple[str, str, str], pod: tuple[str, str], user: str
) -> Box:
    """Render a container. `image`: repository, tag, digest; `pod`: namespace, name; `user`: name:uid."""
    repository, tag, digest = map(text_of, image)
    name, _, uid = user.partition(":")
    return Box(
        node,
        container_id,
        f'"container.id":"{container_id}","container.image.digest":{digest},"container.image.repository":{repository},'
        f'"container.image.tag":{tag},"container.name":{text_of(container)}',
        f'"k8s.ns.name":{text_of(pod[0])},"k8s.pod.name":{text_of(pod[1])}',
        f'"user.name":{text_of(name)},"user.uid":{uid}',
    )


def program_started(box: Box, time_ns: int, program: Program) -> Emission:
    """A container started a program."""
    return _alert(box, time_ns, (PROGRAM_RULE, _INFORMATIONAL, '["container","process"]'), "execve", "", program)


def file_written(box: Box, time_ns: int, program: Program, path: str) -> Emission:
    """A program of a container opened a file for writing."""
    fd = f',"fd.name":{text_of(path)}'
    return _alert(box, time_ns, (FILE_RULE, _INFORMATIONAL, '["container","filesystem"]'), "openat", fd, program)


def credential_read(box: Box, time_ns: int, program: Program, path: str) -> Emission:
    """A program of a container read a file with credentials, its own account's token on most days."""
    fd = f',"fd.name":{text_of(path)}'
    return _alert(box, time_ns, (READ_RULE, _INFORMATIONAL, '["container","filesystem"]'), "openat", fd, program)


def connected(box: Box, time_ns: int, program: Program, flow: tuple[str, int, str, int, str]) -> Emission:
    """A program of a container connected. `flow`: own address and port, the server's, `tcp` or `udp`."""
    address, port, peer, peer_port, protocol = flow
    fd = (
        f',"fd.cip":"{address}","fd.cport":{port},"fd.l4proto":"{protocol}",'
        f'"fd.name":"{address}:{port}->{peer}:{peer_port}","fd.sip":"{peer}","fd.sport":{peer_port}'
    )
    return _alert(box, time_ns, (CONNECTION_RULE, _INFORMATIONAL, '["container","network"]'), "connect", fd, program)


def shell_opened(box: Box, time_ns: int, program: Program) -> Emission:
    """A shell with a terminal in a container: a stock rule."""
    rule = (_SHELL_RULE, "Notice", '["T1059","container","mitre_execution","shell"]')
    return _alert(box, time_ns, rule, "execve", "", program)


def snapshot(node: str, time_ns: int, number: int) -> Emission:
    """Falco's word that it lives: the metrics snapshot, which `metrics.interval: 1m` has it send each minute."""
    payload = (
        f'{{"hostname":"{node}","output":"Falco metrics snapshot","output_fields":{{"evt.source":"syscall",'
        f'"evt.time":{time_ns},"falco.num_evts":{number},"falco.version":"0.44.1","scap.n_drops":0}},'
        f'"priority":"Informational","rule":"Falco internal: metrics snapshot","source":"internal",'
        f'"time":"{falco_text(time_ns)}"}}'
    ).encode()
    return Emission(time_ns, payload, FORMAT, node)


def _alert(box: Box, time_ns: int, rule: tuple[str, str, str], call: str, fd: str, program: Program) -> Emission:
    """`rule`: name, priority, tags; `fd`: the fields of a file descriptor, after a comma."""
    name, priority, tags = rule
    moment = falco_text(time_ns)
    command = text_of(program.command)
    payload = (
        f'{{"hostname":"{box.node}","output":"{moment[11:29]}: {priority} {name} (process={program.name} '
        f'container_id={box.container_id})","output_fields":{{{box.head},"evt.time":{time_ns},"evt.type":"{call}"{fd},'
        f'{box.kube},"proc.cmdline":{command},"proc.exepath":"{program.path}","proc.name":"{program.name}",'
        f'"proc.pname":"{program.parent}",{box.user}}},"priority":"{priority}","rule":"{name}","source":"syscall",'
        f'"tags":{tags},"time":"{moment}"}}'
    ).encode()
    return Emission(time_ns, payload, FORMAT, box.node)

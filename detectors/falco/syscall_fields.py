"""The fields of Falco's `syscall` source, and those of events of any source.

Names, types and arguments are facts from falcosecurity/libs (userspace/libsinsp/sinsp_filtercheck_*.cpp, 0.25) and from
the container plugin (falcosecurity/plugins, plugins/container), which stock rules need. Vedette loads and checks rules
on them; their values come from whoever evaluates such a rule.
"""

from __future__ import annotations

from typing import Final

from detectors.falco.field_types import Argument, FieldTable, FieldType, table

EVENT_FIELDS: Final[FieldTable] = table(
    {
        FieldType.UINT64: "evt.num",
        FieldType.CHARBUF: """evt.time evt.time.s evt.time.iso8601 evt.datetime evt.datetime.s evt.pluginname
            evt.plugininfo evt.source evt.asynctype evt.hostname""",
        FieldType.ABSTIME: "evt.rawtime evt.rawtime.s evt.rawtime.ns",
        FieldType.RELTIME: "evt.reltime evt.reltime.s evt.reltime.ns",
        FieldType.BOOL: "evt.is_async",
    }
)
"""Fields that every event has, whatever its source."""

_SYSCALL: Final = table(
    {
        FieldType.CHARBUF: """
            evt.latency.human evt.outputtime evt.dir evt.type syscall.type evt.category evt.args evt.arg evt.info
            evt.res evt.io_dir evt.abspath evt.abspath.src evt.abspath.dst
            proc.exe proc.pexe proc.aexe proc.exepath proc.pexepath proc.aexepath proc.name proc.pname proc.aname
            proc.args proc.aargs proc.cmdline proc.pcmdline proc.acmdline proc.exeline proc.env proc.aenv proc.cwd
            proc.sname proc.sid.exe proc.sid.exepath proc.vpgid.name proc.vpgid.exe proc.vpgid.exepath proc.pgid.name
            proc.pgid.exe proc.pgid.exepath proc.fdusage.human
            thread.cap_permitted thread.cap_inheritable thread.cap_effective thread.nametid thread.cgroups thread.cgroup
            fd.type fd.typechar fd.name fd.directory fd.filename fd.l4proto fd.sockfamily fd.uid fd.containername
            fd.containerdirectory fd.cproto fd.sproto fd.lproto fd.rproto fd.cip.name fd.sip.name fd.lip.name
            fd.rip.name fd.nameraw fd.types
            fdlist.nums fdlist.names fdlist.cips fdlist.sips fdlist.cports fdlist.sports
            fs.path.name fs.path.nameraw fs.path.source fs.path.sourceraw fs.path.target fs.path.targetraw
            user.name user.homedir user.shell user.loginname group.name
            syslog.facility.str syslog.severity.str syslog.message
            container.id container.full_id container.name container.image container.image.id container.type
            container.mounts container.mount container.mount.source container.mount.dest container.mount.mode
            container.mount.rdwr container.mount.propagation container.image.repository container.image.tag
            container.image.digest container.healthcheck container.liveness_probe container.readiness_probe
            container.ip container.cni.json container.label container.labels container.info
            k8s.pod.name k8s.ns.name k8s.pod.id k8s.pod.uid k8s.pod.sandbox_id k8s.pod.full_sandbox_id k8s.pod.label
            k8s.pod.labels k8s.pod.ip k8s.pod.cni.json k8s.rc.name k8s.rc.id k8s.rc.label k8s.rc.labels k8s.svc.name
            k8s.svc.id k8s.svc.label k8s.svc.labels k8s.ns.id k8s.ns.label k8s.ns.labels k8s.rs.name k8s.rs.id
            k8s.rs.label k8s.rs.labels k8s.deployment.name k8s.deployment.id k8s.deployment.label
            k8s.deployment.labels""",
        FieldType.BYTEBUF: "evt.buffer",
        FieldType.INT16: "evt.cpu",
        FieldType.INT32: "fd.dev fd.dev.major fd.dev.minor",
        FieldType.INT64: """
            evt.rawres proc.loginshellid proc.pid proc.ppid proc.apid proc.vpid proc.pvpid proc.sid proc.vpgid proc.pgid
            proc.exe_ino proc.fdlimit thread.tid thread.vtid fd.num fd.ino user.loginuid""",
        FieldType.UINT32: """
            evt.type.is evt.count evt.count.error evt.count.error.file evt.count.error.net evt.count.error.memory
            evt.count.error.other evt.count.exit evt.count.procinfo evt.count.threadinfo proc.tty user.uid group.gid
            syslog.facility syslog.severity""",
        FieldType.UINT64: """
            evt.latency.quantized evt.buflen evt.around evt.buflen.in evt.buflen.out evt.buflen.file evt.buflen.file.in
            evt.buflen.file.out evt.buflen.net evt.buflen.net.in evt.buflen.net.out proc.cmdnargs proc.cmdlenargs
            proc.pidns_init_start_ts proc.fdopencount proc.vmsize proc.vmrss proc.vmswap thread.pfmajor thread.pfminor
            proc.nthreads proc.nchilds thread.vmsize thread.vmrss thread.vmsize.b thread.vmrss.b util.cnt""",
        FieldType.PORT: "fd.port fd.cport fd.sport fd.lport fd.rport fd.proto",
        FieldType.RELTIME: """
            evt.latency evt.latency.s evt.latency.ns evt.deltatime evt.deltatime.s evt.deltatime.ns evt.wait_latency
            proc.duration proc.ppid.duration proc.pid.ts proc.ppid.ts thread.exectime thread.totexectime
            container.duration""",
        FieldType.ABSTIME: """
            proc.exe_ino.ctime proc.exe_ino.mtime proc.exe_ino.ctime_duration_proc_start
            proc.exe_ino.ctime_duration_pidns_start container.start_ts""",
        FieldType.DOUBLE: "proc.fdusage thread.cpu thread.cpu.user thread.cpu.system",
        FieldType.BOOL: """
            evt.failed evt.is_io evt.is_io_read evt.is_io_write evt.is_wait evt.is_syslog evt.is_open_read
            evt.is_open_write evt.is_open_exec evt.is_open_create proc.is_exe_writable proc.is_exe_upper_layer
            proc.is_exe_lower_layer proc.is_exe_from_memfd proc.is_sid_leader proc.is_vpgid_leader
            proc.is_pgid_leader proc.is_container_healthcheck proc.is_container_liveness_probe
            proc.is_container_readiness_probe thread.ismain fd.is_server fd.connected fd.name_changed
            fd.is_upper_layer fd.is_lower_layer
            container.privileged container.host_pid container.host_network container.host_ipc""",
        FieldType.IPADDR: "fd.ip fd.cip fd.sip fd.lip fd.rip",
        FieldType.IPNET: "fd.net fd.cnet fd.snet fd.lnet fd.rnet",
        FieldType.DYN: "evt.rawarg",
    },
    arguments={
        Argument.INDEX: "proc.aexe proc.aexepath proc.aname proc.aargs proc.acmdline proc.apid fd.types",
        Argument.ANY: "proc.env proc.aenv",
        Argument.SUFFIX: """evt.arg evt.rawarg evt.type.is thread.cgroup container.label k8s.pod.label k8s.rc.label
            k8s.svc.label k8s.ns.label k8s.rs.label k8s.deployment.label""",
        Argument.ANY_REQUIRED: """evt.around container.mount container.mount.source container.mount.dest
            container.mount.mode container.mount.rdwr container.mount.propagation""",
    },
    lists="fd.types",
    plain_only="""fd.ip fd.net fd.cnet fd.snet fd.lnet fd.rnet evt.rawarg evt.around fd.port fd.proto proc.apid
        proc.aname proc.aexe proc.aexepath proc.acmdline proc.aargs proc.aenv fd.cip.name fd.sip.name fd.lip.name
        fd.rip.name""",
    filter_only="fd.ip fd.net fd.cnet fd.snet fd.lnet fd.rnet fd.port fd.proto evt.around",
)

SYSCALL_FIELDS: Final[FieldTable] = EVENT_FIELDS | _SYSCALL

DEPRECATED_FIELDS: Final = (
    "evt.dir",
    "evt.latency",
    "evt.latency.s",
    "evt.latency.ns",
    "evt.latency.human",
    "evt.wait_latency",
)
"""Fields that Falco 0.44 warns of: there are no enter events any more."""

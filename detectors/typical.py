r"""What ordinary events hold: texts that tell nothing about an event, so that an index had better not look for them.

A guess that costs time where it is wrong, and nothing else. Written down from what Kubernetes nodes, their containers
and desktops do all day, in folded form.
"""

from __future__ import annotations

from typing import Final

TYPICAL: Final = r"""
/bin/bash -c /usr/bin/sh -c /bin/sh -e /usr/local/bin/python3 -m /usr/bin/python3 /usr/sbin/nginx -g daemon off;
/usr/bin/java -jar /app/app.jar /usr/lib/jvm/bin/java /usr/bin/node /usr/bin/perl /usr/bin/ssh /usr/sbin/sshd -d
/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id /usr/bin/kubelet --config=/var/lib/kubelet/config.yaml
/usr/bin/runc --root /run/containerd /usr/lib/systemd/systemd /sbin/init /usr/bin/cat /bin/ls /usr/bin/ps aux
/usr/bin/sudo /usr/bin/curl -s http:// https:// /usr/bin/grep /usr/bin/awk /usr/bin/sed /usr/bin/find / -name
/usr/bin/cron /usr/sbin/cron -f /proc/ /sys/ /dev/null /dev/ /tmp/ /var/log/ /etc/ /home/ /root/ /opt/ /srv/ /mnt/
system:serviceaccount:kube-system: system:node: system:apiserver system:kube-controller-manager kubernetes-admin
kubelet/v1. kubernetes/ (linux/amd64) kubectl/v1. kube-probe/ go-http-client/ node-exporter kube-scheduler
pods nodes leases events services endpoints configmaps secrets deployments apps v1 allow responsecomplete request
get list watch create update patch delete 200 201 403 404
c:\windows\system32\svchost.exe -k netsvcs -p -s schedule c:\windows\system32\services.exe c:\windows\explorer.exe
c:\windows\system32\cmd.exe /c c:\windows\system32\conhost.exe 0xffffffff -forcev1
c:\windows\system32\windowspowershell\v1.0\powershell.exe -noprofile -command taskhostw.exe dllhost.exe lsass.exe
c:\program files\google\chrome\application\chrome.exe c:\program files (x86)\microsoft office\root\office16\excel.exe
c:\program files\dotnet\dotnet.exe exec .net host winword.exe outlook.exe msedge.exe c:\programdata\ c:\users\public
c:\windows\syswow64\rundll32.exe c:\users\appdata\local\temp\ c:\users\appdata\roaming\ nt authority\system
microsoft corporation microsoft office windows explorer windows powershell google llc microsoft windows operating system
chrome.exe explorer.exe
"""

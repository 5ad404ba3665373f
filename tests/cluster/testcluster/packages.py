"""The Debian packages that a node and its images need, installed if possible."""

from __future__ import annotations

import os
import shutil

from testcluster import cache
from testcluster.commands import run, say
from testcluster.errors import CommandError, UnavailableError

NODE = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""Program → the package that contains it."""
POLICIES = {"iptables-save": "iptables", "ipset": "ipset"}
"""What kube-router needs besides, to enforce network policies."""
IMAGES = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}


def require(programs: dict[str, str]) -> None:
    """Make sure that the programs exist; install their packages if this is root on a Debian."""
    packages = absent(programs)
    if not packages:
        return
    wanted = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UnavailableError(f"the test cluster needs more programs: sudo apt-get install {wanted}")
    with cache.lock("packages"):  # apt-get refuses while another one works
        if packages := absent(programs):
            say(f"installing {' '.join(packages)}")
            install(packages)
    if still := absent(programs):
        raise UnavailableError(f"apt-get did not bring what {' '.join(still)} should; install it by hand")


def absent(programs: dict[str, str]) -> list[str]:
    """Return the packages whose programs are missing."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    found = {program for program in programs if shutil.which(program, os.F_OK, path)}
    return sorted({package for program, package in programs.items() if program not in found})


def install(packages: list[str]) -> None:
    """Install Debian packages; retry after renewing the lists."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ("apt-get", "install", "--yes", "--no-install-recommends", *packages)
    try:
        run(*command, env=quiet)
    except CommandError:
        run("apt-get", "update", env=quiet)
        run(*command, env=quiet)

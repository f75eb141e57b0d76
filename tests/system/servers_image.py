# SPDX-License-Identifier: MIT
"""A file system of Debian's servers and their clients on a CD: packages with all that they depend on, unpacked as they come, and
the little that their scripts would have made."""
import glob
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess

from engine_fixture import BUSYBOX, ROOT
from suite import Skip

PACKAGES = ["dash", "nginx", "nginx-common", "iperf3", "redis-server", "redis-tools", "openssh-server", "openssh-client", "curl",
            "apache2-utils", "apt", "gpgv", "coreutils", "openjdk-17-jre-headless", "docker-registry"]
UNUSED = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/i18n", "usr/share/zoneinfo", "usr/share/perl", "usr/share/perl5"]
PASSWD = """root:x:0:0:root:/root:/bin/sh
www-data:x:33:33::/var/www:/bin/false
sshd:x:100:65534::/run/sshd:/bin/false
nobody:x:65534:65534::/nonexistent:/bin/false
"""
GROUP = "root:x:0:\nadm:x:4:\nwww-data:x:33:\nnogroup:x:65534:\n"
FOLDERS = ["dev", "proc", "sys", "run", "tmp", "root/.ssh", "var/log/nginx", "var/log/apt", "var/www/html", "var/lib/nginx",
           "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial",
           "etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "etc/apt/sources.list.d"]
# What apt's script and dpkg run, where no package of these has it.
APPLETS = "awk cat chmod cmp cp cut diff find grep head id ldconfig ln ls mkdir mktemp mount mv ps rm sed sleep sort start-stop-daemon tail tar touch tr uname wc xargs"


def make_image():
    """tools/make-image as a module."""
    loader = importlib.machinery.SourceFileLoader("make_image", os.path.join(ROOT, "tools/make-image"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("make_image", loader))
    loader.exec_module(module)
    return module


def write(root, name, text):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def configure(root):
    for name in FOLDERS:
        os.makedirs(os.path.join(root, name), exist_ok=True)
    os.chmod(os.path.join(root, "tmp"), 0o1777)
    write(root, "etc/passwd", PASSWD)
    write(root, "etc/group", GROUP)
    write(root, "var/lib/dpkg/status", "")
    shutil.copy(os.path.join(root, "usr/share/nginx/html/index.html"), os.path.join(root, "var/www/html"))
    shutil.copy(BUSYBOX, os.path.join(root, "bin/busybox"))
    for applet in APPLETS.split():
        if not any(os.path.lexists(os.path.join(root, place, applet)) for place in ("bin", "sbin", "usr/bin", "usr/sbin")):
            os.symlink("busybox", os.path.join(root, "bin", applet))
    for name, target in (("bin/sh", "dash"), ("etc/nginx/sites-enabled/default", "../sites-available/default")):
        if not os.path.lexists(os.path.join(root, name)):
            os.symlink(target, os.path.join(root, name))


def servers_tree():
    """The folder; what it lacks is a Skip."""
    try:
        root = make_image().unpacked(PACKAGES)
    except SystemExit:
        raise Skip("Debian's packages cannot be had") from None
    configure(root)
    return root


def servers_cd(path):
    """Writes the CD; returns the folder that it was made of."""
    root = servers_tree()
    without = [word for name in UNUSED + [os.path.relpath(p, root) for p in glob.glob(root + "/usr/lib/python*")]
               for word in ("-m", os.path.join(root, name))]
    p = subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", path, *without, root], capture_output=True, text=True)
    if p.returncode:
        raise AssertionError(p.stderr[-1000:])
    return root


def of_tree(root, program):
    """A command line that runs one of its programs here, with its own libraries."""
    libraries = ":".join(os.path.join(root, place) for place in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"))
    return [os.path.join(root, "lib64/ld-linux-x86-64.so.2"), "--library-path", libraries, os.path.join(root, program)]

# SPDX-License-Identifier: MIT
"""Programs of Debian as they come: packages that apt downloads once, unpacked under build/packages, in a layer."""
import fcntl
import glob
import os
import subprocess
import tempfile

from engine_fixture import ROOT
from python_image import Layer, libraries
from suite import Skip

PACKAGES = os.path.join(ROOT, "build/packages")


def unpacked(*packages):
    """A folder with what these packages contain, without what they depend on."""
    folder = os.path.join(PACKAGES, "+".join(packages))
    os.makedirs(PACKAGES, exist_ok=True)
    with open(os.path.join(PACKAGES, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several tests may start at once
        if os.path.isdir(folder):
            return folder
        with tempfile.TemporaryDirectory(dir=PACKAGES) as tmp:
            got = subprocess.run(["apt-get", "-q", "download", *packages], cwd=tmp, capture_output=True, text=True)
            debs = glob.glob(os.path.join(tmp, "*.deb"))
            if got.returncode or len(debs) != len(packages):
                raise Skip(f"cannot download {packages}: {got.stderr.strip()[-200:]}")
            root = os.path.join(tmp, "root")
            for deb in debs:
                subprocess.run(["dpkg", "-x", deb, root], check=True)
            os.replace(root, folder)
    return folder


def add_tree(layer, root, below=""):
    """All files of an unpacked package, at their places; links too."""
    for folder, folders, names in os.walk(os.path.join(root, below)):
        place = "/" + os.path.relpath(folder, root)
        layer.folder(place if place != "/." else "/")
        for name in sorted(names + [f for f in folders if os.path.islink(os.path.join(folder, f))]):
            path = os.path.join(folder, name)
            if os.path.islink(path):
                layer.link(os.path.join(place, name), os.readlink(path))
            else:
                layer.file(path, os.path.join(place, name))


def nginx_layer():
    """Debian's nginx and nginx-common, and what their postinst does: the default site is enabled."""
    root = unpacked("nginx", "nginx-common")
    layer = Layer()
    for below in ("etc/nginx", "usr/sbin", "var"):
        add_tree(layer, root, below)
    for path in libraries([os.path.join(root, "usr/sbin/nginx")]):
        layer.file(path)
    layer.link("/etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default")
    layer.file(os.path.join(root, "usr/share/nginx/html/index.html"), "/var/www/html/index.nginx-debian.html")
    for folder in ("/run", "/var/log/nginx", "/var/lib/nginx"):
        layer.folder(folder)
    return layer.bytes()

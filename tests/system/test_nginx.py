#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's nginx as it is configured: `listen 80 default_server; listen [::]:80 default_server;`."""
import os
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bothy import commands, put, run
from debian_image import nginx_layer
from engine_fixture import busybox_layer, docker_archive, tar
from suite import expect, expect_in, main

# One shell is the container: it starts nginx, which becomes a daemon, and asks it over both families.
SCRIPT = """export PATH=/usr/sbin:/bin
echo 'www-data:x:33:33:www-data:/var/www:/bin/sh' >> /etc/passwd
echo 'www-data:x:33:' >> /etc/group
nginx -t && nginx || exit 1
for url in http://127.0.0.1/ 'http://[::1]/' 'http://[::ffff:127.0.0.1]/'; do
    wget -q -O - "$url" | grep '<title>' || exit 2
done
wget -q -O /dev/null http://127.0.0.1/none && exit 3
sed 's/ HTTP.*//' /var/log/nginx/access.log
nginx -s quit
while [ -e /run/nginx.pid ]; do usleep 10000; done
echo gone
"""


def test_nginx_serves_both_families_as_debian_configures_it():
    with tempfile.TemporaryDirectory(prefix="bothy-nginx-") as folder:
        script = tar([("serve", tarfile.REGTYPE, SCRIPT)])
        image = put(folder, "nginx.tar", docker_archive("nginx:latest", [busybox_layer(), nginx_layer(), script]))
        p = run("--image", image, "--memory", "512", "--timeout", "600", *commands("run --rm nginx sh /serve"))
    out = p.stdout + p.stderr
    expect_in("test is successful", out)
    expect(out.count("<title>Welcome to nginx!</title>"), 3, f"answers in {out!r}")
    for line in ('127.0.0.1 - - ', '::1 - - '):
        expect_in(line, out)
    expect((p.returncode, out.rstrip().splitlines()[-1]), (0, "gone"))


if __name__ == "__main__":
    main(sys.modules[__name__])

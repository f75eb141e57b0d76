#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a container sees of files: volumes, tmpfs, what stands in their way, and the owners and descriptors of others."""
import json
import os
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine_fixture import BRIEF, BUSYBOX, busybox_layer, clean, docker_archive, expect, expect_in, main, sh, tar

with open(BUSYBOX, "rb") as f:
    BUSYBOX_ALONE = [("bin", tarfile.DIRTYPE, None), ("bin/busybox", tarfile.REGTYPE, f.read())]


def test_read_only_volumes_and_tmpfs(engine):
    p = sh(engine, "touch /x", "--read-only")
    expect_in("Read-only file system", p.stderr)
    source = engine.path("vol")
    p = sh(engine, "echo data > /v/f; ls /v", "-v", source + ":/v")
    expect((p.stdout, open(source + "/f").read()), ("f\n", "data\n"))
    p = sh(engine, "cat /v/f; echo no > /v/f", "-v", source + ":/v:ro")
    expect(p.stdout, "data\n")
    expect_in("Read-only file system", p.stderr)
    p = sh(engine, "grep ' /t ' /proc/mounts | cut -d' ' -f1", "--tmpfs", "/t")
    expect(p.stdout, "tmpfs\n")
    p = sh(engine, "ls -l /dev/zero2 | cut -c1", "--device", "/dev/zero:/dev/zero2")
    expect(p.stdout, "c\n")
    p = sh(engine, "ulimit -n", "--ulimit", "nofile=99:100")
    expect(p.stdout, "99\n")


def test_mounts_go_where_links_lead_inside_the_root(engine):
    DIR, SYM = tarfile.DIRTYPE, tarfile.SYMTYPE
    layer = tar([("run", DIR, None), ("var", DIR, None), ("var/run", SYM, "/run"), ("usr", DIR, None),
                 ("usr/lib", DIR, None), ("lib", SYM, "usr/lib"), ("out", SYM, "../../../../tmp/made"),
                 ("wd", SYM, "var/w2")])
    outer = engine.path("shared")
    os.makedirs(outer + "/sub")
    os.symlink("/tmp", outer + "/link")
    engine.load(docker_archive("links:1", [busybox_layer(), layer]))
    for options, script, want in (
            (["-v", outer + ":/var/run/docker"], "ls /run/docker", "link\nsub\n"),
            (["-v", outer + ":/lib"], "ls /usr/lib; readlink /lib", "link\nsub\nusr/lib\n"),
            (["--tmpfs", "/var/run"], "grep -c ' /run tmpfs' /proc/mounts", "1\n"),
            (["-v", outer + ":/out/x"], "ls /tmp/made/x", "link\nsub\n"),
            (["-w", "/wd/deep"], "pwd -P", "/var/w2/deep\n"),
            (["-v", outer + ":/v", "-v", outer + "/sub:/v/link/in:ro"], "touch /tmp/in/x", None)):
        p = engine.run("run", "--rm", *options, "links:1", "sh", "-c", script)
        if want is None:
            expect_in("Read-only file system", p.stderr)
        else:
            expect((p.stdout, p.stderr), (want, ""), str(options))
    expect(os.path.exists("/tmp/made"), False, "a directory of the host's")
    engine.run("rmi", "links:1")
    clean(engine)


def test_what_stands_in_the_way_of_the_set_up_gives_way(engine):
    REG, SYM = tarfile.REGTYPE, tarfile.SYMTYPE
    layer = tar([("proc", SYM, "/tmp"), ("sys", REG, "x"), ("dev", SYM, "../../dev"),
                 ("etc/resolv.conf", SYM, "../run/systemd/resolve/stub-resolv.conf"),
                 ("etc/hosts", SYM, "/run/hosts"), ("etc/hostname", SYM, "/etc/passwd"),
                 ("etc/mtab", REG, "old")])
    engine.load(docker_archive("evil:1", [busybox_layer(), layer]))
    p = engine.run("run", "--rm", "-h", "me", "evil:1", "sh", "-c",
                   "stat -c %F /proc /sys /dev; for f in hosts hostname resolv.conf; do test -f /etc/$f -a ! -L /etc/$f && echo file; done; hostname; "
                   "grep -c me /etc/hosts; head -c 5 /etc/passwd; readlink /etc/mtab; stat -c %a /.dockerenv")
    expect((p.stdout, p.stderr), ("directory\n" * 3 + "file\n" * 3 + "me\n1\nroot:/proc/mounts\n755\n", ""))
    engine.run("rmi", "evil:1")
    etc = tar([("etc", REG, "file"), ("lib", SYM, "x")])
    engine.load(docker_archive("evil:2", [busybox_layer(), etc]))
    expect(engine.run("run", "--rm", "evil:2", "ls", "/etc").stdout, "hostname\nhosts\nmtab\nresolv.conf\n")
    engine.run("rmi", "evil:2")
    clean(engine)


def test_what_lies_between_image_and_container_is_there_whatever_the_image_hides(engine):
    REG, DIR, SYM = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE
    names = [".dockerenv", "dev", "etc", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "sys"]
    look = "cd /; for n in " + " ".join(names) + "; do test -e $n && echo $n; done; readlink etc/mtab"
    lower = tar([("etc/hosts", REG, "old"), (".dockerenv", REG, ""), ("sys", DIR, None), ("etc/mtab", REG, "old")])
    hiding = {"nothing": [("x", REG, "")], "file": [("etc/.wh.hosts", REG, "")], "env": [(".wh..dockerenv", REG, "")],
              "folder": [(".wh.sys", REG, "")], "etc": [("etc", DIR, None), ("etc/.wh..wh..opq", REG, "")],
              "mtab": [("etc/.wh.mtab", REG, "")], "root": [(".wh..wh..opq", REG, ""), *BUSYBOX_ALONE]}
    for what, entries in hiding.items():
        engine.load(docker_archive("hiding:1", [lower, busybox_layer(), tar(entries)]))
        p = engine.run("run", "--rm", "hiding:1", "/bin/busybox", "sh", "-c", look)
        expect((p.stdout, p.stderr), ("\n".join(names) + "\n/proc/mounts\n", ""), what)
        engine.run("rmi", "hiding:1")
    engine.load(docker_archive("plain:1", [tar([("lib", SYM, "x"), *BUSYBOX_ALONE])]))
    cid = engine.run("run", "-d", "plain:1", "/bin/busybox", "sleep", "1000").stdout.strip()
    expect(os.listdir(os.path.join(engine.root, "containers", cid, "upper")), [], "made for this container alone")
    p = engine.run("exec", cid, "/bin/busybox", "sh", "-c", look + "; busybox chmod 700 etc; busybox rm .dockerenv")
    expect(p.stdout, "\n".join(names) + "\n/proc/mounts\n")
    expect(engine.run("run", "--rm", "plain:1", "/bin/busybox", "stat", "-c", "%a", "/.dockerenv", "/etc").stdout,
           "755\n755\n", "what another container does is its own")
    engine.run("rm", "-f", cid)
    engine.run("rmi", "plain:1")
    clean(engine)


def test_what_a_container_changes_of_the_set_up_stays(engine):
    engine.run("run", "--name", "again", "busybox", "sh", "-c",
               "if [ -e /.dockerenv ]; then rm /.dockerenv /etc/mtab; chmod 700 /; else stat -c %a /; ls /etc/mtab; fi")
    engine.run("start", "-a", "again")
    expect(engine.run("logs", "again").stdout, "700\n")
    engine.run("rm", "again")


def test_mounts_are_made_from_the_root_down(engine):
    x, etc = engine.path("deep"), engine.path("etc")
    os.makedirs(x)
    open(x + "/f", "w").close()
    p = sh(engine, "ls /x/y; ls -A /x; cat /etc/hosts", "-v", x + ":/x/y", "--tmpfs", "/x", "-v", etc + ":/etc/")
    expect(p.stdout.startswith("f\ny\n127.0.0.1"), True, p.stdout + p.stderr)
    own = engine.path("hosts", b"mine\n")
    expect(sh(engine, "cat /etc/hosts", "-v", own + ":/etc/hosts").stdout, "mine\n")
    for options in (["-v", x + ":/x", "-v", x + ":/x/"], ["-v", x + ":/x", "--tmpfs", "/y/../x"]):
        p = sh(engine, "true", *options)
        expect_in("Duplicate mount point: /x", p.stderr)
    for target in ("/proc", "/proc/sys", "/proc/self/attr"):
        p = sh(engine, "true", "-v", x + ":" + target)
        expect_in("inside /proc", p.stderr)
    clean(engine)


def test_mount_words(engine):
    x = engine.path("words")
    os.makedirs(x)
    for words, want in (("", "rw,nosuid,nodev,noexec"), ("exec,dev,suid", "rw"), ("ro", "ro,nosuid,nodev,noexec"),
                        ("rw,noexec,nosuid,size=65536k", "rw,nosuid,nodev,noexec|size=65536k"),
                        ("defaults,size=1m,mode=1770,uid=7", "mode=1770|uid=7|size=1024k"),
                        ("noatime,nodiratime,relatime", "relatime"), ("sync", "sync")):
        line = sh(engine, "grep ' /t ' /proc/mounts", "--tmpfs", "/t:" + words).stdout
        for part in want.split("|"):
            expect_in(part, line, f"mount of {words!r}")
    for words in ("nosuch", "size=", "shared", "bind", "remount", "rro"):
        p = sh(engine, "true", "--tmpfs", "/t:" + words)
        expect_in(f'invalid tmpfs option ["{words}"]', p.stderr)
    for mode in ("z,ro", "ro,Z", "rprivate,ro,cached", "nocopy,ro"):
        expect_in("Read-only", sh(engine, "touch /x/f", "-v", f"{x}:/x:{mode}").stderr, mode)
    for mode in ("rx", "ro,rw", "z,Z", "RO", "ro,", ",", "shared", "rslave", "noexec", "size=1"):
        expect_in(f"invalid mode: {mode}\n", sh(engine, "true", "-v", f"{x}:/x:{mode}").stderr)
    for spec in (":/x", f"{x}:", f"{x}:/x:ro:rw", f"{x}:ro", ""):
        expect_in("invalid", sh(engine, "true", "-v", spec).stderr, spec)
    expect_in("must be absolute", sh(engine, "true", "-v", x + ":x/y").stderr)
    expect_in("can't be '/'", sh(engine, "true", "-v", x + ":/a/..").stderr)
    clean(engine)


def test_volumes_begin_as_what_the_image_has(engine):
    from engine_fixture import config
    info = tarfile.TarInfo("data")
    info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, 0o750, 33, 34
    layer = tar([info, ("data/a", tarfile.REGTYPE, "A", 0o4711), ("data/b", tarfile.LNKTYPE, "data/a"),
                 ("data/l", tarfile.SYMTYPE, "/etc"), ("data/.h", tarfile.REGTYPE, "")])
    layers = [busybox_layer(), layer]
    engine.load(docker_archive("vol:1", layers, conf=config(layers, Volumes={"/data": {}})))
    look = "stat -c %a:%u:%g /data; stat -c %a:%h /data/b; readlink /data/l; ls -A /data; grep -c ' /data ' /proc/mounts"
    whole = "750:33:34\n4711:2\n/etc\n.h\na\nb\nl\n1\n"
    for options in ([], ["-v", "/data"], ["-v", "named:/data"], ["--read-only"],
                    ["--mount", "type=volume,src=other,dst=/data"]):
        p = engine.run("run", "--rm", *options, "vol:1", "sh", "-c", look + "; echo x >/data/new; cat /data/new")
        expect((p.stdout, p.stderr), (whole + "x\n", ""), str(options))
    expect(engine.run("run", "--rm", "-v", "named:/data", "vol:1", "cat", "/data/new").stdout, "x\n")
    expect(engine.run("run", "--rm", "-v", "fresh:/data:nocopy", "vol:1", "ls", "-A", "/data").stdout, "")
    expect(engine.run("create", "--name", "vol", "vol:1").stderr, "")
    j = json.loads(engine.run("inspect", "vol").stdout)[0]
    expect([(m["Type"], m["Destination"], m["RW"]) for m in j["Mounts"]], [("volume", "/data", True)])
    engine.run("rm", "vol")
    engine.run("rmi", "vol:1")
    clean(engine)


def test_ids_are_numbers_first(engine):
    layer = tar([("etc/passwd", tarfile.REGTYPE, "root:x:0:0::/root:/bin/sh\n1003:x:0:0::/:/bin/sh\n"
                  "x:x:1004:44::/x:/bin/sh\n", 0o644),
                 ("etc/group", tarfile.REGTYPE, "root:x:0:\n77:x:5:\nextra:x:66:x\n", 0o644)])
    engine.load(docker_archive("ids:1", [busybox_layer(), layer]))
    for user, options, want in (("1003", [], "1003 0 0"), ("1004", [], "1004 44 44 66"), ("x", [], "1004 44 44 66"),
                                ("x:77", [], "1004 77 77"), ("2147483647:2147483647", [], "2147483647 2147483647 2147483647"),
                                ("1003", ["--group-add", "extra", "--group-add", "77"], "1003 0 0 66 77")):
        p = engine.run("run", "--rm", "-u", user, *options, "ids:1", "sh", "-c", "echo $(id -u) $(id -g) $(id -G)")
        expect((p.stdout, p.stderr), (want + "\n", ""), user)
    for user, options in (("4294967296", []), ("2147483648", []), ("-1", []), ("0:4294967296", []),
                          ("0", ["--group-add", "4294967296"])):
        p = engine.run("run", "--rm", "-u", user, *options, "ids:1", "true")
        expect_in("uids and gids must be in range 0-2147483647", p.stderr, user)
    expect_in("unable to find group none", engine.run("run", "--rm", "--group-add", "none", "ids:1", "true").stderr)
    engine.run("rmi", "ids:1")
    clean(engine)


def test_no_path_leads_to_what_the_engine_has_open(engine):
    engine.run("run", "-d", "--name", "keep", "busybox", "sleep", "1000")
    for fd in range(3, 28, 4 if BRIEF else 1):
        path = f"/proc/self/fd/{fd}"
        for p in (sh(engine, "pwd -P", "-w", path),
                  engine.run("exec", "-w", path, "keep", "pwd", "-P"),
                  engine.run("exec", "keep", path + "/../../../../bin/true")):
            expect(p.returncode != 0, True, path + " led to " + p.stdout)
    engine.run("exec", "keep", "sh", "-c", "rm /dev/null; mkfifo /dev/null")
    p = engine.run("exec", "keep", "true")
    expect(p.returncode != 0, True)
    expect_in("/dev/null is not the null device", p.stdout + p.stderr)
    engine.run("rm", "-f", "keep")
    clean(engine)


if __name__ == "__main__":
    main(sys.modules[__name__])

// SPDX-License-Identifier: MIT
// --runtime vm: the container's process is the VMM, in a domain of its own.
//
// The image's merged tree is packed once per image into a cpio archive, behind the guest agent's
// own (RUNTIME_VM_AGENT); both together are the guest's initramfs. What to run travels as a boot
// module, config.json, which only the agent reads. The VMM gets a root of its own with nothing in
// it but its program, /dev/kvm, /dev/null and these files, read-only.
//
//   /bin/vmm container --kernel /boot/bothy.elf --initrd /boot/initrd.cpio --memory N --cpus N
//                      --module /boot/config.json:config.json
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/mounts.h"
#include "engine/pack.h"
#include "engine/names.h"
#include "lib/str.h"

#define RUNTIME_VM_VMM "/bin/vmm"
#define RUNTIME_VM_KERNEL "/boot/bothy.elf"
#define RUNTIME_VM_AGENT "/boot/agent.cpio"
#define RUNTIME_VM_MEMORY (64ll << 20)

char *runtime_vm_check(void)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd >= 0) {
        close(fd);
        return NULL;
    }
    return str_fmt("--runtime vm needs VT-x or AMD-V: %s",
                   errno == ENOENT   ? "this machine has neither, or firmware has disabled it"
                   : errno == ENODEV ? "the CPU's virtualization cannot be used"
                                     : strerror(errno));
}

char *runtime_vm_refuse(const struct json *host)
{
    static const char *const lists[] = {"Binds",   "Mounts",  "Devices", "Tmpfs",
                                        "Sysctls", "Ulimits", NULL};
    const char *net = json_str(host, "NetworkMode");

    if (net && !strcmp(net, "host"))
        return str_dup("--runtime vm cannot be combined with --network host");
    for (int i = 0; lists[i]; i++)
        if (json_list(host, lists[i]))
            return str_fmt("--runtime vm does not support HostConfig.%s", lists[i]);
    if (json_bool(host, "Privileged"))
        return str_dup("--runtime vm does not support --privileged");
    return NULL;
}

static void vm_config(struct container *c, struct buf *b)
{
    struct jw w = {.out = b};

    jw_object(&w, NULL);
    jw_array(&w, "args");
    for (char **a = c->spec.argv; *a; a++)
        jw_str(&w, NULL, *a);
    jw_array_end(&w);
    jw_array(&w, "env");
    for (char **e = c->spec.env; *e; e++)
        jw_str(&w, NULL, *e);
    jw_array_end(&w);
    jw_str(&w, "cwd", c->spec.cwd);
    jw_str(&w, "user", c->spec.user);
    jw_str(&w, "hostname", c->hostname);
    jw_bool(&w, "tty", c->spec.tty);
    jw_bool(&w, "readonly", c->readonly_root);
    jw_int(&w, "pids", c->limits.pids > 0 ? c->limits.pids : 0);
    jw_str(&w, "rootfs", "/rootfs");
    jw_object_end(&w);
}

char *runtime_vm_prepare(struct container *c)
{
    char *packed = str_fmt("%s/packed/%s.cpio", engine.root, c->image->id), *why = NULL, *path;
    struct buf config = {0};
    int err;

    if (access(packed, F_OK) < 0)
        why = pack_image(c->image, RUNTIME_VM_AGENT, packed);
    free(packed);
    if (why)
        return why;
    vm_config(c, &config);
    path = container_path(c, "config.json");
    err = file_write(path, config.data, config.len, 0600);
    free(path);
    buf_free(&config);
    return err ? str_fmt("cannot write the VM's configuration: %s", strerror(-err)) : NULL;
}

static void vm_file(struct child *ch, const char *source, const char *target)
{
    struct stat st;

    if (stat(source, &st) < 0)
        child_fail(ch, "--runtime vm needs %s: %s", source, strerror(errno));
    mount_inside(ch, source, target, false, NULL, MS_BIND, NULL);
}

/* A root that holds what the VMM needs and no more. */
static void vm_root(struct child *ch)
{
    struct container *c = ch->c;
    char *merged = container_path(c, "merged"), *config = container_path(c, "config.json");
    char *initrd = str_fmt("%s/packed/%s.cpio", engine.root, c->image->id);

    child_mount(ch, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    child_mount(ch, "tmpfs", merged, "tmpfs", MS_NOSUID, "mode=755,size=1m");
    if (chdir(merged) < 0)
        child_fail(ch, "cannot enter %s: %s", merged, strerror(errno));
    vm_file(ch, RUNTIME_VM_VMM, "/bin/vmm");
    vm_file(ch, RUNTIME_VM_KERNEL, "/boot/bothy.elf");
    vm_file(ch, initrd, "/boot/initrd.cpio");
    vm_file(ch, config, "/boot/config.json");
    vm_file(ch, "/dev/kvm", "/dev/kvm");
    vm_file(ch, "/dev/null", "/dev/null");
    if (ch->spec->tty) {
        mount_inside(ch, "devpts", "/dev/pts", true, "devpts", MS_NOSUID | MS_NOEXEC,
                     "newinstance,ptmxmode=0666,mode=0620,gid=5");
        if (symlink("pts/ptmx", "dev/ptmx") < 0)
            child_fail(ch, "cannot make /dev/ptmx: %s", strerror(errno));
    }
    root_enter(ch, merged);
}

void runtime_vm_child(struct child *ch)
{
    const struct limits *l = &ch->c->limits;
    int64_t memory = l->memory ? l->memory : RUNTIME_VM_MEMORY;
    int64_t cpus = l->nano_cpus ? (l->nano_cpus + 999999999) / 1000000000 : 1;
    char *argv[] = {"/bin/vmm", "container",
                    "--kernel", "/boot/bothy.elf",
                    "--initrd", "/boot/initrd.cpio",
                    "--memory", str_fmt("%lldM", (long long)(memory >> 20)),
                    "--cpus",   str_fmt("%lld", (long long)cpus),
                    "--module", "/boot/config.json:config.json",
                    NULL};
    char *env[] = {NULL};

    vm_root(ch);
    if (ch->spec->tty)
        child_terminal(ch);
    child_stdio(ch);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        child_fail(ch, "cannot set no_new_privs: %s", strerror(errno));
    execve(argv[0], argv, env);
    child_fail(ch, "cannot run %s: %s", RUNTIME_VM_VMM, strerror(errno));
}

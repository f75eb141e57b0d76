// SPDX-License-Identifier: MIT
// The child of a VM's start: a root of its own with nothing in it but the VMM, the kernel,
// /dev/kvm, /dev/null, the packed image and what to run, all read-only; then it becomes the VMM,
//
//   /bin/vmm container --kernel /boot/bothy.elf --initrd /boot/initrd.cpio --memory N --cpus N
//                      --module /boot/config.json:config.json --report FD [--append spec=no_v2]
//
// which goes on with the start-up conversation as FD.
#include "runtime/host_child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/str.h"
#include "runtime/rootfs.h"

#define VM_VMM "/bin/vmm"
#define VM_KERNEL "/boot/bothy.elf"

static void vm_file(struct child *ch, const char *source, const char *target)
{
    struct stat st;

    if (stat(source, &st) < 0)
        child_fail(ch, "--runtime vm needs %s: %s", source, str_error(errno));
    mount_inside(ch, source, target, false, NULL, MS_BIND, NULL);
    mount_readonly(ch, target);
}

/* A root that holds what the VMM needs and no more. */
static void vm_root(struct child *ch, const struct order *o)
{
    char *merged = str_fmt("%s/merged", o->own);

    child_mount(ch, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    child_mount(ch, "tmpfs", merged, "tmpfs", MS_NOSUID, "mode=755,size=1m");
    if (chdir(merged) < 0)
        child_fail(ch, "cannot enter %s: %s", merged, str_error(errno));
    vm_file(ch, VM_VMM, "/bin/vmm");
    vm_file(ch, VM_KERNEL, "/boot/bothy.elf");
    vm_file(ch, o->initrd, "/boot/initrd.cpio");
    vm_file(ch, o->config, "/boot/config.json");
    vm_file(ch, "/dev/kvm", "/dev/kvm");
    vm_file(ch, "/dev/null", "/dev/null");
    if (ch->spec->tty) {
        mount_inside(ch, "devpts", "/dev/pts", true, "devpts", MS_NOSUID | MS_NOEXEC,
                     "newinstance,ptmxmode=0666,mode=0620,gid=5");
        if (symlink("pts/ptmx", "dev/ptmx") < 0)
            child_fail(ch, "cannot make /dev/ptmx: %s", str_error(errno));
    }
    root_enter(ch, merged);
    child_mount(ch, NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL);
}

/* What the kernel knows of its CPU's branch predictor a guest cannot know by itself. */
static bool vm_branches_are_safe(void)
{
    char state[32] = "";
    int fd = open("/sys/devices/system/cpu/vulnerabilities/spectre_v2", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, state, sizeof(state) - 1);

    if (fd >= 0)
        close(fd);
    return n > 0 && !strncmp(state, "Not affected", 12);
}

void host_child_run_vm(struct host_child *h)
{
    struct child *ch = &h->child;
    bool safe = vm_branches_are_safe();
    char *argv[] = {"/bin/vmm",
                    "container",
                    "--kernel",
                    "/boot/bothy.elf",
                    "--initrd",
                    "/boot/initrd.cpio",
                    "--memory",
                    str_fmt("%lluM", (unsigned long long)h->order.memory),
                    "--cpus",
                    str_fmt("%llu", (unsigned long long)h->order.cpus),
                    "--module",
                    "/boot/config.json:config.json",
                    "--report",
                    str_fmt("%d", ch->sync),
                    safe ? "--append" : NULL,
                    "spec=no_v2",
                    NULL};
    char *env[] = {NULL};

    vm_root(ch, &h->order);
    if (ch->spec->tty)
        child_terminal(ch);
    child_stdio(ch);
    fcntl(ch->sync, F_SETFD, 0);
    child_limit(ch, 0, 0);
    execve(argv[0], argv, env);
    child_fail(ch, "cannot run %s: %s", VM_VMM, str_error(errno));
}

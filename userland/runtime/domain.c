// SPDX-License-Identifier: MIT
// The child of a start on the host; see domain.h.
#include "runtime/domain.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/str.h"
#include "runtime/rootfs.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

/* mnt comes last: after it the host's files are out of sight. */
const char *const domain_ns_names[DOMAIN_NS] = {"ipc", "uts", "net", "cgroup", "mnt"};

/* The order's text when it came as a file: 0 or -errno. */
static int domain_text(struct domain *d)
{
    struct stat st;
    ssize_t n;

    if (d->file < 0)
        return 0;
    if (fstat(d->file, &st) < 0)
        return -errno;
    if (st.st_size <= 0 || st.st_size > ORDER_MAX)
        return -EPROTO;
    d->len = (size_t)st.st_size;
    d->text = mem_alloc(d->len);
    n = read_at(d->file, d->text, d->len, 0);
    close(d->file);
    return n < 0 ? (int)n : (size_t)n == d->len ? 0 : -EPROTO;
}

static void domain_order(struct domain *d)
{
    int err = domain_text(d);

    err = err ? err : order_read(&d->order, d->text, d->len);
    if (err)
        child_fail(&d->child, "cannot read the start's order: %s", str_error(-err));
    d->child.spec = &d->order.spec;
    d->child.room = &d->order.room;
    d->child.is_exec = d->order.is_exec;
    d->child.first = d->order.first;
}

static void domain_wait_go(struct domain *d)
{
    char go;

    if (d->wait_go && recv(d->child.sync, &go, 1, 0) != 1)
        _exit(125); /* the engine is gone, or could not place us and is about to kill us */
}

static void domain_enter(struct domain *d)
{
    for (int i = 0; i < DOMAIN_NS; i++) {
        if (setns(d->ns[i], 0) < 0)
            child_fail(&d->child, "cannot enter the container's %s namespace: %s",
                       domain_ns_names[i], str_error(errno));
        close(d->ns[i]);
    }
}

/* Mounts it in the container's own directory, and goes there. */
static void domain_overlay(struct domain *d)
{
    const struct order *o = &d->order;
    char *merged = str_fmt("%s/merged", o->own);
    struct buf data = {0};

    /* relative names keep a hundred layers within one page of options */
    if (chdir(o->layers) < 0)
        child_fail(&d->child, "cannot enter %s: %s", o->layers, str_error(errno));
    buf_str(&data, "lowerdir=");
    for (char **lower = o->lowers; *lower; lower++)
        buf_fmt(&data, "%s%s", lower == o->lowers ? "" : ":", *lower);
    if (!*o->lowers)
        buf_str(&data, merged);
    buf_fmt(&data, ",upperdir=%s/upper,workdir=%s/work", o->own, o->own);
    if (mount("overlay", merged, "overlay", 0, data.data) < 0)
        child_fail(&d->child, "cannot mount the overlay of %zu layers: %s", strv_count(o->lowers),
                   str_error(errno));
    if (chdir(merged) < 0)
        child_fail(&d->child, "cannot enter %s: %s", merged, str_error(errno));
    buf_free(&data);
    free(merged);
}

/* The overlay with all that belongs into it, as the root. */
static void domain_root(struct domain *d)
{
    child_mount(&d->child, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    domain_overlay(d);
    mounts_standard(&d->child, ".."); /* the container's own directory */
    for (int i = 0; i < d->order.ndevices; i++)
        mount_device(&d->child, d->order.devices[i].host, d->order.devices[i].target);
    root_enter(&d->child, ".");
}

/* The starter's own values are not for its children. */
static void domain_limits(struct domain *d)
{
    const struct rlimit files = {(uint32_t)d->order.files, d->order.files >> 32};
    char score[16];

    if (d->order.files && setrlimit(RLIMIT_NOFILE, &files) < 0)
        child_fail(&d->child, "cannot limit descriptors: %s", str_error(errno));
    snprintf(score, sizeof(score), "%d", d->order.room.oom_score_adj);
    if (file_put("/proc/self/oom_score_adj", score))
        child_fail(&d->child, "cannot set oom_score_adj to %s", score);
}

static void domain_namespaces(struct domain *d)
{
    if (!d->order.room.host_cgroup && unshare(CLONE_NEWCGROUP) < 0)
        child_fail(&d->child, "cannot make a cgroup namespace: %s", str_error(errno));
    child_names(&d->child);
}

void domain_child(struct domain *d)
{
    domain_order(d);
    child_begin(&d->child, d->ns, DOMAIN_NS);
    domain_wait_go(d);
    domain_limits(d);
    if (d->order.is_exec) {
        domain_enter(d);
        child_run(&d->child);
    }
    domain_namespaces(d);
    if (d->order.vm)
        domain_vm(d);
    if (d->order.new_net)
        child_loopback(&d->child);
    domain_root(d);
    child_run(&d->child);
}

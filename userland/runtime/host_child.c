// SPDX-License-Identifier: MIT
// The child of a start on the host; see host_child.h.
#include "runtime/host_child.h"

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

/* After mnt the host's files are out of sight; pid is that of our children. */
const char *const host_child_ns_names[HOST_CHILD_NS] = {"ipc",    "uts", "net",
                                                        "cgroup", "mnt", "pid"};

/* The order's text when it came as a file: 0 or -errno. */
static int host_child_text(struct host_child *h)
{
    struct stat st;
    ssize_t n;

    if (h->file < 0)
        return 0;
    if (fstat(h->file, &st) < 0)
        return -errno;
    if (st.st_size <= 0 || st.st_size > ORDER_MAX)
        return -EPROTO;
    h->len = (size_t)st.st_size;
    h->text = mem_alloc(h->len);
    n = read_at(h->file, h->text, h->len, 0);
    close(h->file);
    return n < 0 ? (int)n : (size_t)n == h->len ? 0 : -EPROTO;
}

static void host_child_order(struct host_child *h)
{
    int err = host_child_text(h);

    err = err ? err : order_read(&h->order, h->text, h->len);
    if (err)
        child_fail(&h->child, "cannot read the start's order: %s", str_error(-err));
    h->child.spec = &h->order.spec;
    h->child.shared = &h->order.shared;
    h->child.is_exec = h->order.is_exec;
    h->child.first = h->order.first;
    h->child.based = h->order.based;
}

static void host_child_wait_go(struct host_child *h)
{
    char go;

    if (h->wait_go && recv(h->child.sync, &go, 1, 0) != 1)
        _exit(125); /* the engine is gone, or could not place us and is about to kill us */
}

static void host_child_enter(struct host_child *h)
{
    for (int i = 0; i < HOST_CHILD_NS; i++) {
        if (setns(h->ns[i], 0) < 0)
            child_fail(&h->child, "cannot enter the container's %s namespace: %s",
                       host_child_ns_names[i], str_error(errno));
        close(h->ns[i]);
    }
}

/* Mounts it in the container's own directory, and goes there. */
static void host_child_overlay(struct host_child *h)
{
    const struct order *o = &h->order;
    char *merged = str_fmt("%s/merged", o->own);
    struct buf data = {0};

    /* relative names keep a hundred layers within one page of options */
    if (chdir(o->layers) < 0)
        child_fail(&h->child, "cannot enter %s: %s", o->layers, str_error(errno));
    buf_str(&data, "lowerdir=");
    for (char **lower = o->lowers; *lower; lower++)
        buf_fmt(&data, "%s%s", lower == o->lowers ? "" : ":", *lower);
    if (!*o->lowers)
        buf_str(&data, merged);
    buf_fmt(&data, ",upperdir=%s/upper,workdir=%s/work", o->own, o->own);
    if (mount("overlay", merged, "overlay", 0, data.data) < 0)
        child_fail(&h->child, "cannot mount the overlay of %zu layers: %s", strv_count(o->lowers),
                   str_error(errno));
    if (chdir(merged) < 0)
        child_fail(&h->child, "cannot enter %s: %s", merged, str_error(errno));
    buf_free(&data);
    free(merged);
}

/* The overlay with all that belongs into it, as the root. */
static void host_child_root(struct host_child *h)
{
    child_mount(&h->child, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    host_child_overlay(h);
    mounts_standard(&h->child, ".."); /* the container's own directory */
    for (int i = 0; i < h->order.ndevices; i++)
        mount_device(&h->child, h->order.devices[i].host, h->order.devices[i].target);
    root_enter(&h->child, ".");
}

/* A clone inherits the starter's score and limit: the order's replace them. */
static void host_child_limits(struct host_child *h)
{
    const struct rlimit files = {(uint32_t)h->order.files, h->order.files >> 32};
    char score[16];

    snprintf(score, sizeof(score), "%d", h->score);
    if (h->score > 0 && file_put("/proc/self/oom_score_adj", score))
        child_fail(&h->child, "cannot set oom_score_adj to %s", score);
    if (h->order.files && setrlimit(RLIMIT_NOFILE, &files) < 0)
        child_fail(&h->child, "cannot limit descriptors: %s", str_error(errno));
}

static void host_child_namespaces(struct host_child *h)
{
    if (!h->order.shared.host_cgroup && unshare(CLONE_NEWCGROUP) < 0)
        child_fail(&h->child, "cannot make a cgroup namespace: %s", str_error(errno));
    child_names(&h->child);
}

void host_child_run(struct host_child *h)
{
    host_child_order(h);
    child_begin(&h->child, h->ns, HOST_CHILD_NS);
    host_child_wait_go(h);
    host_child_limits(h);
    if (h->order.is_exec) {
        host_child_enter(h);
        child_run(&h->child);
    }
    host_child_namespaces(h);
    if (h->order.vm)
        host_child_run_vm(h);
    if (h->order.new_net)
        child_loopback(&h->child);
    host_child_root(h);
    child_run(&h->child);
}

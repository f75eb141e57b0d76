// SPDX-License-Identifier: MIT
// The child's half of a start, where it is the engine's: namespaces, and the container's root.
// What is the same in a VM's guest stands in runtime/child.c.
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/rootfs.h"
#include "lib/str.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

/* mnt comes last: after it the host's files are out of sight. */
const char *const child_ns_names[CHILD_NS] = {"ipc", "uts", "net", "cgroup", "mnt"};

static void domain_wait_go(struct domain *d)
{
    char go;

    if (d->wait_go && recv(d->child.sync, &go, 1, 0) != 1)
        _exit(125); /* the engine is gone, or could not place us and is about to kill us */
}

static void domain_enter(struct domain *d)
{
    for (int i = 0; i < CHILD_NS; i++) {
        if (setns(d->ns[i], 0) < 0)
            child_fail(&d->child, "cannot enter the container's %s namespace: %s",
                       child_ns_names[i], str_error(errno));
        close(d->ns[i]);
    }
}

/* Mounts it in the container's own directory, and goes there. */
static void domain_overlay(struct domain *d)
{
    const struct container *c = d->c;
    char *dir = str_fmt("%s/layers", engine.root), *own = str_fmt("../containers/%s", c->id);
    char *merged = str_fmt("%s/merged", own);
    struct buf data = {0};

    /* relative names keep a hundred layers within one page of options */
    if (chdir(dir) < 0)
        child_fail(&d->child, "cannot enter %s: %s", dir, str_error(errno));
    buf_str(&data, "lowerdir=");
    for (int i = c->image->nlayers; i-- > 0;)
        if (!image_layer_again(c->image, i))
            buf_fmt(&data, "%s%s", i == c->image->nlayers - 1 ? "" : ":", c->image->layers[i]->dir);
    if (!c->image->nlayers)
        buf_str(&data, merged);
    buf_fmt(&data, ",upperdir=%s/upper,workdir=%s/work", own, own);
    if (mount("overlay", merged, "overlay", 0, data.data) < 0)
        child_fail(&d->child, "cannot mount the overlay of %d layers: %s", c->image->nlayers,
                   str_error(errno));
    if (chdir(merged) < 0)
        child_fail(&d->child, "cannot enter %s: %s", merged, str_error(errno));
    buf_free(&data);
    free(dir);
    free(own);
    free(merged);
}

/* The overlay with all that belongs into it, as the root. */
static void domain_root(struct domain *d)
{
    struct container *c = d->c;

    child_mount(&d->child, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    domain_overlay(d);
    mounts_standard(&d->child, ".."); /* the container's own directory */
    for (int i = 0; i < c->ndevices; i++)
        mount_device(&d->child, c->devices[i].host, c->devices[i].target);
    root_enter(&d->child, ".");
}

/* The engine's own values are not for its children. */
static void domain_limits(struct domain *d)
{
    int err = engine_files_limit();
    char score[16];

    if (err)
        child_fail(&d->child, "cannot limit descriptors: %s", str_error(-err));
    if (d->c->room.oom_score_adj == engine.oom_score_adj)
        return;
    snprintf(score, sizeof(score), "%d", d->c->room.oom_score_adj);
    if (file_put("/proc/self/oom_score_adj", score))
        child_fail(&d->child, "cannot set oom_score_adj to %s", score);
}

static void domain_namespaces(struct domain *d)
{
    if (!d->c->room.host_cgroup && unshare(CLONE_NEWCGROUP) < 0)
        child_fail(&d->child, "cannot make a cgroup namespace: %s", str_error(errno));
    child_names(&d->child);
}

void domain_child(struct domain *d)
{
    d->child.first = !d->c->started.tv_sec;
    child_begin(&d->child, d->ns, CHILD_NS);
    domain_wait_go(d);
    domain_limits(d);
    if (d->child.is_exec) {
        domain_enter(d);
        child_run(&d->child);
    }
    domain_namespaces(d);
    if (d->c->runtime == RUNTIME_VM)
        runtime_vm_child(d);
    if (d->new_net)
        child_loopback(&d->child);
    domain_root(d);
    child_run(&d->child);
}

/* SPDX-License-Identifier: MIT
 *
 * Shared between inotify's watches (inotify.c) and its files (inotify_group.c).
 */
#pragma once

#include "lib/list.h"
#include "lib/rbtree.h"
#include "vfs/inotify.h"
#include "vfs/vfs_priv.h"

struct inotify_event_k { /* struct inotify_event */
    s32 wd;
    u32 mask, cookie, len;
};

struct inotify_event {
    struct list_node node;
    struct inotify_event_k head;
    char name[]; /* padded with NULs to head.len */
};

/* How many a user has in a control group: the roots of two containers are one user, but what the
 * one has does not count for the other. inotify_lock. */
struct inotify_user {
    struct rb_node node; /* by uid and payer */
    kuid_t uid;
    struct account *payer; /* what this is charged to: it stays as long; NULL: none */
    u32 instances, watches;
};

/* l lock · I immutable */
struct inotify_group {
    struct inotify_user *user;      /* I */
    struct account *payer;          /* I  what the group itself is charged to: it stays as long */
    struct inotify_event *overflow; /* I  the one event for all that are lost */
    bool lost;                      /* l  it is among the events */
    struct spinlock lock;
    struct list_node events; /* l */
    u32 nr_events, bytes;    /* l */
    struct waitq wait;
    struct rb_root watches; /* inotify_lock: by number */
    u32 nr_watches;         /* inotify_lock */
    s32 last_wd;            /* inotify_lock */
};

struct inotify_watch {
    struct rb_node by_inode, by_group; /* inotify_lock */
    struct list_node by_super;         /* inotify_lock; a list of the dead afterwards */
    struct inotify_group *group;       /* I */
    struct dentry *d;                  /* inotify_lock  a reference, or NULL */
    struct inode *inode;               /* I  of d; a reference without d */
    s32 wd;                            /* I */
    u32 mask;                          /* inotify_lock */
};

extern struct spinlock inotify_lock;
extern const struct file_ops inotify_fops;

/* An event for the group, charged to it. NULL: no memory. */
struct inotify_event *inotify_event_alloc(const struct inotify_group *g, s32 wd, u32 mask,
                                          u32 cookie, const char *name, size_t len);
/* Takes e. NULL: an event is lost, and the group reports that. */
void inotify_queue(struct inotify_group *g, struct inotify_event *e);
/* The file goes, and its watches. May sleep. */
void inotify_drop_watches(struct inotify_group *g);

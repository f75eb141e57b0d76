/* SPDX-License-Identifier: MIT
 *
 * Names of unix sockets: paths (the inode points to the socket while it lives) and abstract ones (a
 * tree per net namespace).
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/unix/unix_priv.h"

#define SUN_HEAD 2 /* bytes before the path */

void unix_addr_put(struct unix_addr *addr)
{
    if (addr && refcount_put(&addr->ref))
        kfree(addr);
}

/* A checked copy. A path gets its NUL. */
static int unix_addr_make(const struct sock_addr *sun, u32 len, struct unix_addr **out)
{
    struct unix_addr *a;

    if (len < SUN_HEAD || len > SUN_HEAD + UNIX_PATH_MAX || sun->family != AF_UNIX)
        return -EINVAL;
    a = kzalloc(sizeof(*a));
    if (!a)
        return -ENOMEM;
    refcount_init(&a->ref, 1);
    memcpy(&a->sun, sun, len);
    if (len > SUN_HEAD && sun->data[0]) /* what follows the NUL is no part of a path */
        len = SUN_HEAD + (u32)strnlen((const char *)a->sun.data, len - SUN_HEAD) + 1;
    a->len = len;
    *out = a;
    return 0;
}

static int unix_addr_compare(const struct unix_addr *a, const struct unix_addr *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return memcmp(&a->sun, &b->sun, a->len);
}

static struct unix_sock *unix_find_locked(const struct unix_ns *ns, const struct unix_addr *a)
    REQUIRES(ns->lock)
{
    ASSERT_HELD(&ns->lock);
    for (struct rb_node *n = ns->names.node; n;) {
        struct unix_sock *u = rb_entry(n, struct unix_sock, by_name);
        int diff = unix_addr_compare(a, u->addr);

        if (diff == 0)
            return u;
        n = diff < 0 ? n->left : n->right;
    }
    return NULL;
}

static bool unix_name_less(const struct rb_node *a, const struct rb_node *b)
{
    return unix_addr_compare(rb_entry(a, struct unix_sock, by_name)->addr,
                             rb_entry(b, struct unix_sock, by_name)->addr) < 0;
}

/* Sets the name if there is none. */
static int unix_set_addr(struct unix_sock *u, struct unix_addr *a)
{
    int err = 0;

    spin_lock(&u->sock.lock);
    if (u->addr)
        err = -EINVAL;
    else
        u->addr = a;
    spin_unlock(&u->sock.lock);
    return err;
}

static int unix_bind_abstract(struct unix_sock *u, struct unix_addr *a)
{
    struct unix_ns *ns = unix_ns_of(&u->sock);
    int err;

    spin_lock(&ns->lock);
    err = unix_find_locked(ns, a) ? -EADDRINUSE : unix_set_addr(u, a);
    if (!err) {
        u->named = true;
        rb_insert(&ns->names, &u->by_name, unix_name_less);
    }
    spin_unlock(&ns->lock);
    return err;
}

/* An empty name asks for one: five hexadecimal digits, abstract. */
static int unix_bind_auto(struct unix_sock *u, struct unix_addr *a)
{
    static u32 next;
    int err = -EADDRINUSE;

    a->len = SUN_HEAD + 6;
    for (unsigned tries = 0; tries < 1U << 20 && err == -EADDRINUSE; tries++) {
        cond_yield();
        u32 n = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);

        for (unsigned i = 0; i < 5; i++)
            a->sun.data[1 + i] = "0123456789abcdef"[n >> 4 * (4 - i) & 15];
        err = unix_bind_abstract(u, a);
    }
    return err;
}

static int unix_bind_path(struct unix_sock *u, struct unix_addr *a, const struct walk_ctx *ctx,
                          u32 mode)
{
    struct path path;
    struct inode *inode;
    int err;

    if (!ctx)
        return -EINVAL;
    err = vfs_bind_socket(ctx, (const char *)a->sun.data, mode, &path);
    if (err)
        return err == -EEXIST ? -EADDRINUSE : err;
    inode = dentry_inode(path.dentry);
    a->ino = inode->ino;
    a->dev = inode->super ? inode->super->dev : 0;
    err = unix_set_addr(u, a);
    if (err) {
        path_put(&path);
        return err;
    }
    rwlock_write_lock(&inode->lock);
    inode->socket = u;
    u->inode = inode;
    u->path = path;
    rwlock_write_unlock(&inode->lock);
    return 0;
}

int unix_bind(struct socket *s, const struct sock_addr *sun, u32 len, const struct walk_ctx *ctx,
              u32 mode)
{
    struct unix_sock *u = unix_of(s);
    struct unix_addr *a;
    int err = unix_addr_make(sun, len, &a);

    if (err)
        return err;
    if (READ_ONCE(u->addr))
        err = -EINVAL;
    else if (len == SUN_HEAD)
        err = unix_bind_auto(u, a);
    else if (a->sun.data[0])
        err = unix_bind_path(u, a, ctx, mode);
    else
        err = unix_bind_abstract(u, a);
    if (err)
        unix_addr_put(a);
    return err;
}

void unix_unname(struct unix_sock *u)
{
    struct unix_ns *ns = unix_ns_of(&u->sock);

    if (u->inode) {
        rwlock_write_lock(&u->inode->lock);
        if (u->inode->socket == u)
            u->inode->socket = NULL;
        rwlock_write_unlock(&u->inode->lock);
        path_put(&u->path);
        u->inode = NULL;
    } else if (u->named) {
        spin_lock(&ns->lock);
        rb_erase(&ns->names, &u->by_name);
        u->named = false;
        spin_unlock(&ns->lock);
    }
}

static int unix_lookup_path(const struct unix_addr *a, const struct walk_ctx *ctx,
                            struct unix_sock **out)
{
    struct path path;
    struct inode *inode;
    struct unix_sock *u = NULL;
    int err;

    if (!ctx)
        return -EINVAL;
    err = vfs_lookup(ctx, NULL, (const char *)a->sun.data, WALK_FOLLOW, &path);
    if (err)
        return err;
    inode = dentry_inode(path.dentry);
    err = inode_permission(inode, ctx->cred, 2);
    if (!err && !S_ISSOCK(inode->mode))
        err = -ECONNREFUSED;
    if (!err) {
        rwlock_read_lock(&inode->lock);
        u = inode->socket;
        if (u)
            unix_get(u);
        rwlock_read_unlock(&inode->lock);
        err = u ? 0 : -ECONNREFUSED;
    }
    path_put(&path);
    *out = u;
    return err;
}

int unix_lookup(struct unix_sock *from, const struct sock_addr *sun, u32 len,
                const struct walk_ctx *ctx, struct unix_sock **out)
{
    struct unix_ns *ns = unix_ns_of(&from->sock);
    struct unix_sock *u = NULL;
    struct unix_addr *a;
    int err = unix_addr_make(sun, len, &a);

    if (err)
        return err;
    if (a->len == SUN_HEAD) {
        err = -EINVAL;
    } else if (a->sun.data[0]) {
        err = unix_lookup_path(a, ctx, &u);
    } else {
        spin_lock(&ns->lock);
        u = unix_find_locked(ns, a);
        if (u)
            unix_get(u);
        spin_unlock(&ns->lock);
        err = u ? 0 : -ECONNREFUSED;
    }
    unix_addr_put(a);
    if (!err && u->sock.type != from->sock.type) {
        unix_put(u);
        err = -EPROTOTYPE;
    }
    if (!err)
        *out = u;
    return err;
}

int unix_name(struct socket *s, bool peer, struct sock_addr *out, u32 *len)
{
    struct socket *of = peer ? socket_peer(s) : s;
    const struct unix_addr *a;

    if (!of)
        return -ENOTCONN;
    a = READ_ONCE(unix_of(of)->addr); /* once set it stays as long as the socket */
    if (a) {
        memcpy(out, &a->sun, a->len);
        *len = a->len;
    } else {
        out->family = AF_UNIX;
        *len = SUN_HEAD;
    }
    if (peer)
        socket_put(of);
    return 0;
}

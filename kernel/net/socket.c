/* SPDX-License-Identifier: MIT
 *
 * The socket calls that are the same for every family: files, dispatch, the options of SOL_SOCKET.
 */
#include "net/socket.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/core/sock.h"
#include "obj/cred.h"
#include "obj/pid.h"
#include "obj/up.h"
#include "sched/timer.h"
#include "vfs/vfs.h"

#define SOCK_KINDS 11 /* no type of Linux is as large */

TABLE_DECLARE(struct socket_family, socket_families);

int socket_family(const struct file *f, bool *stream)
{
    const struct socket *s = socket_of_file(f);

    if (!s)
        return -ENOTSOCK;
    *stream = s->type == SOCK_STREAM;
    return s->family;
}

/* A file around s; on failure s is released. */
static struct file *socket_file(struct socket *s, unsigned type_flags)
{
    struct file *f = socket_file_alloc(type_flags);

    if (!f) {
        s->ops->release(s);
        return ERR_PTR(-ENFILE);
    }
    socket_file_settle(f, s);
    return f;
}

static const struct socket_family *socket_family_find(int family)
{
    const struct socket_family *f;

    TABLE_FOR_EACH(f, socket_families)
    if (f->family == family)
        return f;
    return NULL;
}

static struct socket *socket_make(struct net_ns *ns, const struct socket_family *f, int type,
                                  int protocol)
{
    int kind = type & SOCK_TYPE_MASK;

    if (type & ~(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC))
        return ERR_PTR(-EINVAL);
    if (!f)
        return ERR_PTR(-EAFNOSUPPORT);
    return kind >= SOCK_KINDS ? ERR_PTR(-EINVAL) : f->create(ns, kind, protocol);
}

struct file *socket_create(struct net_ns *ns, int family, int type, int protocol)
{
    struct socket *s = socket_make(ns, socket_family_find(family), type, protocol);

    return IS_ERR(s) ? (void *)s : socket_file(s, (unsigned)type);
}

int socket_pair(struct net_ns *ns, int family, int type, int protocol, struct file *out[2])
{
    const struct socket_family *f = socket_family_find(family);
    struct socket *a, *b;
    struct file *fa, *fb;
    int err;

    if (f && !f->pair)
        return -EOPNOTSUPP;
    a = socket_make(ns, f, type, protocol);
    if (IS_ERR(a))
        return PTR_ERR(a);
    b = socket_make(ns, f, type, protocol);
    if (IS_ERR(b)) {
        a->ops->release(a);
        return PTR_ERR(b);
    }
    err = f->pair(a, b);
    if (err) {
        a->ops->release(a);
        b->ops->release(b);
        return err;
    }
    fa = socket_file(a, (unsigned)type);
    if (IS_ERR(fa)) {
        b->ops->release(b);
        return PTR_ERR(fa);
    }
    fb = socket_file(b, (unsigned)type);
    if (IS_ERR(fb)) {
        file_put(fa);
        return PTR_ERR(fb);
    }
    out[0] = fa;
    out[1] = fb;
    return 0;
}

int socket_bind(struct file *f, const struct sock_addr *addr, u32 len, const struct walk_ctx *ctx)
{
    struct socket *s = socket_of_file(f);
    struct kstat st = {0};
    int err;

    if (!s)
        return -ENOTSOCK;
    if (!s->ops->bind)
        return -EOPNOTSUPP;
    err = ctx ? file_stat(f, &st) : 0; /* unix(7): what fchmod made of it, less the umask */
    return err ? err : s->ops->bind(s, addr, len, ctx, ctx ? st.mode & 0777 & ~ctx->umask : 0);
}

int socket_listen(struct file *f, int backlog)
{
    struct socket *s = socket_of_file(f);

    return !s ? -ENOTSOCK : s->ops->listen ? s->ops->listen(s, backlog) : -EOPNOTSUPP;
}

int socket_connect(struct file *f, const struct sock_addr *addr, u32 len,
                   const struct walk_ctx *ctx)
{
    struct socket *s = socket_of_file(f);

    if (!s)
        return -ENOTSOCK;
    if (!s->ops->connect)
        return -EOPNOTSUPP;
    return s->ops->connect(s, addr, len, ctx, f->flags & O_NONBLOCK);
}

struct file *socket_accept(struct file *f, unsigned type_flags, struct sock_addr *peer, u32 *len)
{
    struct socket *s = socket_of_file(f), *conn;
    struct file *made;
    int err;

    if (!s)
        return ERR_PTR(-ENOTSOCK);
    if (type_flags & ~(unsigned)(SOCK_NONBLOCK | SOCK_CLOEXEC))
        return ERR_PTR(-EINVAL);
    if (!s->ops->accept)
        return ERR_PTR(-EOPNOTSUPP);
    made = socket_file_alloc(type_flags); /* first: a connection that was taken is not lost */
    if (!made)
        return ERR_PTR(-ENFILE);
    err = s->ops->accept(s, f->flags & O_NONBLOCK, &conn);
    if (err) {
        file_put(made);
        return ERR_PTR(err);
    }
    if (peer && conn->ops->name(conn, true, peer, len))
        *len = 0;
    socket_file_settle(made, conn);
    return made;
}

int socket_name(struct file *f, bool peer, struct sock_addr *out, u32 *len)
{
    struct socket *s = socket_of_file(f);

    return !s ? -ENOTSOCK : s->ops->name ? s->ops->name(s, peer, out, len) : -EOPNOTSUPP;
}

int socket_control(struct file *f, struct socket_message *m, s32 level, s32 type, const void *data,
                   u64 n)
{
    struct socket *s = socket_of_file(f);

    if (!s)
        return -ENOTSOCK;
    return s->ops->control ? s->ops->control(s, m, level, type, data, n) : -EINVAL;
}

int socket_shutdown(struct file *f, int how)
{
    struct socket *s = socket_of_file(f);

    if (!s)
        return -ENOTSOCK;
    if (how < SHUT_RD || how > SHUT_RDWR)
        return -EINVAL;
    return s->ops->shutdown ? s->ops->shutdown(s, how) : -EOPNOTSUPP;
}

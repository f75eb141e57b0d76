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

#define SOCK_KINDS 11 /* no type and no protocol of Linux is as large */
#define IPPROTO_KINDS 263

static const struct file_ops socket_file_ops;
static const struct file_ops socket_none_ops = {.name = "socket"};

void socket_init(struct socket *s, const struct socket_ops *ops, struct net_ns *ns, int family,
                 int type)
{
    s->ops = ops;
    s->ns = ns;
    net_ns_get(ns);
    s->family = (u16)family;
    s->type = (u8)type;
    s->sndbuf = s->rcvbuf = SOCK_BUF_DEFAULT;
    s->ino = inum_alloc();
    s->uid = current_cred()->fsuid;
    waitq_init(&s->wait);
    spin_lock(&ns->unix_lock);
    list_add_tail(&ns->sockets, &s->node);
    ns->nr_sockets++;
    if (family == AF_INET)
        ns->nr_inet[type != SOCK_STREAM]++;
    spin_unlock(&ns->unix_lock);
}

void socket_fini(struct socket *s)
{
    spin_lock(&s->ns->unix_lock);
    list_del(&s->node);
    s->ns->nr_sockets--;
    if (s->family == AF_INET)
        s->ns->nr_inet[s->type != SOCK_STREAM]--;
    spin_unlock(&s->ns->unix_lock);
    net_ns_put(s->ns);
}

int socket_take_error(struct socket *s)
{
    return s->error ? -__atomic_exchange_n(&s->error, 0, __ATOMIC_RELAXED) : 0;
}

bool file_is_socket(const struct file *f)
{
    return f->ops == &socket_file_ops;
}

int socket_family(const struct file *f, bool *stream)
{
    const struct socket *s = f->priv;

    if (!file_is_socket(f))
        return -ENOTSOCK;
    *stream = s->type == SOCK_STREAM;
    return s->family;
}

static struct socket *socket_of(struct file *f)
{
    return file_is_socket(f) ? f->priv : NULL;
}

/* A file without its socket yet. */
static struct file *socket_file_alloc(unsigned type_flags)
{
    return file_create(&socket_none_ops, O_RDWR | (type_flags & SOCK_NONBLOCK ? O_NONBLOCK : 0),
                       NULL);
}

static void socket_file_settle(struct file *f, struct socket *s)
{
    f->ops = &socket_file_ops;
    f->priv = s;
    f->anon_ino = s->ino;
    file_born(f);
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

static struct socket *socket_make(struct net_ns *ns, int family, int type, int protocol)
{
    int kind = type & SOCK_TYPE_MASK;

    if (type & ~(SOCK_TYPE_MASK | SOCK_NONBLOCK | SOCK_CLOEXEC))
        return ERR_PTR(-EINVAL);
    if ((family == AF_UNIX || family == AF_INET) && kind >= SOCK_KINDS)
        return ERR_PTR(-EINVAL);
    switch (family) {
    case AF_UNIX:
        if (protocol && protocol != AF_UNIX)
            return ERR_PTR(-EPROTONOSUPPORT);
        return unix_create(ns, kind);
    case AF_INET:
        if (protocol < 0 || protocol >= IPPROTO_KINDS)
            return ERR_PTR(-EINVAL);
        return inet_create(ns, kind, protocol);
    default:
        return ERR_PTR(-EAFNOSUPPORT);
    }
}

struct file *socket_create(struct net_ns *ns, int family, int type, int protocol)
{
    struct socket *s = socket_make(ns, family, type, protocol);

    return IS_ERR(s) ? (void *)s : socket_file(s, (unsigned)type);
}

int socket_pair(struct net_ns *ns, int family, int type, int protocol, struct file *out[2])
{
    struct socket *a, *b;
    struct file *fa, *fb;
    int err;

    if (family != AF_UNIX)
        return -EOPNOTSUPP;
    a = socket_make(ns, family, type, protocol);
    if (IS_ERR(a))
        return PTR_ERR(a);
    b = socket_make(ns, family, type, protocol);
    if (IS_ERR(b)) {
        a->ops->release(a);
        return PTR_ERR(b);
    }
    err = unix_pair(a, b);
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
    struct socket *s = socket_of(f);
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
    struct socket *s = socket_of(f);

    return !s ? -ENOTSOCK : s->ops->listen ? s->ops->listen(s, backlog) : -EOPNOTSUPP;
}

int socket_connect(struct file *f, const struct sock_addr *addr, u32 len,
                   const struct walk_ctx *ctx)
{
    struct socket *s = socket_of(f);

    if (!s)
        return -ENOTSOCK;
    if (!s->ops->connect)
        return -EOPNOTSUPP;
    return s->ops->connect(s, addr, len, ctx, f->flags & O_NONBLOCK);
}

struct file *socket_accept(struct file *f, unsigned type_flags, struct sock_addr *peer, u32 *len)
{
    struct socket *s = socket_of(f), *conn;
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
    struct socket *s = socket_of(f);

    return !s ? -ENOTSOCK : s->ops->name ? s->ops->name(s, peer, out, len) : -EOPNOTSUPP;
}

ssize_t socket_send(struct file *f, struct socket_message *m, unsigned flags,
                    const struct walk_ctx *ctx)
{
    struct socket *s = socket_of(f);
    ssize_t n;

    if (!s)
        return -ENOTSOCK;
    if (flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (f->flags & O_NONBLOCK)
        flags |= MSG_DONTWAIT;
    n = s->ops->send(s, m, flags, ctx);
    if (n == -EPIPE && s->type == SOCK_STREAM && !(flags & MSG_NOSIGNAL))
        up_sigpipe();
    return n;
}

ssize_t socket_recv(struct file *f, struct socket_message *m, unsigned flags)
{
    struct socket *s = socket_of(f);

    if (!s)
        return -ENOTSOCK;
    if (flags & (MSG_OOB | MSG_ERRQUEUE))
        return flags & MSG_OOB ? -EINVAL : -EAGAIN;
    if (f->flags & O_NONBLOCK)
        flags |= MSG_DONTWAIT;
    return s->ops->recv(s, m, flags);
}

void socket_message_drop(struct socket_message *m)
{
    for (u32 i = 0; i < m->nr_files; i++)
        if (m->files[i])
            file_put(m->files[i]);
    kfree(m->files);
    m->files = NULL;
    m->nr_files = 0;
    if (m->pid)
        pid_put(m->pid);
    m->pid = NULL;
}

int socket_shutdown(struct file *f, int how)
{
    struct socket *s = socket_of(f);

    if (!s)
        return -ENOTSOCK;
    if (how < SHUT_RD || how > SHUT_RDWR)
        return -EINVAL;
    return s->ops->shutdown ? s->ops->shutdown(s, how) : -EOPNOTSUPP;
}

static ssize_t socket_file_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct socket_message m = {.data = to};
    ssize_t n;

    if (!to->count)
        return 0;
    n = socket_recv(f, &m, 0);
    if (m.nr_files || m.pid)
        socket_message_drop(&m);
    return n;
}

static ssize_t socket_file_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct socket_message m = {.data = from};

    return socket_send(f, &m, 0, NULL);
}

static u32 socket_file_poll(struct file *f, struct poll_table *pt)
{
    struct socket *s = f->priv;

    return s->ops->poll(s, pt);
}

static s64 socket_file_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct socket *s = f->priv;

    return s->ops->ioctl ? s->ops->ioctl(s, cmd, arg) : -ENOTTY;
}

static void socket_file_release(struct file *f)
{
    struct socket *s = f->priv;

    s->ops->release(s);
}

static int socket_file_flags(struct file *f, unsigned flags)
{
    return 0; /* O_NONBLOCK is read at each call */
}

static const struct file_ops socket_file_ops = {
    .name = "socket",
    .anon_mode = 0140777,
    .read = socket_file_read,
    .write = socket_file_write,
    .poll = socket_file_poll,
    .ioctl = socket_file_ioctl,
    .release = socket_file_release,
    .set_flags = socket_file_flags,
};

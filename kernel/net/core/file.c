/* SPDX-License-Identifier: MIT
 *
 * A socket as a file: reads and writes are messages without an address.
 */
#include "net/core/sock.h"
#include "net/core/up.h"
#include "obj/up.h"

#define SIOCGSKNS 0x894C

TABLE_DECLARE(struct socket_ioctl, socket_ioctls);

static const struct file_ops socket_file_ops;
static const struct file_ops socket_none_ops = {.name = "socket"};

struct socket *socket_of_file(const struct file *f)
{
    return f->ops == &socket_file_ops ? f->priv : NULL;
}

struct file *socket_file_alloc(unsigned type_flags)
{
    return file_create(&socket_none_ops, O_RDWR | (type_flags & SOCK_NONBLOCK ? O_NONBLOCK : 0),
                       NULL);
}

void socket_file_settle(struct file *f, struct socket *s)
{
    f->ops = &socket_file_ops;
    f->priv = s;
    spin_lock(&s->lock);
    s->file = f;
    spin_unlock(&s->lock);
    f->anon_ino = s->ino;
    file_born(f);
}

static ssize_t socket_do_send(struct file *f, struct socket *s, struct socket_message *m,
                              unsigned flags, const struct walk_ctx *ctx)
{
    ssize_t n;

    if ((flags & MSG_OOB) && !s->ops->recv_urgent)
        return -EOPNOTSUPP;
    if (f->flags & O_NONBLOCK)
        flags |= MSG_DONTWAIT;
    n = s->ops->send(s, m, flags, ctx);
    if (unlikely(n == -EPIPE) && s->type == SOCK_STREAM && !(flags & MSG_NOSIGNAL))
        up_sigpipe();
    return n;
}

ssize_t socket_send(struct file *f, struct socket_message *m, unsigned flags,
                    const struct walk_ctx *ctx)
{
    struct socket *s = socket_of_file(f);

    return s ? socket_do_send(f, s, m, flags, ctx) : -ENOTSOCK;
}

ssize_t socket_send_pages(struct file *f, const struct page_part *parts, unsigned nr,
                          unsigned flags)
{
    struct socket *s = socket_of_file(f);
    ssize_t n;

    if (!s || !s->ops->send_pages)
        return -EOPNOTSUPP;
    if (f->flags & O_NONBLOCK)
        flags |= MSG_DONTWAIT;
    n = s->ops->send_pages(s, parts, nr, flags);
    if (n == -EPIPE)
        up_sigpipe();
    return n;
}

/* MSG_OOB and MSG_ERRQUEUE. */
static ssize_t socket_recv_special(struct socket *s, struct socket_message *m, unsigned flags)
{
    if ((flags & MSG_OOB) && s->ops->recv_urgent)
        return s->ops->recv_urgent(s, m, flags);
    if ((flags & MSG_OOB) && !s->ops->ignores_oob)
        return s->type == SOCK_STREAM ? -EINVAL : -EOPNOTSUPP;
    return s->ops->recv_error ? s->ops->recv_error(s, m) : -EAGAIN;
}

static ssize_t socket_do_recv(struct file *f, struct socket *s, struct socket_message *m,
                              unsigned flags)
{
    if (unlikely(flags & (MSG_OOB | MSG_ERRQUEUE)) &&
        ((flags & MSG_ERRQUEUE) || !s->ops->ignores_oob))
        return socket_recv_special(s, m, flags);
    if (f->flags & O_NONBLOCK)
        flags |= MSG_DONTWAIT;
    return s->ops->recv(s, m, flags);
}

ssize_t socket_recv(struct file *f, struct socket_message *m, unsigned flags)
{
    struct socket *s = socket_of_file(f);

    return s ? socket_do_recv(f, s, m, flags) : -ENOTSOCK;
}

static ssize_t socket_file_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
    struct socket_message m;
    ssize_t n;

    if (!to->count)
        return 0;
    socket_message_init(&m, to);
    n = socket_do_recv(f, f->priv, &m, 0);
    if (m.nr_files || m.pid)
        socket_message_drop(&m);
    return n;
}

static ssize_t socket_file_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
    struct socket_message m;

    socket_message_init(&m, from);
    return socket_do_send(f, f->priv, &m, 0, NULL);
}

static u32 socket_file_poll(struct file *f, struct poll_table *pt)
{
    struct socket *s = f->priv;

    return s->ops->poll(s, pt);
}

/* SIOCGSKNS: the namespace that it is of. */
static s64 socket_namespace(struct socket *s)
{
    if (!cred_capable(current_cred(), s->ns->user_ns, CAP_NET_ADMIN))
        return -EPERM;
    net_ns_get(s->ns);
    return up_net_ns_publish(s->ns);
}

static s64 socket_file_ioctl(struct file *f, unsigned cmd, u64 arg)
{
    struct socket *s = f->priv;
    const struct socket_ioctl *p;
    s64 n;

    if (cmd == SIOCGSKNS)
        return socket_namespace(s);
    n = s->ops->ioctl ? s->ops->ioctl(s, cmd, arg) : -ENOTTY;

    TABLE_FOR_EACH(p, socket_ioctls)
    {
        if (n != -ENOTTY)
            break;
        n = p->fn(s, cmd, arg);
    }
    return n;
}

static int socket_file_mmap(struct file *f, struct map_request *req)
{
    struct socket *s = f->priv;

    return s->ops->mmap ? s->ops->mmap(s, req) : -ENODEV;
}

static void socket_file_release(struct file *f)
{
    struct socket *s = f->priv;

    spin_lock(&s->lock);
    s->file = NULL;
    spin_unlock(&s->lock);
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
    .mmap = socket_file_mmap,
    .release = socket_file_release,
    .set_flags = socket_file_flags,
};

/* SPDX-License-Identifier: MIT
 *
 * Socket calls that carry no message: making, naming, connecting, options. sys_net_msg.c has the
 * rest.
 */
#include "linux/sys.h"
#include "linux/sys_net.h"
#include "net/core/ns.h"
#include "net/socket.h"
#include "proc/task.h"

#define OPTION_MAX 4096
#define OPTION_WORDS 178  /* the longest is struct group_filter with ten sources */
#define OPTION_USUAL 256U /* bytes of the longest of all others */

int net_addr_in(struct sock_addr *a, u64 uaddr, u64 len)
{
    if (len > sizeof(*a))
        return -EINVAL;
    return len ? copy_in(a, (const void __user *)uaddr, len) : 0;
}

/* Cut to the space the user gave; the full length is told. */
int net_addr_out(const struct sock_addr *a, u32 len, u64 uaddr, u64 ulen)
{
    s32 space;

    if (!uaddr)
        return 0;
    if (IN(space, ulen))
        return -EFAULT;
    if (space < 0)
        return -EINVAL;
    if (copy_out((void __user *)uaddr, a, MIN((u32)space, len)))
        return -EFAULT;
    return OUT(ulen, len);
}

bool net_addr_walks(const struct sock_addr *a, u32 len)
{
    return len > sizeof(a->family) && a->family == AF_UNIX && a->data[0];
}

static struct net_ns *net_current(void)
{
    return current_task()->ns->net;
}

s64 sys_socket(s32 family, u32 type, s32 protocol)
{
    struct file *f = socket_create(net_current(), (int)family, (int)type, (int)protocol);

    return IS_ERR(f) ? PTR_ERR(f) : fd_publish(f, type & SOCK_CLOEXEC);
}

s64 sys_socketpair(s32 family, u32 type, s32 protocol, u64 usv)
{
    bool cloexec = type & SOCK_CLOEXEC;
    struct file *f[2];
    int fd[2], err = socket_pair(net_current(), (int)family, (int)type, (int)protocol, f);

    if (err)
        return err;
    fd[0] = fd_alloc(0, cloexec);
    fd[1] = fd[0] < 0 ? fd[0] : fd_alloc(0, cloexec);
    err = fd[1] < 0 ? fd[1] : OUT(usv, fd);
    if (err) {
        if (fd[0] >= 0)
            fd_cancel(fd[0]);
        if (fd[1] >= 0)
            fd_cancel(fd[1]);
        file_put(f[0]);
        file_put(f[1]);
        return err;
    }
    fd_install(fd[0], f[0]);
    fd_install(fd[1], f[1]);
    return 0;
}

/* bind and connect: an address, perhaps a path. */
static s64 net_with_addr(u64 fd, u64 uaddr, u64 len,
                         int (*call)(struct file *f, const struct sock_addr *a, u32 len,
                                     const struct walk_ctx *ctx))
{
    struct fd_hold h = fd_hold((int)fd);
    struct walk_hold walk;
    struct sock_addr a;
    int err;

    if (!h.file)
        return -EBADF;
    err = (u32)len > sizeof(a) ? -EINVAL : net_addr_in(&a, uaddr, (u32)len);
    if (!err && net_addr_walks(&a, (u32)len)) {
        walk_begin(&walk);
        err = call(h.file, &a, (u32)len, &walk.ctx);
        walk_end(&walk);
    } else if (!err) {
        err = call(h.file, &a, (u32)len, NULL);
    }
    fd_release(h);
    return err;
}

s64 sys_bind(s32 fd, u64 uaddr, u32 len)
{
    return net_with_addr(fd, uaddr, len, socket_bind);
}

s64 sys_connect(s32 fd, u64 uaddr, u32 len)
{
    return net_with_addr(fd, uaddr, len, socket_connect);
}

s64 sys_listen(s32 fd, s32 backlog)
{
    struct fd_hold h = fd_hold((int)fd);
    int err = h.file ? socket_listen(h.file, (int)backlog) : -EBADF;

    fd_release(h);
    return err;
}

/* The connection, whose address has been told. */
static struct file *net_accept(struct file *listener, u64 uaddr, u64 ulen, u32 flags)
{
    struct sock_addr peer;
    u32 len = 0;
    struct file *f = socket_accept(listener, flags, uaddr ? &peer : NULL, &len);
    int err = IS_ERR(f) ? 0 : net_addr_out(&peer, len, uaddr, ulen);

    if (!err)
        return f;
    file_put(f);
    return ERR_PTR(err);
}

/* The number first: for want of one no connection is lost. */
s64 sys_accept4(s32 fd, u64 uaddr, u64 ulen, u32 flags)
{
    struct fd_hold h = fd_hold((int)fd);
    struct file *f;
    int number;

    if (!h.file)
        return -EBADF;
    number =
        flags & ~(u32)(SOCK_NONBLOCK | SOCK_CLOEXEC) ? -EINVAL : fd_alloc(0, flags & SOCK_CLOEXEC);
    f = number < 0 ? ERR_PTR(number) : net_accept(h.file, uaddr, ulen, flags);
    fd_release(h);
    if (!IS_ERR(f))
        fd_install(number, f);
    else if (number >= 0)
        fd_cancel(number);
    return IS_ERR(f) ? PTR_ERR(f) : number;
}

s64 sys_accept(s32 fd, u64 uaddr, u64 ulen)
{
    return sys_accept4(fd, uaddr, ulen, 0);
}

static s64 net_name(u64 fd, u64 uaddr, u64 ulen, bool peer)
{
    struct fd_hold h = fd_hold((int)fd);
    struct sock_addr a;
    u32 len = 0;
    int err;

    if (!h.file)
        return -EBADF;
    memset(&a, 0, sizeof(a));
    err = socket_name(h.file, peer, &a, &len);
    fd_release(h);
    return err ? err : uaddr ? net_addr_out(&a, len, uaddr, ulen) : -EFAULT;
}

s64 sys_getsockname(s32 fd, u64 uaddr, u64 ulen)
{
    return net_name(fd, uaddr, ulen, false);
}

s64 sys_getpeername(s32 fd, u64 uaddr, u64 ulen)
{
    return net_name(fd, uaddr, ulen, true);
}

s64 sys_shutdown(s32 fd, s32 how)
{
    struct fd_hold h = fd_hold((int)fd);
    int err = h.file ? socket_shutdown(h.file, (int)how) : -EBADF;

    fd_release(h);
    return err;
}

s64 sys_setsockopt(s32 fd, s32 level, s32 name, u64 uval, u32 len)
{
    u64 val[OPTION_WORDS];
    struct fd_hold h;
    int err;

    if ((s32)len < 0 || (u32)len > OPTION_MAX)
        return -EINVAL;
    len = MIN((u32)len, sizeof(val)); /* no option that we know is longer */
    if (copy_in(val, (const void __user *)uval, len))
        return -EFAULT;
    h = fd_hold((int)fd);
    err = h.file ? socket_set_option(h.file, (int)level, (int)name, val, (u32)len) : -EBADF;
    fd_release(h);
    return err;
}

s64 sys_getsockopt(s32 fd, s32 level, s32 name, u64 uval, u64 ulen)
{
    u64 val[OPTION_WORDS];
    struct fd_hold h;
    s32 space;
    u32 n;
    int err;

    if (IN(space, ulen))
        return -EFAULT;
    if (space < 0)
        return -EINVAL;
    n = MIN((u32)space, (u32)sizeof(val));
    memset(val, 0, MAX(n, OPTION_USUAL));
    if (copy_in(val, (const void __user *)uval, n)) /* some options are asked by a value */
        memset(val, 0, MAX(n, OPTION_USUAL));
    h = fd_hold((int)fd);
    err = h.file ? socket_get_option(h.file, (int)level, (int)name, val, &n) : -EBADF;
    fd_release(h);
    if (err)
        return err;
    if (copy_out((void __user *)uval, val, MIN(n, (u32)space))) /* an option may tell it has more */
        return -EFAULT;
    return OUT(ulen, n);
}

/* SPDX-License-Identifier: MIT
 *
 * setsockopt and getsockopt of SOL_SOCKET; what it does not know goes to the family.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "net/socket_priv.h"
#include "obj/cred.h"
#include "sched/timer.h"

/* asm-generic/socket.h */
enum {
    SO_DEBUG = 1,
    SO_REUSEADDR = 2,
    SO_TYPE = 3,
    SO_ERROR = 4,
    SO_DONTROUTE = 5,
    SO_BROADCAST = 6,
    SO_SNDBUF = 7,
    SO_RCVBUF = 8,
    SO_KEEPALIVE = 9,
    SO_OOBINLINE = 10,
    SO_PRIORITY = 12,
    SO_LINGER = 13,
    SO_REUSEPORT = 15,
    SO_PASSCRED = 16,
    SO_RCVLOWAT = 18,
    SO_RCVTIMEO = 20,
    SO_SNDTIMEO = 21,
    SO_ACCEPTCONN = 30,
    SO_SNDBUFFORCE = 32,
    SO_RCVBUFFORCE = 33,
    SO_PROTOCOL = 38,
    SO_DOMAIN = 39,
};

struct option_timeval {
    s64 sec, usec;
};

static int option_int(const void *val, u32 n, int *out)
{
    if (n < sizeof(*out))
        return -EINVAL;
    memcpy(out, val, sizeof(*out));
    return 0;
}

static int option_set_timeout(u64 *timeout, const void *val, u32 n)
{
    struct option_timeval tv;

    if (n < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, val, sizeof(tv));
    if (tv.usec < 0 || tv.usec >= 1000000)
        return -EDOM;
    if (tv.sec < 0 || tv.sec > (s64)(S64_MAX / NSEC_PER_SEC / 4))
        *timeout = 0;
    else
        *timeout = (u64)tv.sec * NSEC_PER_SEC + (u64)tv.usec * NSEC_PER_USEC;
    return 0;
}

/* Linux doubles what it is asked for, and so reports it. */
static u32 option_buffer(int asked)
{
    u32 n = asked < 0 ? SOCK_BUF_MAX : (u32)asked;

    return MAX(2 * MIN(n, SOCK_BUF_MAX / 2), 4608U);
}

static int option_set(struct socket *s, int name, const void *val, u32 n)
{
    int v, err;

    if (name == SO_RCVTIMEO)
        return option_set_timeout(&s->recv_timeout, val, n);
    if (name == SO_SNDTIMEO)
        return option_set_timeout(&s->send_timeout, val, n);
    err = option_int(val, n, &v);
    if (err)
        return err;
    switch (name) {
    case SO_REUSEADDR:
        s->reuse_addr = v;
        return 0;
    case SO_KEEPALIVE:
        s->keepalive = v;
        return 0;
    case SO_BROADCAST:
        s->broadcast = v;
        return 0;
    case SO_PASSCRED:
        if (s->family != AF_UNIX)
            return -EOPNOTSUPP;
        s->passcred = v;
        return 0;
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
        if (!capable(CAP_NET_ADMIN))
            return -EPERM;
        *(name == SO_SNDBUFFORCE ? &s->sndbuf : &s->rcvbuf) = option_buffer(v);
        return 0;
    case SO_SNDBUF:
        s->sndbuf = option_buffer(v);
        return 0;
    case SO_RCVBUF:
        s->rcvbuf = option_buffer(v);
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int socket_set_option(struct file *f, int level, int name, const void *val, u32 n)
{
    struct socket *s = f->priv;
    int err = -ENOPROTOOPT;

    if (!file_is_socket(f))
        return -ENOTSOCK;
    if (level == SOL_SOCKET)
        err = option_set(s, name, val, n);
    if (err == -ENOPROTOOPT && s->ops->set_option)
        err = s->ops->set_option(s, level, name, val, n);
    return err;
}

static int option_get_int(struct socket *s, int name, int *v)
{
    switch (name) {
    case SO_REUSEADDR:
        *v = s->reuse_addr;
        return 0;
    case SO_TYPE:
        *v = s->type;
        return 0;
    case SO_DOMAIN:
        *v = s->family;
        return 0;
    case SO_PROTOCOL:
        *v = s->protocol;
        return 0;
    case SO_ERROR:
        *v = -socket_take_error(s);
        return 0;
    case SO_KEEPALIVE:
        *v = s->keepalive;
        return 0;
    case SO_BROADCAST:
        *v = s->broadcast;
        return 0;
    case SO_SNDBUF:
        *v = (int)s->sndbuf;
        return 0;
    case SO_RCVBUF:
        *v = (int)s->rcvbuf;
        return 0;
    case SO_PASSCRED:
        *v = s->passcred;
        return 0;
    case SO_ACCEPTCONN:
        *v = s->listening;
        return 0;
    case SO_RCVLOWAT:
        *v = 1;
        return 0;
    case SO_OOBINLINE:
    case SO_DONTROUTE:
    case SO_DEBUG:
    case SO_PRIORITY:
    case SO_REUSEPORT:
        *v = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int option_put(void *val, u32 *n, const void *from, u32 size)
{
    *n = MIN(*n, size);
    memcpy(val, from, *n);
    return 0;
}

static int option_get(struct socket *s, int name, void *val, u32 *n)
{
    int v, err;

    if (name == SO_RCVTIMEO || name == SO_SNDTIMEO) {
        u64 ns = name == SO_RCVTIMEO ? s->recv_timeout : s->send_timeout;
        struct option_timeval tv = {(s64)(ns / NSEC_PER_SEC),
                                    (s64)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};

        return option_put(val, n, &tv, sizeof(tv));
    }
    if (name == SO_LINGER) {
        int linger[2] = {0, 0};

        return option_put(val, n, linger, sizeof(linger));
    }
    err = option_get_int(s, name, &v);
    return err ? err : option_put(val, n, &v, sizeof(v));
}

int socket_get_option(struct file *f, int level, int name, void *val, u32 *n)
{
    struct socket *s = f->priv;
    int err = -ENOPROTOOPT;

    if (!file_is_socket(f))
        return -ENOTSOCK;
    if (level == SOL_SOCKET)
        err = option_get(s, name, val, n);
    if (err == -ENOPROTOOPT && s->ops->get_option)
        err = s->ops->get_option(s, level, name, val, n);
    return err;
}

/* SPDX-License-Identifier: MIT
 *
 * setsockopt and getsockopt of SOL_SOCKET; what it does not know goes to the family.
 */
#include "lib/bpf.h"
#include "lib/log.h"
#include "lib/string.h"
#include "net/core/filter.h"
#include "net/core/device.h"
#include "net/core/queue.h"
#include "net/socket.h"
#include "net/ip/inet.h"
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
    SO_NO_CHECK = 11,
    SO_PRIORITY = 12,
    SO_LINGER = 13,
    SO_BSDCOMPAT = 14,
    SO_REUSEPORT = 15,
    SO_PASSCRED = 16,
    SO_PEERCRED = 17,
    SO_RCVLOWAT = 18,
    SO_SNDLOWAT = 19,
    SO_RCVTIMEO = 20,
    SO_SNDTIMEO = 21,
    SO_ATTACH_FILTER = 26,
    SO_DETACH_FILTER = 27,
    SO_BINDTODEVICE = 25,
    SO_TIMESTAMP = 29,
    SO_ACCEPTCONN = 30,
    SO_SNDBUFFORCE = 32,
    SO_RCVBUFFORCE = 33,
    SO_PASSSEC = 34,
    SO_TIMESTAMPNS = 35,
    SO_TIMESTAMPING = 37,
    SO_MARK = 36,
    SO_PROTOCOL = 38,
    SO_DOMAIN = 39,
    SO_RXQ_OVFL = 40,
    SO_LOCK_FILTER = 44,
    SO_BUSY_POLL = 46,
    SO_BPF_EXTENSIONS = 48,
    SO_INCOMING_NAPI_ID = 56,
    SO_COOKIE = 57,
    SO_BINDTOIFINDEX = 62,
    SO_TIMESTAMP_NEW = 63, /* the same where a long has 64 bits */
    SO_TIMESTAMPNS_NEW = 64,
    SO_TIMESTAMPING_NEW = 65,
    SO_RCVTIMEO_NEW = 66,
    SO_SNDTIMEO_NEW = 67,
    SO_NETNS_COOKIE = 71,
};

/* Options that are yes or no. */
static const struct option_flag {
    int name;
    size_t offset;
} option_flags[] = {
    {SO_REUSEADDR, offsetof(struct socket, reuse_addr)},
    {SO_REUSEPORT, offsetof(struct socket, reuse_port)},
    {SO_KEEPALIVE, offsetof(struct socket, keepalive)},
    {SO_BROADCAST, offsetof(struct socket, broadcast)},
    {SO_DONTROUTE, offsetof(struct socket, dont_route)},
    {SO_OOBINLINE, offsetof(struct socket, oob_inline)},
    {SO_NO_CHECK, offsetof(struct socket, no_check)},
    {SO_PASSCRED, offsetof(struct socket, passcred)},
    {SO_PASSSEC, offsetof(struct socket, passsec)},
    {SO_RXQ_OVFL, offsetof(struct socket, count_lost)},
    {SO_DEBUG, offsetof(struct socket, debug)},
    {SO_LOCK_FILTER, offsetof(struct socket, filter_locked)},
};

static bool *option_flag(struct socket *s, int name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(option_flags); i++)
        if (option_flags[i].name == name)
            return (bool *)((char *)s + option_flags[i].offset);
    return NULL;
}

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

/* Linux doubles what it is asked for, and so reports it. Without privilege there is a bound, which
 * is not told. */
static u32 option_buffer(int asked, bool send, bool force)
{
    s32 allowed = send ? READ_ONCE(sock_buffers.send_most) : READ_ONCE(sock_buffers.receive_most);
    u32 most = force ? SOCK_BUF_MAX / 2 : (u32)allowed;
    u32 n = asked < 0 ? most : MIN((u32)asked, most);

    return MAX(2 * n, send ? (u32)SOCK_SNDBUF_MIN : (u32)SOCK_RCVBUF_MIN);
}

static int option_set_buffer(struct socket *s, int name, int v)
{
    bool send = name == SO_SNDBUF || name == SO_SNDBUFFORCE;
    bool force = name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE;

    if (force && !capable(CAP_NET_ADMIN)) /* the host's memory, not a namespace's */
        return -EPERM;
    WRITE_ONCE(*(send ? &s->sndbuf : &s->rcvbuf), option_buffer(v, send, force));
    WRITE_ONCE(*(send ? &s->sndbuf_set : &s->rcvbuf_set), true);
    if (send)
        socket_wake(s, POLLOUT | POLLWRNORM);
    else
        sock_resized(s);
    return 0;
}

/* What only an administrator of the network may set beyond a range. */
static bool option_net_admin(const struct socket *s)
{
    return cred_capable(current_cred(), s->ns->user_ns, CAP_NET_ADMIN) ||
           cred_capable(current_cred(), s->ns->user_ns, CAP_NET_RAW);
}

static int option_set_linger(struct socket *s, const void *val, u32 n)
{
    s32 v[2];

    if (n < sizeof(v))
        return -EINVAL;
    memcpy(v, val, sizeof(v));
    s->linger.on = v[0] != 0;
    if (v[0])
        s->linger.seconds = v[1];
    return 0;
}

/* socket(7): whoever is not privileged may choose, and not choose again. */
static int option_bind_device(struct socket *s, u32 index)
{
    if (READ_ONCE(s->bound_device) && !cred_capable(current_cred(), s->ns->user_ns, CAP_NET_RAW))
        return -EPERM;
    WRITE_ONCE(s->bound_device, index);
    return 0;
}

static int option_set_device(struct socket *s, const void *val, u32 n)
{
    char name[NETDEV_NAME] = {0};
    struct netdev *dev;
    u32 index;

    memcpy(name, val, MIN(n, NETDEV_NAME - 1U));
    if (!name[0])
        return option_bind_device(s, 0);
    dev = net_device_by_name(s->ns, name);
    if (!dev)
        return -ENODEV;
    index = dev->index;
    netdev_put(dev);
    return option_bind_device(s, index);
}

static int option_get_device(struct socket *s, void *val, u32 *n)
{
    u32 index = READ_ONCE(s->bound_device);
    struct netdev *dev;
    char name[NETDEV_NAME];

    if (!index) {
        *n = 0;
        return 0;
    }
    if (*n < NETDEV_NAME)
        return -EINVAL;
    dev = net_device_by_index(s->ns, index);
    if (!dev)
        return -ENODEV;
    memcpy(name, dev->name, sizeof(name));
    netdev_put(dev);
    return socket_option_put(val, n, name, (u32)strlen(name) + 1);
}

/* By software, of datagrams; those that are sent: UDP's, told without their bytes. */
static int option_set_stamping(struct socket *s, int v)
{
    const u32 all = SOCKET_STAMP_SENT | SOCKET_STAMP_CAME | SOCKET_STAMP_TELL |
                    SOCKET_STAMP_NUMBER | SOCKET_STAMP_ALONE;
    bool udp =
        s->type == SOCK_DGRAM && (s->protocol == IPPROTO_UDP || s->protocol == IPPROTO_UDPLITE);

    if (((u32)v & ~all) || (v && s->type != SOCK_DGRAM && s->type != SOCK_RAW))
        return -EINVAL;
    if (((u32)v & SOCKET_STAMP_SENT) && !(udp && ((u32)v & SOCKET_STAMP_ALONE)))
        return -EINVAL;
    if (((u32)v & SOCKET_STAMP_NUMBER) && !(s->stamping & SOCKET_STAMP_NUMBER))
        WRITE_ONCE(s->stamped, 0);
    WRITE_ONCE(s->stamping, (u32)v);
    return 0;
}

static int option_set_int(struct socket *s, int name, int v)
{
    switch (name) {
    case SO_SNDBUF:
    case SO_RCVBUF:
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
        return option_set_buffer(s, name, v);
    case SO_PRIORITY:
        if ((v < 0 || v > 6) && !option_net_admin(s))
            return -EPERM;
        s->priority = v;
        return 0;
    case SO_MARK:
        if (!option_net_admin(s))
            return -EPERM;
        s->mark = v;
        return 0;
    case SO_RCVLOWAT:
        s->low_water = v < 0 ? 0x7fffffff : MAX(v, 1);
        return 0;
    case SO_TIMESTAMP:
    case SO_TIMESTAMP_NEW:
        s->timestamp = v ? SOCKET_TIME_US : SOCKET_TIME_NONE;
        return 0;
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMPNS_NEW:
        s->timestamp = v ? SOCKET_TIME_NS : SOCKET_TIME_NONE;
        return 0;
    case SO_TIMESTAMPING:
    case SO_TIMESTAMPING_NEW:
        return option_set_stamping(s, v);
    case SO_BINDTOIFINDEX:
        return v < 0 ? -EINVAL : option_bind_device(s, (u32)v);
    case SO_BUSY_POLL: /* there is no device to poll */
        return v < 0 ? -EINVAL : v && !capable(CAP_NET_ADMIN) ? -EPERM : 0;
    case SO_BSDCOMPAT: /* as Linux: of no effect for long */
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int option_set(struct socket *s, int name, const void *val, u32 n)
{
    bool *flag = option_flag(s, name);
    int v, err;

    if (name == SO_ATTACH_FILTER)
        return socket_filter_attach(s, val, n);
    if (name == SO_DETACH_FILTER)
        return socket_filter_detach(s);
    if (name == SO_BINDTODEVICE)
        return option_set_device(s, val, n);
    err = option_int(val, n, &v);
    if (err)
        return err;
    if (name == SO_RCVTIMEO || name == SO_RCVTIMEO_NEW)
        return option_set_timeout(&s->recv_timeout, val, n);
    if (name == SO_SNDTIMEO || name == SO_SNDTIMEO_NEW)
        return option_set_timeout(&s->send_timeout, val, n);
    if (name == SO_LINGER)
        return option_set_linger(s, val, n);
    if (name == SO_LOCK_FILTER && !v && s->filter_locked) /* it is for good */
        return -EPERM;
    if (name == SO_DEBUG && v && !capable(CAP_NET_ADMIN))
        return -EACCES;
    if (!flag)
        return option_set_int(s, name, v);
    WRITE_ONCE(*flag, v != 0);
    return 0;
}

int socket_set_option(struct file *f, int level, int name, const void *val, u32 n)
{
    struct socket *s = socket_of_file(f);

    if (!s)
        return -ENOTSOCK;
    if (level == SOL_SOCKET) {
        int err = option_set(s, name, val, n);

        if (!err && s->ops->settled)
            s->ops->settled(s);
        return err;
    }
    return s->ops->set_option ? s->ops->set_option(s, level, name, val, n) : -EOPNOTSUPP;
}

static int option_get_stamp(const struct socket *s, int name, int *v)
{
    switch (name) {
    case SO_TIMESTAMP:
    case SO_TIMESTAMP_NEW:
        *v = s->timestamp == SOCKET_TIME_US;
        return 0;
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMPNS_NEW:
        *v = s->timestamp == SOCKET_TIME_NS;
        return 0;
    case SO_TIMESTAMPING:
    case SO_TIMESTAMPING_NEW:
        *v = (int)s->stamping;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int option_get_int(struct socket *s, int name, int *v)
{
    const bool *flag = option_flag(s, name);

    if (flag) {
        *v = *flag;
        return 0;
    }
    switch (name) {
    case SO_TYPE:
        *v = s->type;
        return 0;
    case SO_DOMAIN:
        *v = s->family;
        return 0;
    case SO_PROTOCOL:
        *v = s->protocol;
        return 0;
    case SO_BPF_EXTENSIONS: /* how far a filter's loads of what is known beside the bytes go */
        *v = 4 * BPF_KNOWN_MOST;
        return 0;
    case SO_ERROR:
        *v = -socket_take_error(s);
        return 0;
    case SO_SNDBUF:
        *v = (int)s->sndbuf;
        return 0;
    case SO_RCVBUF:
        *v = (int)s->rcvbuf;
        return 0;
    case SO_ACCEPTCONN:
        *v = s->listening;
        return 0;
    case SO_RCVLOWAT:
        *v = MAX(s->low_water, 1);
        return 0;
    case SO_SNDLOWAT:
        *v = 1;
        return 0;
    case SO_PRIORITY:
        *v = s->priority;
        return 0;
    case SO_BINDTOIFINDEX:
        *v = (int)READ_ONCE(s->bound_device);
        return 0;
    case SO_MARK:
        *v = s->mark;
        return 0;
    case SO_BSDCOMPAT:
    case SO_BUSY_POLL:
    case SO_INCOMING_NAPI_ID:
        *v = 0;
        return 0;
    default:
        return option_get_stamp(s, name, v);
    }
}

static int option_get(struct socket *s, int name, void *val, u32 *n)
{
    int v, err;

    if (name == SO_RCVTIMEO || name == SO_SNDTIMEO || name == SO_RCVTIMEO_NEW ||
        name == SO_SNDTIMEO_NEW) {
        u64 ns = name == SO_RCVTIMEO || name == SO_RCVTIMEO_NEW ? s->recv_timeout : s->send_timeout;
        struct option_timeval tv = {(s64)(ns / NSEC_PER_SEC),
                                    (s64)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};

        return socket_option_put(val, n, &tv, sizeof(tv));
    }
    if (name == SO_BINDTODEVICE)
        return option_get_device(s, val, n);
    if (name == SO_LINGER)
        return socket_option_put(val, n, &s->linger, sizeof(s->linger));
    if (name == SO_COOKIE || name == SO_NETNS_COOKIE) {
        u64 cookie = name == SO_COOKIE ? s->ino : s->ns->inum;

        return *n < sizeof(cookie) ? -EINVAL : socket_option_put(val, n, &cookie, sizeof(cookie));
    }
    err = option_get_int(s, name, &v);
    return err ? err : socket_option_put(val, n, &v, sizeof(v));
}

int socket_get_option(struct file *f, int level, int name, void *val, u32 *n)
{
    struct socket *s = socket_of_file(f);
    int err = -ENOPROTOOPT;

    if (!s)
        return -ENOTSOCK;
    if (level == SOL_SOCKET)
        err = option_get(s, name, val, n);
    if (err == -ENOPROTOOPT && s->ops->get_option)
        err = s->ops->get_option(s, level, name, val, n);
    return err;
}

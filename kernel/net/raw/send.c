/* SPDX-License-Identifier: MIT
 *
 * What raw and ping sockets send: always packets, to this host over lo.
 */
#include "lib/checksum.h"
#include "lib/log.h"
#include "net/core/sending.h"
#include "net/ip/addr.h"
#include "net/ip/ipv4.h"
#include "net/ip/option.h"
#include "net/raw/raw.h"
#include "vm/iov.h"

#define RAW_BYTES_MAX 65535U
#define RAW_LINEAR 64U /* of a message: headers that are looked at or changed */
#define ICMP6_ECHO 128
#define IPV6_HEADER_BYTES 40

/* Where a message goes, as it says or to the peer. */
static int raw_target(struct raw_sock *r, const struct socket_message *m, struct ip_end *to)
{
    struct socket *s = &r->inet.sock;
    int err;

    if (!m->addr_len) {
        spin_lock(&s->lock);
        *to = r->inet.peer;
        err = r->connected ? 0 : -EDESTADDRREQ;
        spin_unlock(&s->lock);
        return err;
    }
    err = inet_addr_in(&r->inet, &m->addr, m->addr_len, to);
    if (!err && s->family == AF_INET6 && ip_is_v4(&to->addr))
        err = -EINVAL;
    return err;
}

/* A packet of the whole message; NULL with *err. */
static struct packet *raw_packet(struct raw_sock *r, struct iov_iter *data, int *err)
{
    struct packet *p = sock_packet_alloc();
    u64 first = MIN(data->count, (u64)RAW_LINEAR);
    u8 *at = p ? packet_append(p, (u32)first) : NULL;

    *err = -ENOBUFS;
    if (!at) {
        packet_free(p);
        return NULL;
    }
    *err = iov_copy_from(data, at, first) == first ? 0 : -EFAULT;
    if (!*err)
        *err = sock_packet_fill(p, data, data->count);
    if (!*err)
        *err = sock_send_count(&r->inet.sock, p);
    if (*err) {
        packet_free(p);
        return NULL;
    }
    p->mark = (u32)r->inet.sock.mark;
    p->priority = (u32)r->inet.sock.priority;
    return p;
}

/* The message's own IPv4 header (raw(7)): length and checksum are made right, and the source and
 * the identification, where they are 0. Takes p. */
static int raw_send_header(struct raw_sock *r, struct packet *p, const struct inet_way *way,
                           struct ip_info *info)
{
    u8 *at = packet_data(p);
    u32 header = p->linear ? (at[0] & 15U) * 4 : 0;
    u16 sum, total = (u16)(p->len << 8 | p->len >> 8);

    if (header < IPV4_HEADER || header > p->linear || at[0] >> 4 != 4 || p->len > way->path.mtu) {
        int err = p->len > way->path.mtu ? -EMSGSIZE : -EINVAL;

        packet_free(p);
        return err;
    }
    memcpy(at + 2, &total, sizeof(total));
    if (!(at[12] | at[13] | at[14] | at[15]))
        memcpy(at + 12, &way->source.w[3], 4);
    at[10] = at[11] = 0;
    sum = checksum_of(at, header);
    memcpy(at + 10, &sum, sizeof(sum));
    info->hops = at[8];
    return ip_output_made(r->inet.sock.ns, p, &way->path, info);
}

/* The same of IPv6, which is sent as it is. Takes p. */
static int raw_send_header6(struct raw_sock *r, struct packet *p, const struct inet_way *way,
                            struct ip_info *info)
{
    const u8 *at = packet_data(p);

    if (p->linear >= IPV6_HEADER_BYTES && at[0] >> 4 == 6) {
        info->hops = at[7];
        return ip_output_made(r->inet.sock.ns, p, &way->path, info);
    }
    packet_free(p);
    return -EINVAL;
}

/* icmp(7): requests alone; the identifier and the checksum are the socket's. */
static int raw_make_echo(struct raw_sock *r, struct packet *p, const struct ip_info *info)
{
    bool v4 = ip_is_v4(&info->to);
    u16 sum, ident = READ_ONCE(r->inet.local.port);
    u8 *at = packet_data(p);

    if (p->linear < ICMP_ECHO_BYTES || at[0] != (v4 ? ICMP_ECHO : ICMP6_ECHO) || at[1])
        return -EINVAL;
    at[2] = at[3] = 0;
    at[4] = (u8)(ident >> 8);
    at[5] = (u8)ident;
    if (!v4)
        return ip_sum_now(p, info, 2) ? 0 : -EINVAL;
    sum = (u16)~checksum_fold(packet_sum(p, 0, p->len, 0));
    memcpy(at + 2, &sum, sizeof(sum));
    return 0;
}

/* Takes p. */
static int raw_output(struct raw_sock *r, struct packet *p, const struct inet_way *way,
                      const struct ip_addr *to, const struct socket_header *header)
{
    struct ip_info info;
    s16 at = READ_ONCE(r->sum);
    int err = 0;

    inet_info(&r->inet, way, to, header, p->len, &info);
    if (READ_ONCE(r->header))
        return ip_is_v4(to) ? raw_send_header(r, p, way, &info)
                            : raw_send_header6(r, p, way, &info);
    if (r->ping)
        err = raw_make_echo(r, p, &info);
    else if (at >= 0 && !ip_sum_now(p, &info, (u16)at))
        err = -EINVAL;
    if (err) {
        packet_free(p);
        return err;
    }
    return ip_output(r->inet.sock.ns, p, &way->path, &info);
}

static int raw_transmit(struct raw_sock *r, struct socket_message *m, const struct ip_end *to,
                        const struct inet_way *way, unsigned flags)
{
    struct packet *p;
    int err = sock_send_wait(&r->inet.sock, flags);

    if (err)
        return err;
    p = raw_packet(r, m->data, &err);
    if (!p)
        return err;
    err = raw_output(r, p, way, &to->addr, &m->header);
    if (err == -ENOBUFS && !inet_wants_errors(&r->inet, ip_is_v4(&to->addr)))
        err = 0;
    return err;
}

ssize_t raw_send(struct socket *s, struct socket_message *m, unsigned flags,
                 const struct walk_ctx *ctx)
{
    struct raw_sock *r = raw_of(s);
    struct ip_end to, local;
    struct inet_way way;
    u64 n = m->data->count;
    int err;

    if (n > RAW_BYTES_MAX)
        return -EMSGSIZE;
    if (r->ping && n < ICMP_ECHO_BYTES)
        return -EINVAL;
    err = raw_target(r, m, &to);
    if (err)
        return err;
    err = socket_take_error(s);
    if (err)
        return err;
    if (READ_ONCE(s->shut) & SOCK_SHUT_WR)
        return -EPIPE;
    if (r->ping) {
        struct ip_addr any = inet_any(&r->inet);

        err = inet_autobind(&r->inet, &any);
        if (err)
            return err;
    }
    local = inet_local(&r->inet);
    err = inet_route_packet(&r->inet, &local, &to, m, &way);
    if (err)
        return err;
    err = raw_transmit(r, m, &to, &way, flags);
    inet_way_put(&way);
    return err ? err : (ssize_t)n;
}

/* SPDX-License-Identifier: MIT
 *
 * What all sockets of IP that send and receive whole messages share.
 */
#include "arch/x86/uaccess.h"
#include "lib/log.h"
#include "net/core/queue.h"
#include "net/core/sending.h"
#include "net/ip/inet.h"

#define FIONREAD 0x541B
#define SIOCOUTQ 0x5411

u32 inet_datagram_poll(struct socket *s, struct poll_table *pt)
{
    u32 shut, mask = 0;

    poll_wait(pt, &s->wait);
    spin_lock(&s->lock);
    shut = s->shut;
    if (!list_empty(&s->queue) || (shut & SOCK_SHUT_RD))
        mask |= POLLIN | POLLRDNORM;
    spin_unlock(&s->lock);
    if (s->error || !list_empty(&inet_of(s)->errors))
        mask |= POLLERR;
    return mask | sock_poll_ends(shut, false,
                                 sock_send_space(s)); /* a receiver's is found out by sending */
}

s64 inet_datagram_ioctl(struct socket *s, unsigned cmd, u64 arg)
{
    u32 n;

    if (cmd != FIONREAD && cmd != SIOCOUTQ)
        return -ENOTTY;
    n = cmd == FIONREAD ? sock_unread(s) : sock_in_flight(s);
    return copy_out((void __user *)arg, &n, sizeof(n));
}

ssize_t inet_datagram_recv(struct socket *s, struct socket_message *m, unsigned flags)
{
    m->addr_len = 0;
    return sock_recv(s, m, flags);
}

void inet_datagram_end(struct socket *s)
{
    struct list_node lost;

    list_init(&lost);
    inet_leave_groups(inet_of(s));
    spin_lock(&s->lock);
    WRITE_ONCE(s->dead, true);
    WRITE_ONCE(s->shut, SOCK_SHUT_BOTH);
    sock_queue_take_all_locked(s, &lost); /* dead: nothing is queued any more */
    spin_unlock(&s->lock);
    socket_wake(s, 0);
    sock_queue_free(s, &lost);
    socket_put(s);
}

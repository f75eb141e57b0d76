/* SPDX-License-Identifier: MIT
 *
 * packet_diag: a namespace's packet sockets (linux/packet_diag.h). Dumps alone, as on Linux.
 */
#include "net/diag/diag.h"
#include "lib/log.h"
#include "net/packet/packet_sock.h"

enum { PACKET_DIAG_INFO = 0, PACKET_DIAG_UID = 5, PACKET_DIAG_MEMINFO = 6 };
enum { PACKET_SHOW_INFO = 1, PACKET_SHOW_MEMINFO = 0x10 };
enum { PDI_AUXDATA = 2 };

struct packet_diag_request {
    u8 family, protocol;
    u16 pad;
    u32 ino, show, cookie[2];
};
struct packet_diag_message {
    u8 family, type;
    u16 protocol; /* as the host has it */
    u32 ino, cookie[2];
};
struct packet_diag_info {
    u32 device, version, reserve, copy_threshold, timestamp, flags;
};
struct packet_dump {
    struct diag_walk walk;
    u32 show;
};

static void packet_diag_put_info(struct nl_builder *b, const struct packet_sock *ps)
{
    struct packet_diag_info i = {.device = READ_ONCE(ps->device),
                                 .version = READ_ONCE(ps->version),
                                 .reserve = READ_ONCE(ps->reserve),
                                 .flags = READ_ONCE(ps->auxdata) ? PDI_AUXDATA : 0};

    nl_put(b, PACKET_DIAG_INFO, &i, sizeof(i));
}

static bool packet_dump_show(struct nl_dump *d, struct nl_builder *b, struct socket *s)
{
    const struct packet_dump *p = (const void *)d->state;
    struct packet_diag_message *m = nl_dumped(d, b, SOCK_DIAG_BY_FAMILY, sizeof(*m));

    if (m) {
        *m = (struct packet_diag_message){.family = AF_PACKET,
                                          .type = s->type,
                                          .protocol = READ_ONCE(packet_of(s)->protocol),
                                          .ino = diag_inode(s)};
        diag_cookie(s, m->cookie);
    }
    if (p->show & PACKET_SHOW_INFO) {
        packet_diag_put_info(b, packet_of(s));
        nl_put_u32(b, PACKET_DIAG_UID, user_ns_uid(d->s->cred->user_ns, s->uid));
    }
    if (p->show & PACKET_SHOW_MEMINFO)
        diag_put_memory(b, PACKET_DIAG_MEMINFO, s, 0);
    return nl_end(b);
}

static bool packet_dump_step(struct nl_dump *d, struct nl_builder *b)
{
    return diag_walk(&((struct packet_dump *)(void *)d->state)->walk, d, b, packet_dump_show);
}

static void packet_dump_end(struct nl_dump *d)
{
    diag_walk_end(&((struct packet_dump *)(void *)d->state)->walk);
}

static int packet_diag_request(struct nl_request *r)
{
    static const struct nl_dump_ops ops = {NL_SOCKETS, packet_dump_step, packet_dump_end};
    struct packet_diag_request q;
    struct packet_dump d = {{&packet_ns_of(r->ns)->list, NULL}, 0};
    int err = diag_body(r, &q, sizeof(q));

    if (!err && q.protocol)
        err = -EINVAL;
    if (!err && !(r->h.flags & NLM_F_DUMP))
        err = -EOPNOTSUPP;
    if (err)
        return err;
    d.show = q.show;
    return nl_dump_start(r, &ops, &d, sizeof(d), false);
}

const struct diag_family diag_packet = {AF_PACKET, packet_diag_request, NULL};

/* SPDX-License-Identifier: MIT
 *
 * Requests one by one, their acknowledgments, answers and dumps. netlink.h has the rules.
 *
 * A dump belongs to its socket. The thread that makes a piece takes it out (`dumping`), makes the
 * piece without a lock, queues it and puts the dump back: pieces are in order, and a socket that is
 * released meanwhile is dead by then, so that the dump is freed.
 */
#include "lib/log.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "net/netlink/netlink.h"
#include "sched/thread.h"

enum { NLMSGERR_ATTR_MSG = 1, NLMSGERR_ATTR_OFFS = 2 };

bool nl_capable_in(const struct nl_request *r, const struct net_ns *ns, int cap)
{
    return cred_capable(current_cred(), ns->user_ns, cap) &&
           cred_capable(r->s->cred, ns->user_ns, cap);
}

bool nl_capable(const struct nl_request *r, int cap)
{
    return nl_capable_in(r, r->ns, cap);
}

/* ---- whom a change is made for ---- */

static bool nl_request_before(const struct rb_node *a, const struct rb_node *b)
{
    return rb_entry(a, struct nl_request, node)->thread <
           rb_entry(b, struct nl_request, node)->thread;
}

static void nl_request_enter(struct nl_request *r)
{
    struct nl_ns *nn = nl_ns_of(r->ns);

    spin_lock(&nn->requests_lock);
    rb_insert(&nn->requests, &r->node, nl_request_before);
    spin_unlock(&nn->requests_lock);
}

static void nl_request_leave(struct nl_request *r)
{
    struct nl_ns *nn = nl_ns_of(r->ns);

    spin_lock(&nn->requests_lock);
    rb_erase(&nn->requests, &r->node);
    spin_unlock(&nn->requests_lock);
}

const struct nl_request *nl_asking(struct net_ns *ns)
{
    struct nl_ns *nn = nl_ns_of(ns);
    const struct thread *me = current_thread();
    const struct nl_request *found = NULL;
    struct rb_node *n;

    spin_lock(&nn->requests_lock);
    for (n = nn->requests.node; n && !found;) {
        const struct nl_request *r = rb_entry(n, struct nl_request, node);

        if (r->thread == me)
            found = r;
        else
            n = me < r->thread ? n->left : n->right;
    }
    spin_unlock(&nn->requests_lock);
    return found;
}

void nl_changed(struct net_ns *ns, enum nl_matter matter)
{
    __atomic_fetch_add(&nl_ns_of(ns)->generation[matter], 1, __ATOMIC_RELAXED);
}

/* ---- answers ---- */

static int nl_answer_begin_of(struct nl_builder *b, u32 size)
{
    u8 *buf = FAILPOINT(netlink_answer) ? NULL : kmalloc(size);

    if (!buf)
        return -ENOMEM;
    nl_builder_init(b, buf, size);
    return 0;
}

int nl_answer_begin(struct nl_builder *b)
{
    return nl_answer_begin_of(b, NL_PIECE);
}

int nl_answer_begin_large(struct nl_builder *b)
{
    return nl_answer_begin_of(b, NL_PIECE_MAX);
}

int nl_answer_end(struct nl_request *r, struct nl_builder *b)
{
    int err = 0;

    if (b->len && !nl_queue(r->s, b->buf, b->len, 0))
        err = -ENOBUFS;
    kfree(b->buf);
    return err;
}

void *nl_answer(struct nl_request *r, struct nl_builder *b, u16 type, u32 body)
{
    return nl_begin(b, type, 0, r->h.seq, r->s->port, body);
}

/* The request comes back behind the number, whole or (as the socket likes, or if it succeeded) its
 * header. */
static void nl_acknowledge(struct nl_request *r, int err)
{
    bool whole = err && !READ_ONCE(r->s->cap_ack);
    bool tlvs = READ_ONCE(r->s->ext_ack) && (r->fault.text || (err && r->fault.offset));
    u32 text = tlvs && r->fault.text ? (u32)strlen(r->fault.text) + 1 : 0;
    u32 size = NL_HEADER + 4 + NL_ALIGN(whole ? r->h.len : NL_HEADER) + NL_ALIGN(text) + 24;
    u8 *buf = FAILPOINT(netlink_ack) ? NULL : kmalloc(size), *body;
    struct nl_builder b;
    u16 flags = (u16)((whole ? 0 : NLM_F_CAPPED) | (tlvs ? NLM_F_ACK_TLVS : 0));

    if (!buf) {
        WRITE_ONCE(r->s->sock.error, ENOBUFS);
        return;
    }
    nl_builder_init(&b, buf, size);
    body = nl_begin(&b, NLMSG_ERROR, flags, r->h.seq, r->s->port,
                    4 + NL_ALIGN(whole ? r->h.len : NL_HEADER));
    memcpy(body, &err, sizeof(err));
    memcpy(body + 4, &r->h, NL_HEADER);
    if (whole)
        memcpy(body + 4 + NL_HEADER, r->body, r->len);
    if (text)
        nl_put_text(&b, NLMSGERR_ATTR_MSG, r->fault.text);
    if (tlvs && err && r->fault.offset)
        nl_put_u32(&b, NLMSGERR_ATTR_OFFS, r->fault.offset);
    if (nl_end(&b))
        (void)nl_queue(r->s, buf, b.len, 0);
    kfree(buf);
}

static void nl_perform(struct nl_request *r)
{
    int err = 0;

    if ((r->h.flags & NLM_F_REQUEST) && r->h.type >= NLMSG_MIN_TYPE) {
        nl_request_enter(r);
        err = r->s->protocol->request(r);
        nl_request_leave(r);
    }
    if (err || ((r->h.flags & NLM_F_ACK) && !r->later))
        nl_acknowledge(r, err);
}

void nl_requests(struct nl_sock *s, const u8 *bytes, u32 n)
{
    struct nl_request r;
    u32 at = 0;

    do {
        memset(&r, 0, sizeof(r));
        r.s = s;
        r.ns = s->sock.ns;
        r.thread = current_thread();
        if (!nl_next(bytes, n, &at, &r.h, &r.body))
            break;
        r.len = r.h.len - NL_HEADER;
        nl_perform(&r);
        cond_yield();
    } while (!thread_sleep_interrupted(current_thread(), SLEEP_KILLABLE));
}

/* ---- dumps ---- */

void nl_dump_free(struct nl_dump *d)
{
    if (d && d->end)
        d->end(d);
    kfree(d);
}

void *nl_dumped(struct nl_dump *d, struct nl_builder *b, u16 type, u32 body)
{
    u32 now = READ_ONCE(nl_ns_of(d->ns)->generation[d->matter]);
    u16 flags = NLM_F_MULTI;

    if (now != d->generation)
        flags |= NLM_F_DUMP_INTR;
    if (d->filtered)
        flags |= NLM_F_DUMP_FILTERED;
    return nl_begin(b, type, flags, d->h.seq, d->h.port, body);
}

/* What ends a dump; err: why it ends before all was told. False: there is no space. */
static bool nl_dump_end(struct nl_dump *d, struct nl_builder *b, s32 err)
{
    s32 *end = nl_dumped(d, b, NLMSG_DONE, sizeof(*end));

    if (end)
        *end = err;
    return nl_end(b) && end;
}

/* The next piece, of at most so many bytes. True: it was the last. */
static bool nl_dump_piece_of(struct nl_sock *s, struct nl_dump *d, u32 size)
{
    u8 *buf = FAILPOINT(netlink_dump) ? NULL : kmalloc(size);
    struct nl_builder b;
    bool done, none;

    if (!buf) {
        WRITE_ONCE(s->sock.error, ENOBUFS);
        socket_wake(&s->sock, POLLERR);
        return true;
    }
    nl_builder_init(&b, buf, size);
    done = d->step(d, &b);
    none = !done && !b.len; /* one message is larger */
    if (none && size < NL_PIECE_MAX) {
        kfree(buf);
        return nl_dump_piece_of(s, d, NL_PIECE_MAX);
    }
    if (done || none)
        done = nl_dump_end(d, &b, none ? -EMSGSIZE : 0);
    if (b.len && !nl_queue(s, buf, b.len, 0))
        done = true;
    kfree(buf);
    return done;
}

/* Pieces are as large as the reader's space has been, but for a message that is larger. */
static bool nl_dump_piece(struct nl_sock *s, struct nl_dump *d)
{
    return nl_dump_piece_of(s, d, MAX(NL_PIECE, READ_ONCE(s->largest)));
}

/* The dump is back, or it is over. */
static void nl_dump_settle(struct nl_sock *s, struct nl_dump *d, bool done)
{
    bool keep;

    spin_lock(&s->sock.lock);
    s->dumping = false;
    keep = !done && !s->sock.dead;
    if (keep)
        s->dump = d;
    spin_unlock(&s->sock.lock);
    if (!keep)
        nl_dump_free(d);
}

void nl_dump_go_on(struct nl_sock *s)
{
    struct nl_dump *d = NULL;

    if (!READ_ONCE(s->dump))
        return;
    spin_lock(&s->sock.lock);
    if (!s->dumping && s->sock.queued <= s->sock.rcvbuf / 2) {
        d = s->dump;
        s->dump = NULL;
        s->dumping = d;
    }
    spin_unlock(&s->sock.lock);
    if (d)
        nl_dump_settle(s, d, nl_dump_piece(s, d));
}

/* A step that found all shown leaves the end to the next piece, where it had no space. */
int nl_dump_start(struct nl_request *r, const struct nl_dump_ops *ops, const void *state, u32 size,
                  bool filtered)
{
    struct nl_sock *s = r->s;
    struct nl_dump *d = FAILPOINT(netlink_dump_begin) ? NULL : kzalloc(sizeof(*d) + size);
    bool busy;

    if (!d)
        return -ENOMEM;
    d->s = s;
    d->ns = r->ns;
    d->h = r->h;
    d->h.port = s->port;
    d->filtered = filtered;
    d->matter = ops->matter;
    d->generation = READ_ONCE(nl_ns_of(r->ns)->generation[ops->matter]);
    d->step = ops->step;
    d->end = ops->end;
    if (size)
        memcpy(d->state, state, size);
    spin_lock(&s->sock.lock);
    busy = s->dumping || s->dump;
    if (!busy)
        s->dumping = true;
    spin_unlock(&s->sock.lock);
    if (busy) {
        kfree(d);
        return -EBUSY;
    }
    r->later = true;
    nl_dump_settle(s, d, nl_dump_piece(s, d));
    return 0;
}

int nl_dump_begin(struct nl_request *r, enum nl_matter matter,
                  bool (*step)(struct nl_dump *d, struct nl_builder *b), const void *state,
                  u32 size, bool filtered)
{
    struct nl_dump_ops ops = {matter, step, NULL};

    return nl_dump_start(r, &ops, state, size, filtered);
}

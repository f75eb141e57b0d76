/* SPDX-License-Identifier: MIT
 *
 * Filters of inet_diag: the pure core. filter.h has the rules.
 */
#include "net/diag/filter.h"
#include "lib/errno.h"
#include "lib/string.h"

enum {
    BC_NOP,
    BC_JMP,
    BC_S_GE,
    BC_S_LE,
    BC_D_GE,
    BC_D_LE,
    BC_AUTO,
    BC_S_COND,
    BC_D_COND,
    BC_DEV_COND,
    BC_MARK_COND,
    BC_S_EQ,
    BC_D_EQ,
};
#define OP 4U
#define PLACES (DIAG_FILTER_MOST / OP)

struct filter_op {
    u8 code, yes;
    u16 no;
};
struct filter_host {
    u8 family, prefix, pad[2];
    s32 port; /* -1: any */
    /* the address */
};
#define HOST 8U
static_assert(sizeof(struct filter_op) == OP && sizeof(struct filter_host) == HOST, "linux");

static struct filter_op filter_op_at(const u8 *p)
{
    struct filter_op op;

    memcpy(&op, p, sizeof(op));
    return op;
}

static u32 filter_word(const u8 *p)
{
    u32 w;

    memcpy(&w, p, sizeof(w));
    return w;
}

/* ---- judging ---- */

/* Bytes of a condition on an address, the operation included; 0: it is none. */
static u32 filter_host_size(const u8 *p, u32 left)
{
    struct filter_host h;
    u32 addr;

    if (left < OP + HOST)
        return 0;
    memcpy(&h, p + OP, sizeof(h));
    if (h.family != 0 && h.family != 2 && h.family != 10)
        return 0;
    addr = h.family == 2 ? 4 : h.family == 10 ? 16 : 0;
    return h.prefix > 8 * addr ? 0 : OP + HOST + addr;
}

/* Bytes of the operation and its operands, which must all be there; 0: there is no such one. */
static u32 filter_size(const u8 *p, u32 left)
{
    switch (p[0]) {
    case BC_NOP:
    case BC_JMP:
    case BC_AUTO:
        return OP;
    case BC_S_GE:
    case BC_S_LE:
    case BC_D_GE:
    case BC_D_LE:
    case BC_S_EQ:
    case BC_D_EQ:
        return 2 * OP; /* the port is the `no` of a second one */
    case BC_S_COND:
    case BC_D_COND:
        return filter_host_size(p, left);
    case BC_DEV_COND:
        return OP + 4;
    case BC_MARK_COND:
        return OP + 8;
    default:
        return 0;
    }
}

/* Where a jump of so many bytes from `at` may go, as far as its length says. */
static bool filter_jump_ok(u32 at, u32 by, u32 size, u32 n)
{
    return by >= size && by % OP == 0 && by <= n - at + OP;
}

/* Marks the places where operations begin, as `yes` leads from one to the next. */
static int filter_places(const u8 *code, u32 n, bool admin, u64 *starts)
{
    u32 at = 0;

    while (at < n) {
        struct filter_op op;
        u32 size;

        if (n - at < OP)
            return -EINVAL;
        op = filter_op_at(code + at);
        size = filter_size(code + at, n - at);
        if (op.code == BC_MARK_COND && !admin)
            return -EPERM;
        if (!size || size > n - at || !filter_jump_ok(at, op.yes, size, n))
            return -EINVAL;
        if (op.code != BC_NOP && !filter_jump_ok(at, op.no, size, n))
            return -EINVAL;
        starts[at / OP / 64] |= 1ULL << at / OP % 64;
        at += op.yes;
    }
    return at == n ? 0 : -EINVAL;
}

int diag_filter_check(const u8 *code, u32 n, bool admin)
{
    u64 starts[PLACES / 64] = {0};
    int err;

    if (!n || n % OP || n > DIAG_FILTER_MOST)
        return -EINVAL;
    err = filter_places(code, n, admin, starts);
    for (u32 at = 0; !err && at < n; at += filter_op_at(code + at).yes) {
        struct filter_op op = filter_op_at(code + at);
        u32 to = at + op.no;

        if (op.code != BC_NOP && to < n && !(starts[to / OP / 64] >> to / OP % 64 & 1))
            err = -EINVAL;
    }
    return err;
}

/* ---- running ---- */

static bool filter_bits_equal(const u8 *a, const u8 *b, u32 bits)
{
    u32 whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole))
        return false;
    return !rest || !((a[whole] ^ b[whole]) >> (8 - rest));
}

static bool filter_host(const u8 *p, const struct diag_entry *e, bool local)
{
    const struct ip_addr *a = local ? &e->local : &e->peer;
    u16 port = local ? e->local_port : e->peer_port;
    struct filter_host h;

    memcpy(&h, p + OP, sizeof(h));
    if (h.port != -1 && h.port != port)
        return false;
    if (h.family == 10 && e->family != 10)
        return false;
    if (h.family == 2 && !ip_is_v4(a)) /* of an IPv6 socket as well, where it is mapped */
        return false;
    return filter_bits_equal(h.family == 2 ? a->b + 12 : a->b, p + OP + HOST, h.prefix);
}

static u16 filter_port(const u8 *p)
{
    return filter_op_at(p + OP).no;
}

static bool filter_step(const u8 *p, const struct diag_entry *e)
{
    switch (p[0]) {
    case BC_NOP:
        return true;
    case BC_S_GE:
        return e->local_port >= filter_port(p);
    case BC_S_LE:
        return e->local_port <= filter_port(p);
    case BC_S_EQ:
        return e->local_port == filter_port(p);
    case BC_D_GE:
        return e->peer_port >= filter_port(p);
    case BC_D_LE:
        return e->peer_port <= filter_port(p);
    case BC_D_EQ:
        return e->peer_port == filter_port(p);
    case BC_AUTO:
        return e->chosen;
    case BC_S_COND:
        return filter_host(p, e, true);
    case BC_D_COND:
        return filter_host(p, e, false);
    case BC_DEV_COND:
        return filter_word(p + OP) == e->device;
    case BC_MARK_COND:
        return (e->mark & filter_word(p + OP + 4)) == filter_word(p + OP);
    default: /* BC_JMP */
        return false;
    }
}

bool diag_filter_run(const u8 *code, u32 n, const struct diag_entry *e)
{
    u32 at = 0;

    while (at < n) {
        struct filter_op op = filter_op_at(code + at);

        at += filter_step(code + at, e) ? op.yes : op.no;
    }
    return at == n;
}

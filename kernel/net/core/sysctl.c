/* SPDX-License-Identifier: MIT
 *
 * Values of /proc/sys/net as text. Text is a program's: numbers with blanks between them, in C's
 * notation. Fewer than there are change the first ones.
 */
#include "net/core/sysctl.h"
#include "lib/format.h"
#include "lib/log.h"
#include "net/core/event.h"
#include "vfs/pseudo.h"

static u32 sysctl_count(const struct net_sysctl *row)
{
    return row->count ? row->count : 1;
}

static void *sysctl_place(const struct net_sysctl *row, const struct net_sysctl_at *at)
{
    struct net_confs *c;

    if (row->kind == SYSCTL_CONF) {
        c = net_confs_of(at->ns);
        return at->dev     ? &at->dev->conf[row->offset]
               : at->first ? &c->first[row->offset]
                           : &c->all[row->offset];
    }
    return row->at ? row->at : (char *)net_part(at->ns, *row->part) + row->offset;
}

static s64 sysctl_get(const struct net_sysctl *row, const struct net_sysctl_at *at, u32 i)
{
    switch (row->kind) {
    case SYSCTL_FIXED:
        return row->min;
    case SYSCTL_BOOL:
        return READ_ONCE(((bool *)sysctl_place(row, at))[i]);
    case SYSCTL_NS:
        return (s64)(READ_ONCE(((u64 *)sysctl_place(row, at))[i]) / row->unit);
    default:
        return READ_ONCE(((s32 *)sysctl_place(row, at))[i]);
    }
}

static void sysctl_set(const struct net_sysctl *row, const struct net_sysctl_at *at, u32 i, s64 v)
{
    switch (row->kind) {
    case SYSCTL_FIXED:
        return;
    case SYSCTL_BOOL:
        WRITE_ONCE(((bool *)sysctl_place(row, at))[i], v != 0);
        return;
    case SYSCTL_NS:
        WRITE_ONCE(((u64 *)sysctl_place(row, at))[i], (u64)v * row->unit);
        return;
    default:
        WRITE_ONCE(((s32 *)sysctl_place(row, at))[i], (s32)v);
    }
}

void net_sysctl_show(const struct net_sysctl *row, const struct net_sysctl_at *at, struct seq *out)
{
    if (row->kind == SYSCTL_OWN) {
        row->show(row, at, out);
        return;
    }
    for (u32 i = 0; i < sysctl_count(row); i++)
        seq_printf(out, "%s%ld", i ? "\t" : "", sysctl_get(row, at, i));
    seq_printf(out, "\n");
}

static bool sysctl_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/* A number at *text, which moves behind it. */
static int sysctl_number(const char **text, s64 *out)
{
    bool minus = **text == '-';
    u64 n;
    int err = parse_u64_prefix(*text + minus, 0, &n, text);

    if (err || n > 1ULL << 40 || (**text && !sysctl_blank(**text)))
        return -EINVAL;
    *out = minus ? -(s64)n : (s64)n;
    return 0;
}

/* How many numbers the text has, or -EINVAL. */
static int sysctl_parse(const struct net_sysctl *row, const char *text, s64 *v)
{
    u32 n = 0;

    for (;;) {
        while (sysctl_blank(*text))
            text++;
        if (!*text)
            return (int)n;
        if (n == sysctl_count(row))
            return -EINVAL;
        if (sysctl_number(&text, &v[n]) || v[n] < row->min || v[n] > row->max)
            return -EINVAL;
        n++;
    }
}

/* What a further namespace's programs may set is often less. */
static bool sysctl_is_allowed(const struct net_sysctl *row, const struct net_sysctl_at *at,
                              const s64 *v, int n)
{
    if (at->ns == net_ns_init || !row->further_max)
        return true;
    for (int i = 0; i < n; i++)
        if (v[i] < row->further_min || v[i] > row->further_max)
            return false;
    return true;
}

int net_sysctl_store(const struct net_sysctl *row, const struct net_sysctl_at *at, char *text)
{
    s64 v[SYSCTL_VALUES];
    int n, err;

    if (row->kind == SYSCTL_OWN)
        return row->store ? row->store(row, at, text) : -EPERM;
    for (u32 i = 0; i < sysctl_count(row); i++)
        v[i] = sysctl_get(row, at, i);
    n = sysctl_parse(row, text, v);
    err = n > 0 && sysctl_is_allowed(row, at, v, n) ? 0 : -EINVAL;
    if (!err && row->judge)
        err = row->judge(at, v);
    for (int i = 0; !err && i < n; i++)
        sysctl_set(row, at, (u32)i, v[i]);
    if (!err && row->changed)
        row->changed(row, at);
    if (!err && row->kind == SYSCTL_CONF)
        net_event(at->ns, NET_EVENT_CONF,
                  &(struct net_conf_change){at->dev, at->first, row->offset}, 0);
    return err;
}

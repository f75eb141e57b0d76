/* SPDX-License-Identifier: MIT
 *
 * A line of a socket in /proc/<pid>/net/{tcp,udp}{,6} (proc(5)).
 */
#include "net/ip/inet.h"
#include "obj/cred.h"
#include "vfs/pseudo.h"

/* An address as it is read as numbers from memory, a word at a time. */
static void inet_show_end(struct seq *out, int family, const struct ip_end *end)
{
    const u32 *w = end->addr.w;

    if (family == AF_INET)
        seq_printf(out, " %08X:%04X", w[3], end->port);
    else
        seq_printf(out, " %08X%08X%08X%08X:%04X", w[0], w[1], w[2], w[3], end->port);
}

/* Spaces up to the width that Linux fills IPv4's lines to, and the line's end. */
static void inet_show_pad(struct seq *out, size_t start, int family, bool stream)
{
    size_t width = family == AF_INET6 ? 0 : stream ? 149 : 127, len = out->len - start;

    seq_printf(out, "%*s\n", len < width ? (int)(width - len) : 0, "");
}

/* Under the list's lock: a socket in the list is not freed. */
void inet_show(struct seq *out, struct inet_sock *s, const struct inet_line *l)
{
    struct ip_end local = inet_local(s), peer = inet_peer(s);
    bool stream = s->sock.type == SOCK_STREAM;
    size_t start = out->len;

    seq_printf(out, stream ? "%4u:" : "%5u:", l->line);
    inet_show_end(out, s->sock.family, &local);
    inet_show_end(out, s->sock.family, &peer);
    seq_printf(out, " %02X %08X:%08X 00:00000000 00000000 %5u        0 %lu %d 0000000000000000",
               l->state, l->tx_queue, l->rx_queue,
               user_ns_uid(current_cred()->user_ns, s->sock.uid), s->sock.ino,
               refcount_read(&s->sock.ref));
    if (stream) /* time-outs, window and threshold, of packets that there are not */
        seq_printf(out, " 100 0 0 10 0");
    else
        seq_printf(out, " %u", READ_ONCE(s->sock.lost));
    inet_show_pad(out, start, s->sock.family, stream);
}

void inet_show_head(struct seq *out, int family, bool stream)
{
    size_t start = out->len;

    seq_printf(out, "%s sl  local_address ", stream || family == AF_INET6 ? " " : "  ");
    seq_printf(out, "%*s%s", family == AF_INET ? 0 : 24, "", family == AF_INET ? "rem" : "remote");
    seq_printf(out, "_address%*s", family == AF_INET ? 3 : 24, "");
    seq_printf(out, "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode%s",
               stream ? "" : " ref pointer drops");
    inet_show_pad(out, start, family, stream);
}

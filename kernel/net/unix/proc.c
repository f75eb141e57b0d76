/* SPDX-License-Identifier: MIT
 *
 * /proc/<pid>/net/unix (proc(5)).
 */
#include "net/unix/unix_priv.h"
#include "vfs/pseudo.h"

#define SOCKET_LISTENS 0x10000 /* __SO_ACCEPTCON */

enum { SS_UNCONNECTED = 1, SS_CONNECTED = 3 };

/* " @abstract", " /path" or nothing; other NULs of an abstract name show as '@' too. */
static void net_print_unix_name(struct seq *out, const struct unix_addr *name)
{
    u32 n = name ? name->len - (u32)offsetof(struct sock_addr, data) : 0;

    if (!n)
        return;
    if (name->sun.data[0])
        n--; /* a path's NUL */
    seq_write(out, " ", 1);
    for (u32 i = 0; i < n; i++)
        seq_write(out, name->sun.data[i] ? (const char *)&name->sun.data[i] : "@", 1);
}

static void net_unix_line(struct seq *out, struct socket *s, unsigned line)
{
    spin_lock(&s->lock);
    seq_printf(out, "0000000000000000: %08X 00000000 %08X %04X %02X %5lu", refcount_read(&s->ref),
               s->listening ? SOCKET_LISTENS : 0, s->type, s->peer ? SS_CONNECTED : SS_UNCONNECTED,
               s->ino);
    net_print_unix_name(out, unix_of(s)->addr);
    seq_printf(out, "\n");
    spin_unlock(&s->lock);
}

static int net_unix_show(struct net_ns *ns, struct seq *out)
{
    struct unix_ns *un = net_part(ns, unix_ns_offset);

    seq_printf(out, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    socket_list_show(&un->list, out, net_unix_line);
    return 0;
}
NET_FILE(unix_sockets) = {"unix", net_unix_show};

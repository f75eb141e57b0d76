// SPDX-License-Identifier: MIT
// The files of /etc that are the container's own, not its image's: hostname, hosts, resolv.conf.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "runtime/child.h"
#include "runtime/rootfs.h"
#include "lib/str.h"

#define RESOLV_MAX 65536
#define HOSTS_MAX (1u << 20)

/* Made anew at each start: the last one's processes may have had it open, and have given the
 * descriptor to another container's, with a lease on it, for which an open would wait. */
static int etc_file_write(int dir, const char *name, const struct buf *text)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, fd = openat(dir, name, flags, 0644), err;

    if (fd < 0 && errno == EEXIST && unlinkat(dir, name, 0) == 0)
        fd = openat(dir, name, flags, 0644);
    if (fd < 0)
        return -errno;
    err = write_all(fd, text->data, text->len);
    close(fd);
    return err;
}

static void etc_hostname(struct buf *b, const struct shared_spec *r)
{
    buf_fmt(b, "%s\n", r->hostname);
}

/* --add-host NAME:ADDRESS, where the address may hold colons itself. */
static void etc_hosts_extra(struct buf *b, const struct shared_spec *r)
{
    for (char **host = r->extra_hosts; host && *host; host++)
        buf_fmt(b, "%s\t%.*s\n", strchr(*host, ':') + 1, (int)strcspn(*host, ":"), *host);
}

/* On the host's network its names are the host's, where that has any. */
static void etc_hosts(struct buf *b, const struct shared_spec *r, bool host_net)
{
    if (host_net && !file_read("/etc/hosts", HOSTS_MAX, b) && b->len) {
        if (b->data[b->len - 1] != '\n')
            buf_char(b, '\n');
        etc_hosts_extra(b, r);
        return;
    }
    b->len = 0;
    buf_str(b, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    etc_hosts_extra(b, r);
    if (r->domainname)
        buf_fmt(b, "127.0.1.1\t%s.%s %s\n", r->hostname, r->domainname, r->hostname);
    else
        buf_fmt(b, "127.0.1.1\t%s\n", r->hostname);
}

static void etc_list(struct buf *b, const char *key, char **list)
{
    if (!list || !*list)
        return;
    buf_str(b, key);
    for (; *list; list++)
        buf_fmt(b, " %s", *list);
    buf_char(b, '\n');
}

/* On the host's network the host's servers are good, unless the container was given its own. */
static void etc_resolv(struct buf *b, const struct shared_spec *r, bool host_net)
{
    bool own = (r->dns && *r->dns) || (r->dns_search && *r->dns_search) ||
               (r->dns_options && *r->dns_options);

    if (host_net && !own && file_read("/etc/resolv.conf", RESOLV_MAX, b))
        b->len = 0; /* there may be none yet */
    for (char **server = r->dns; server && *server; server++)
        buf_fmt(b, "nameserver %s\n", *server);
    etc_list(b, "search", r->dns_search);
    etc_list(b, "options", r->dns_options);
}

int etc_files_write(int dir, const struct shared_spec *shared, bool host_net)
{
    struct buf text[3] = {{0}};
    static const char *const names[3] = {"hostname", "hosts", "resolv.conf"};
    int err = 0;

    etc_hostname(&text[0], shared);
    etc_hosts(&text[1], shared, host_net);
    etc_resolv(&text[2], shared, host_net);
    for (int i = 0; i < 3; i++) {
        if (!err)
            err = etc_file_write(dir, names[i], &text[i]);
        buf_free(&text[i]);
    }
    return err;
}

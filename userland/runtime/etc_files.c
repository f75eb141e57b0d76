// SPDX-License-Identifier: MIT
// The files of /etc that are the container's own, not its image's: hostname, hosts, resolv.conf.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "runtime/child.h"
#include "runtime/rootfs.h"
#include "lib/str.h"

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
static void etc_hosts(struct buf *b, const struct shared_spec *r)
{
    buf_str(b, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (char **host = r->extra_hosts; host && *host; host++)
        buf_fmt(b, "%s\t%.*s\n", strchr(*host, ':') + 1, (int)strcspn(*host, ":"), *host);
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

static void etc_resolv(struct buf *b, const struct shared_spec *r)
{
    for (char **server = r->dns; server && *server; server++)
        buf_fmt(b, "nameserver %s\n", *server);
    etc_list(b, "search", r->dns_search);
    etc_list(b, "options", r->dns_options);
}

int etc_files_write(int dir, const struct shared_spec *shared)
{
    static const struct {
        const char *name;
        void (*text)(struct buf *b, const struct shared_spec *r);
    } files[] = {{"hostname", etc_hostname}, {"hosts", etc_hosts}, {"resolv.conf", etc_resolv}};
    int err = 0;

    for (int i = 0; i < 3 && !err; i++) {
        struct buf b = {0};

        files[i].text(&b, shared);
        err = etc_file_write(dir, files[i].name, &b);
        buf_free(&b);
    }
    return err;
}

// SPDX-License-Identifier: MIT
// What all workers that talk to a registry begin with: their order, a root of their own, and no
// rights that they do not need.
//
// The root is a directory below tmp/ with copies of the two files that resolving names takes, and
// the socket of the HTTPS proxy, mounted there in a mount namespace of the worker's own.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/job.h"
#include "engine/load.h"
#include "engine/registry.h"
#include "lib/inroot.h"
#include "lib/str.h"
#include "runtime/caps.h"

#define ETC_MAX (256u * 1024)

struct registry_order registry_order_read;

void registry_say(struct buf *line)
{
    buf_char(line, '\n');
    if (write_all(1, line->data, line->len))
        _exit(2);
    buf_free(line);
}

void registry_fail(int code, const char *fmt, ...)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    char text[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 32)
            *p = ' ';
    jw_object(&w, NULL);
    jw_str(&w, "error", text);
    jw_int(&w, "code", code);
    jw_object_end(&w);
    registry_say(&b);
    _exit(1);
}

/* All that is left of the input: credentials, and what is asked. */
static void registry_read_order(void)
{
    struct registry_order *o = &registry_order_read;
    struct buf text = {0};
    const char *why = "it did not come";
    ssize_t n = registry_secret_read(0);

    if (n == -E2BIG)
        registry_fail(400, "the credentials are too long");
    if (n < 0)
        registry_fail(500, "the worker's order is bad: %s", str_error((int)-n));
    do {
        buf_reserve(&text, 4096);
        n = read(0, text.data + text.len, 4096);
        text.len += n > 0 ? (size_t)n : 0;
    } while ((n > 0 && text.len <= REGISTRY_ORDER_MAX) || (n < 0 && errno == EINTR));
    o->text = n ? NULL : json_parse(text.data, text.len, &why);
    if (!o->text)
        registry_fail(500, "the worker's order is bad: %s", why);
    buf_free(&text);
    o->host = json_str(o->text, "Host");
    o->path = json_str(o->text, "Path");
    o->repo = json_str(o->text, "Repo");
    o->tag = json_str(o->text, "Tag");
    o->digest = json_str(o->text, "Digest");
    o->idle_ms = (int)json_int(o->text, "Idle", FETCH_IDLE_MS / 1000) * 1000;
    o->endpoints = json_list(o->text, "Endpoints");
}

/* A file that is not there says nothing there either. */
static void registry_copy(const char *dir, const char *path)
{
    struct buf text = {0};
    char *to = str_fmt("%s%s", dir, path);

    if (file_read(path, ETC_MAX, &text) == 0)
        file_write(to, text.data ? text.data : "", text.len, 0644);
    buf_free(&text);
    free(to);
}

/* The socket itself: the directory is a container's as well, where a link of that name, or of a
 * directory's on the way, may lead to anything of ours. */
static void registry_mount_proxy(const char *from, const char *to)
{
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd = inroot_straight(root, from);
    struct stat st;
    char path[32];

    if (fd < 0 || fstat(fd, &st) < 0)
        registry_fail(500, "HTTPS proxy: %s: %s", from, str_error(errno));
    if (!S_ISSOCK(st.st_mode))
        registry_fail(500, "HTTPS proxy: %s is no socket", from);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (mount(path, to, NULL, MS_BIND, NULL) < 0)
        registry_fail(500, "HTTPS proxy: %s: %s", from, str_error(errno));
    close(fd);
    close(root);
}

/* The proxy's socket, if it is there, gets a name in the worker's root. */
static void registry_reach_proxy(const char *dir)
{
    struct registry_order *o = &registry_order_read;
    const char *from = json_str(o->text, "Https");
    char *to = str_fmt("%s" REGISTRY_PROXY, dir);
    struct stat st;
    int fd;

    o->no_proxy = str_fmt("no HTTPS proxy serves %s: run the proxy's image (it takes some seconds "
                          "until its log says that it serves), or name the registry an insecure "
                          "one if it speaks plain HTTP",
                          from ? from : "");
    if (from && lstat(from, &st) == 0) {
        fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0)
            close(fd);
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            registry_fail(500, "HTTPS proxy: a place for %s: %s", from, str_error(errno));
        registry_mount_proxy(from, to);
        o->proxy = REGISTRY_PROXY;
    }
    free(to);
}

static void registry_reach_by_dialer(void)
{
    if (registry_order_read.proxy)
        registry_dialer_start();
}

void registry_begin(const char *dir, enum registry_rights rights)
{
    char *etc = str_fmt("%s/etc", dir);

    registry_read_order();
    dir_make(etc, 0755);
    free(etc);
    registry_copy(dir, "/etc/hosts");
    registry_copy(dir, "/etc/resolv.conf");
    registry_reach_proxy(dir);
    if (chmod(dir, 0711) < 0) /* those who talk are another user, whose root it is as well */
        registry_fail(500, "cannot open %s to others: %s", dir, str_error(errno));
    if (rights == REGISTRY_UNPACKS) {
        load_enter(dir, 1, 1ull << CAP_SETUID | 1ull << CAP_SETGID);
        registry_reach_by_dialer();
        return;
    }
    if (chdir(dir) < 0 || chroot(".") < 0)
        registry_fail(500, "cannot enter %s: %s", dir, str_error(errno));
    registry_reach_by_dialer();
    if (rights == REGISTRY_ASKS)
        registry_forgo(NULL, 0);
}

// SPDX-License-Identifier: MIT
// An image as one newc cpio archive.
//
// The layers' tree is read through a read-only overlay in a mount namespace of a child of its own,
// so that whiteouts mean what they mean to containers and no mount is left behind. Hard links are
// packed as copies; extended attributes are not packed.
#include "engine/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "lib/str.h"

#define PACK_DEPTH_MAX 128

struct pack {
    int fd;
    uint32_t ino;
    uint64_t at;
    char data[65536];
    size_t held;
    int depth;
};

static int pack_flush(struct pack *p)
{
    int err = write_all(p->fd, p->data, p->held);

    p->held = 0;
    return err;
}

static int pack_bytes(struct pack *p, const void *data, size_t len)
{
    const char *from = data;

    p->at += len;
    while (len) {
        size_t n = sizeof(p->data) - p->held < len ? sizeof(p->data) - p->held : len;

        memcpy(p->data + p->held, from, n);
        p->held += n;
        from += n;
        len -= n;
        if (p->held == sizeof(p->data)) {
            int err = pack_flush(p);

            if (err)
                return err;
        }
    }
    return 0;
}

static int pack_pad(struct pack *p)
{
    return pack_bytes(p, "\0\0\0", -p->at & 3);
}

static int pack_head(struct pack *p, const char *name, const struct stat *st, uint64_t size)
{
    char head[128];
    int err;

    if (size > UINT32_MAX)
        return -EFBIG;
    snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
             ++p->ino, st->st_mode, st->st_uid, st->st_gid, 1, (uint32_t)st->st_mtime,
             (uint32_t)size, 0, 0, 0, 0, (uint32_t)strlen(name) + 1, 0);
    err = pack_bytes(p, head, 110);
    err = err ? err : pack_bytes(p, name, strlen(name) + 1);
    return err ? err : pack_pad(p);
}

static int pack_content(struct pack *p, int dir, const char *name, uint64_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), err = 0;
    static char data[65536];

    if (fd < 0)
        return -errno;
    while (size && !err) {
        ssize_t n = read(fd, data, size < sizeof(data) ? size : sizeof(data));

        if (n <= 0)
            err = n < 0 ? -errno : -EIO;
        else
            err = pack_bytes(p, data, (size_t)n);
        size -= n > 0 ? (uint64_t)n : 0;
    }
    close(fd);
    return err;
}

static int pack_tree(struct pack *p, int fd, const char *prefix);

static int pack_entry(struct pack *p, int dir, const char *name, const char *path)
{
    char link[4096];
    struct stat st;
    ssize_t n;
    int fd, err;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISLNK(st.st_mode)) {
        n = readlinkat(dir, name, link, sizeof(link));
        if (n < 0)
            return -errno;
        err = pack_head(p, path, &st, (uint64_t)n);
        return err ? err : pack_bytes(p, link, (size_t)n);
    }
    if (S_ISREG(st.st_mode)) {
        err = pack_head(p, path, &st, (uint64_t)st.st_size);
        return err ? err : pack_content(p, dir, name, (uint64_t)st.st_size);
    }
    if (!S_ISDIR(st.st_mode))
        return S_ISFIFO(st.st_mode) ? pack_head(p, path, &st, 0) : 0;
    err = pack_head(p, path, &st, 0);
    if (err)
        return err;
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : pack_tree(p, fd, path);
}

/* Everything below the directory `fd`, which it takes. */
static int pack_tree(struct pack *p, int fd, const char *prefix)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    int err = d ? 0 : -errno;

    if (++p->depth > PACK_DEPTH_MAX)
        err = -ELOOP;
    while (!err && (e = readdir(d))) {
        char *path;

        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        path = str_fmt("%s/%s", prefix, e->d_name);
        err = pack_entry(p, dirfd(d), e->d_name, path);
        err = err ? err : pack_pad(p);
        free(path);
    }
    p->depth--;
    if (d)
        closedir(d);
    else
        close(fd);
    return err;
}

static int pack_agent(struct pack *p, const char *agent)
{
    char data[4096], zero[512] = {0};
    int fd = open(agent, O_RDONLY | O_CLOEXEC), err = 0;
    ssize_t n;

    if (fd < 0)
        return -errno;
    while (!err && (n = read(fd, data, sizeof(data))) > 0)
        err = pack_bytes(p, data, (size_t)n);
    close(fd);
    return err ? err : pack_bytes(p, zero, -p->at & 511);
}

static int pack_mount(const struct image *img, const char *layers, const char *empty)
{
    struct buf data = {0};
    int err = 0;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        chdir(layers) < 0)
        return -errno;
    /* an overlay without an upper layer wants two lower ones */
    buf_str(&data, "lowerdir=");
    for (int i = img->nlayers; i-- > 0;)
        buf_fmt(&data, "%s:", img->layers[i]->dir);
    buf_str(&data, empty);
    if (mount("overlay", empty, "overlay", MS_RDONLY, data.data) < 0)
        err = -errno;
    buf_free(&data);
    return err;
}

_Noreturn static void pack_child(const struct image *img, const char *agent, const char *layers,
                                 const char *empty, const char *out)
{
    static struct pack p;
    struct stat root = {.st_mode = S_IFDIR | 0755};
    int err = pack_mount(img, layers, empty), fd;

    if (err)
        _exit(10);
    p.fd = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    fd = open(empty, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p.fd < 0 || fd < 0)
        _exit(11);
    if (pack_agent(&p, agent))
        _exit(12);
    err = pack_head(&p, "rootfs", &root, 0);
    err = err ? err : pack_tree(&p, fd, "rootfs");
    root.st_mode = 0;
    err = err ? err : pack_head(&p, "TRAILER!!!", &root, 0);
    err = err ? err : pack_flush(&p);
    _exit(err ? 13 : 0);
}

char *pack_image(const struct image *img, const char *agent, const char *out)
{
    static const char *const steps[] = {"cannot mount its layers", "cannot write the archive",
                                        "cannot read the guest agent's archive",
                                        "cannot pack its tree"};
    char *layers = str_fmt("%s/layers", engine.root), *fresh = str_fmt("%s.new", out);
    char *empty = str_fmt("%s/tmp/empty", engine.root), *why = NULL;
    int status = -1;
    pid_t pid;

    dir_make(empty, 0755);
    pid = fork();
    if (pid == 0)
        pack_child(img, agent, layers, empty, fresh);
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        why = str_fmt("cannot pack the image for a VM: %s", strerror(errno));
    else if (status && WIFEXITED(status) && WEXITSTATUS(status) >= 10)
        why = str_fmt("cannot pack the image for a VM: %s", steps[(WEXITSTATUS(status) - 10) & 3]);
    else if (status)
        why = str_dup("cannot pack the image for a VM: the packer was killed");
    else if (rename(fresh, out) < 0)
        why = str_fmt("cannot pack the image for a VM: %s", strerror(errno));
    if (why)
        unlink(fresh);
    free(layers);
    free(fresh);
    free(empty);
    return why;
}

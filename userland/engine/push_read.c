// SPDX-License-Identifier: MIT
// The store's content for a push, read by a process of its own: the worker, which talks to the
// registry, may do nothing but that (registry_forgo), and this one, which may read all files,
// hears nothing of what a registry says.
//
// A socket pair. A request is one of the things that the order names, by its kind and numbers; the
// answer is frames, each a length and as many bytes, up to one without any, or -1 and why there is
// no more. PUSH_STOP, which gets no answer of its own, ends the one under way at its next frame.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/push.h"
#include "lib/str.h"
#include "runtime/caps.h"
#include "runtime/child.h"

#define READ_PIECE 65536
#define READ_WHY_MAX 256

struct read_request {
    uint32_t kind; /* enum push_kind */
    uint32_t image, layer;
};

static struct {
    int fd;                   /* this process's end */
    int layers, tars, images; /* the store's directories, of the one that reads */
    int32_t left;             /* of the frame at hand, of the one that asks; */
    bool over;                /* the answer has ended */
} reader = {.fd = -1, .over = true};

/* ---- the process that reads ------------------------------------------------------------------ */

static int read_store(const char *dir, const char *what)
{
    char *path = str_fmt("%s/../../%s", dir, what);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        registry_fail(500, "cannot open the store: %s", str_error(errno));
    free(path);
    return fd;
}

/* 0, or -1 when the other end has gone, or wants no more. */
static int read_frame(const void *data, int32_t len)
{
    struct read_request stop;

    if (recv(reader.fd, &stop, sizeof(stop), MSG_DONTWAIT) >= 0)
        len = 0;
    if (write_all(reader.fd, &len, sizeof(len)) ||
        (len > 0 && write_all(reader.fd, data, (size_t)len)))
        return -1;
    return len ? 0 : -1;
}

static void read_failed(const char *why)
{
    char text[READ_WHY_MAX] = {0};
    int32_t len = -1;

    strncpy(text, why ? why : "read error", sizeof(text) - 1);
    if (!write_all(reader.fd, &len, sizeof(len)))
        (void)write_all(reader.fd, text, sizeof(text));
}

static void read_source(struct source *from)
{
    static char data[READ_PIECE];
    ssize_t n;

    while ((n = from->read(from, data, sizeof(data))) > 0)
        if (read_frame(data, (int32_t)n))
            return;
    if (n < 0)
        read_failed(from->why);
    else
        read_frame("", 0);
}

static void read_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    struct source_file file;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        read_failed(str_error(errno));
    } else {
        source_file_init(&file, fd, 0, (uint64_t)st.st_size);
        read_source(&file.src);
    }
    if (fd >= 0)
        close(fd);
}

static void read_text(const struct json *image, const char *suffix)
{
    char *name = str_fmt("%s%s", json_str(image, "Id"), suffix);

    read_file(reader.images, name);
    free(name);
}

static void read_layer(const struct json *layer)
{
    const char *dir = json_str(layer, "Dir");
    int tar = openat(reader.tars, dir, O_RDONLY | O_CLOEXEC);
    int top = openat(reader.layers, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct skeleton_tar source;

    if (tar < 0 || top < 0 || skeleton_tar_open(&source, tar, top)) {
        read_failed("cannot read it");
    } else {
        read_source(&source.src);
        skeleton_tar_close(&source);
    }
    if (tar >= 0)
        close(tar);
    if (top >= 0)
        close(top);
}

static void read_size(const struct json *layer)
{
    int fd = openat(reader.tars, json_str(layer, "Dir"), O_RDONLY | O_CLOEXEC);
    uint64_t size;

    if (fd < 0 || !skeleton_tar_size(fd, &size))
        read_failed("its archive cannot be made again");
    else if (!read_frame(&size, sizeof(size)))
        read_frame("", 0);
    if (fd >= 0)
        close(fd);
}

/* What a list of the order has at a place, or NULL. */
static const struct json *read_item(const struct json *list, uint32_t at)
{
    while (list && at--)
        list = list->next;
    return list;
}

static void read_answer(const struct read_request *q)
{
    const struct json *image = read_item(json_list(registry_order_read.text, "Images"), q->image);
    const struct json *layer = read_item(json_list(image, "Layers"), q->layer);

    if (image && q->kind == PUSH_CONFIG)
        read_text(image, ".json");
    else if (image && q->kind == PUSH_MANIFEST)
        read_text(image, ".manifest");
    else if (layer && q->kind == PUSH_SIZE)
        read_size(layer);
    else if (layer && q->kind == PUSH_LAYER)
        read_layer(layer);
    else
        read_failed("there is no such thing");
}

_Noreturn static void read_serve(void)
{
    struct read_request q;

    while (recv(reader.fd, &q, sizeof(q), MSG_WAITALL) == sizeof(q))
        if (q.kind != PUSH_STOP)
            read_answer(&q);
    _exit(0);
}

void push_read_open(const char *dir)
{
    reader.layers = read_store(dir, "layers");
    reader.tars = read_store(dir, "tars");
    reader.images = read_store(dir, "images");
}

int push_read_start(void)
{
    pid_t parent = getpid(), pid;
    struct child ch = {.sync = 2};
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        registry_fail(500, "cannot make a socket pair: %s", str_error(errno));
    pid = fork();
    if (pid < 0)
        registry_fail(500, "cannot make a process: %s", str_error(errno));
    reader.fd = ends[!pid];
    close(ends[!!pid]);
    if (pid)
        return reader.fd;
    close(0);
    close(1);
    registry_secret_forget();
    child_limit(&ch, 1ull << CAP_DAC_READ_SEARCH, 0);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
        getppid() != parent || registry_filter())
        _exit(1);
    read_serve();
}

/* ---- the worker's side ----------------------------------------------------------------------- */

_Noreturn static void read_lost(void)
{
    registry_fail(500, "the process that reads the store has died: it may have needed more memory");
}

static void read_exact(void *data, size_t len)
{
    if (recv(reader.fd, data, len, MSG_WAITALL) != (ssize_t)len)
        read_lost();
}

static void read_ask(enum push_kind kind, size_t image, size_t layer)
{
    struct read_request q = {kind, (uint32_t)image, (uint32_t)layer};

    if (write_all(reader.fd, &q, sizeof(q)))
        read_lost();
}

void push_read_begin(enum push_kind kind, size_t image, size_t layer)
{
    read_ask(kind, image, layer);
    reader.over = false;
    reader.left = 0;
}

ssize_t push_read_more(void *data, size_t len, const char **why)
{
    static char text[READ_WHY_MAX];

    if (!reader.over && !reader.left) {
        read_exact(&reader.left, sizeof(reader.left));
        reader.over = reader.left <= 0;
    }
    if (reader.left < 0) {
        read_exact(text, sizeof(text));
        text[sizeof(text) - 1] = 0;
        reader.left = 0;
        *why = text;
        return -1;
    }
    if (reader.over)
        return 0;
    len = len < (size_t)reader.left ? len : (size_t)reader.left;
    read_exact(data, len);
    reader.left -= (int32_t)len;
    return (ssize_t)len;
}

void push_read_stop(void)
{
    static char waste[READ_PIECE];
    const char *why;

    if (reader.over)
        return;
    read_ask(PUSH_STOP, 0, 0);
    while (push_read_more(waste, sizeof(waste), &why) > 0)
        ;
}

int push_read_all(enum push_kind kind, size_t image, size_t layer, struct buf *out, size_t max)
{
    const char *why;
    ssize_t n;

    buf_clear(out);
    push_read_begin(kind, image, layer);
    do {
        buf_reserve(out, READ_PIECE);
        n = push_read_more(out->data + out->len, READ_PIECE, &why);
        out->len += n > 0 ? (size_t)n : 0;
        out->data[out->len] = 0;
    } while (n > 0 && out->len <= max);
    push_read_stop();
    return n ? -1 : 0;
}

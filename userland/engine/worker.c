// SPDX-License-Identifier: MIT
// The engine's program as a worker: `engine --worker PID ROLE ARGUMENTS`, PID being the engine's.
//
// Descriptor 0 is what the engine feeds, 1 the report, 2 the log; there is no other. A worker ends
// with the engine.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/job.h"
#include "engine/pack.h"
#include "engine/registry.h"
#include "engine/store.h"
#include "engine/usage.h"
#include "lib/budget.h"
#include "lib/str.h"

#define STORE_READ 16384u
#define WORKER_DATA_MAX (512ul << 20) /* its own memory; files are the control group's to bound */

int worker_say(const char *text)
{
    return write_all(1, text, strlen(text)) ? 2 : 1;
}

/* Everything that is left of the input, into a file without a name in `dir`. `size` is how much it
 * will be, 0 when that is not known; *room is what there was for it. */
static int worker_spool(const char *dir, uint64_t size, int *out, uint64_t *room)
{
    char *path = str_fmt("%s/spool", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), err = fd < 0 ? -errno : 0;
    static char data[65536];
    struct budget budget;
    ssize_t n = 0;

    budget_open(&budget, fd);
    *room = budget.first;
    unlink(path);
    free(path);
    if (!err && size > budget.left)
        err = -ENOSPC;
    while (!err && (n = read(0, data, sizeof(data))) != 0) {
        if (n < 0)
            err = errno == EINTR ? 0 : -errno;
        else
            err = budget_take(&budget, (uint64_t)n) ? write_all(fd, data, (size_t)n) : -ENOSPC;
    }
    budget_close(&budget);
    *out = fd;
    return err;
}

/* Each line of the input up to an empty one: 0 or -errno. An end before that is none: what is left
 * of a list would be taken for what follows it, and the part that came for the whole. */
static int worker_list(int (*fn)(const char *line, void *arg), void *arg)
{
    char line[256];
    int n, err = 0;

    while ((n = fd_line(0, line, sizeof(line))) > 0 && *line && !err)
        err = fn(line, arg);
    return err ? err : n > 0 ? 0 : n ? n : -EPROTO;
}

static int worker_load_line(const char *line, void *arg)
{
    layer_note(line);
    return str_is_hex(line, ID_LEN) ? 0 : -EPROTO;
}

/* Why the archive is not stored, as a sentence, to be freed. */
static char *worker_load_why(int err, uint64_t size, uint64_t room)
{
    if (err != -ENOSPC)
        return str_fmt("cannot store the archive: %s", strerror(-err));
    if (size)
        return str_fmt("no space for the archive: it needs %llu MB, and %llu MB are free for it",
                       (unsigned long long)(size + 0xfffff) >> 20, (unsigned long long)room >> 20);
    return str_fmt("no space for the archive: it needs more than the %llu MB that are free for it",
                   (unsigned long long)room >> 20);
}

/* load DIR SIZE: the input is the layers that are there already, one digest a line, an empty line,
 * the archive, of SIZE bytes or, when that is 0, of any number. */
static int worker_load(char **argv)
{
    uint64_t size = strtoull(argv[1], NULL, 10), room = 0;
    int fd, err = worker_list(worker_load_line, NULL);

    err = err ? err : worker_spool(argv[0], size, &fd, &room);
    if (err) {
        char *why = worker_load_why(err, size, room), *text = str_fmt("{\"error\":\"%s\"}", why);

        return worker_say(text);
    }
    load_worker(fd, argv[0], 1);
}

static int worker_pack_line(const char *line, void *arg)
{
    struct image *img = arg;
    struct layer *l;

    if (img->nlayers == LAYERS_MAX || strlen(line) != LAYER_DIR_LEN)
        return -EPROTO;
    l = mem_alloc(sizeof(*l));
    memcpy(l->dir, line, LAYER_DIR_LEN + 1);
    img->layers[img->nlayers++] = l;
    return 0;
}

/* pack ROOT AGENT OUT: the input is the layers' directories, bottom first, one a line, and an empty
 * line. */
static int worker_pack(char **argv)
{
    struct image img = {0};
    int err = worker_list(worker_pack_line, &img);
    char *why;

    if (err)
        return worker_say(strerror(-err));
    engine.root = argv[0];
    why = pack_image(&img, argv[1], argv[2]);
    return why ? worker_say(why) : 0;
}

/* remove PATH: a whole tree. */
static int worker_remove(char **argv)
{
    int err = tree_remove(AT_FDCWD, argv[0]);

    return err ? worker_say(strerror(-err)) : 0;
}

/* The file system that `path` is to lie in: 0 or -errno. */
static int store_sync(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = str_dupn(path, slash ? (size_t)(slash - path) : 0);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

    err = fd < 0 || syncfs(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    free(dir);
    return err;
}

/* The first text of the input becomes the content of its file, when it has come whole: 1, 0 when it
 * has not, or -EPROTO. With `all`, after all that it may refer to is on the disk. */
static int store_one(struct buf *in)
{
    struct store_head head;
    uint32_t err = 0;
    char *path;

    if (in->len < sizeof(head))
        return 0;
    memcpy(&head, in->data, sizeof(head));
    if (!head.path || head.path > STORE_PATH_MAX || head.text > STORE_TEXT_MAX)
        return -EPROTO;
    if (in->len < sizeof(head) + head.path + head.text)
        return 0;
    path = str_dupn(in->data + sizeof(head), head.path);
    err = head.all ? (uint32_t)-store_sync(path) : 0;
    if (!err)
        err = (uint32_t)-file_replace(path, in->data + sizeof(head) + head.path, head.text, 0600);
    free(path);
    buf_drop(in, sizeof(head) + head.path + head.text);
    return write_all(1, &err, sizeof(err)) ? -EPIPE : 1;
}

/* store: texts for files (store.h), one after the other. What an engine that dies has left of one
 * is not the whole. The descriptor 3, which only its end closes, is the lock of the engine's root.
 */
static int worker_store(char **argv)
{
    struct buf in = {0};
    int done;

    for (;;) {
        ssize_t n;

        buf_reserve(&in, STORE_READ);
        n = read(0, in.data + in.len, STORE_READ);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? 1 : 0;
        in.len += (size_t)n;
        while ((done = store_one(&in)) > 0)
            ;
        if (done < 0)
            return 2;
        if (!in.len && in.cap > 4 * STORE_READ)
            buf_free(&in);
    }
}

/* groups PATH: a control group with all below it, when its processes are gone. */
static int worker_groups(char **argv)
{
    int err = cgroup_tree_remove(argv[0]);

    return err ? worker_say(strerror(-err)) : 0;
}

static const struct {
    const char *name;
    int args;
    int (*fn)(char **argv);
} worker_roles[] = {
    {"load", 2, worker_load},         {"pack", 3, worker_pack},   {"remove", 1, worker_remove},
    {"store", 0, worker_store},       {"usage", 1, worker_usage}, {"groups", 1, worker_groups},
    {"top", 2, worker_top},           {"pull", 1, worker_pull},   {"push", 1, worker_push},
    {"registry", 1, worker_registry},
};

static void worker_confine(const char *engine_pid)
{
    const struct rlimit data = {WORKER_DATA_MAX, WORKER_DATA_MAX}, core = {0, 0};

    (void)data;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != atoi(engine_pid)) /* it has died already */
        _exit(1);
#ifndef __SANITIZE_ADDRESS__ /* whose shadow is larger */
    setrlimit(RLIMIT_DATA, &data);
#endif
    setrlimit(RLIMIT_CORE, &core);
    file_put("/proc/self/oom_score_adj", "500"); /* before any container */
}

int worker_main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(worker_roles) / sizeof(worker_roles[0]); i++) {
        if (argc < 2 || strcmp(argv[1], worker_roles[i].name))
            continue;
        if (argc != 2 + worker_roles[i].args)
            break;
        worker_confine(argv[0]);
        _exit(worker_roles[i].fn(argv + 2)); /* it owns nothing that would need an end */
    }
    fprintf(stderr, "engine: no such worker\n");
    return 2;
}

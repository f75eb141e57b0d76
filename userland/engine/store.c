// SPDX-License-Identifier: MIT
// The store worker and what waits for it; see store.h.
//
// The worker is a job that stays (worker.c): a head, a path and a text go in, an error number comes
// out for each, in their order. One that dies fails what it had not
// answered; the next write starts another. Where the root is memory there is no disk to wait for,
// and a short text is written at once, unless longer ones are under way before it. A new object's
// goes into the file itself: what an engine dies over is an empty file there, which is none
// (store_is_memory()).
#include "engine/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "engine/engine.h"
#include "engine/job.h"
#include "lib/str.h"

#define STORE_MEMORY 0x01021994l /* TMPFS_MAGIC */
#define STORE_SHORT 65536
#define STORE_WHOLE 4096 /* one write of so much is done or not: no signal comes between */

struct put {
    struct put *next;
    char *path;
    store_fn done;
    void *arg;
};

static struct job *store_job;
static bool store_in_memory;
static struct put *puts_first, **puts_last = &puts_first; /* not answered yet */

/* What was to be written has gone meanwhile with all that lay beside it: its owner knows. */
static bool put_vanished(const char *error)
{
    return !strcmp(error, strerror(ENOENT));
}

static void put_done(const char *error)
{
    struct put *p = puts_first;
    char *why = error ? str_fmt("cannot write %s: %s", p->path, error) : NULL;

    puts_first = p->next;
    puts_last = puts_first ? puts_last : &puts_first;
    if (why && !put_vanished(error))
        engine_log("%s", why);
    if (p->done)
        p->done(p->arg, why);
    free(why);
    free(p->path);
    free(p);
}

static void store_heard(struct job *j)
{
    uint32_t err;

    while (j->report.len >= sizeof(err) && puts_first) {
        memcpy(&err, j->report.data, sizeof(err));
        buf_drop(&j->report, sizeof(err));
        put_done(err ? strerror((int)err) : NULL);
    }
}

/* What is put meanwhile is another worker's. */
static void store_gone(struct job *j, const char *error)
{
    size_t mine = 0;

    engine_log("the store's worker has ended: %s", error ? error : "it was not asked to");
    for (const struct put *p = puts_first; p; p = p->next)
        mine++;
    store_job = NULL;
    while (mine--)
        put_done("the store's worker has ended");
}

void store_open(void)
{
    struct statfs fs;

    store_in_memory = statfs(engine.root, &fs) == 0 && fs.f_type == STORE_MEMORY;
}

bool store_is_memory(void)
{
    return store_in_memory;
}

static void store_worker(void)
{
    if (store_job)
        return;
    store_job = job_new(NULL, store_gone, 0, "store", NULL);
    store_job->heard = store_heard;
}

void store_begin(void)
{
    if (!store_in_memory)
        store_worker();
}

/* Nothing is waited for: not even by fsync, which would have nothing to do. */
static void store_now(const char *path, const struct buf *text, bool fresh, store_fn done,
                      void *arg)
{
    int err = fresh && text->len <= STORE_WHOLE ? file_write(path, text->data, text->len, 0600)
                                                : file_renew(path, text->data, text->len, 0600);
    char *why = err ? str_fmt("cannot write %s: %s", path, strerror(-err)) : NULL;

    if (why && err != -ENOENT)
        engine_log("%s", why);
    if (done)
        done(arg, why);
    free(why);
}

/* The worker would end over it, with what others have put. */
static void store_refuse(const char *path, const struct buf *text, store_fn done, void *arg)
{
    char *why = str_fmt("cannot write %s: %zu bytes are too many", path, text->len);

    engine_log("%s", why);
    if (done)
        done(arg, why);
    free(why);
}

/* `fresh`: nothing of that name is there. */
static void store_write(const char *path, const struct buf *text, bool all, bool fresh,
                        store_fn done, void *arg)
{
    struct store_head head = {(uint32_t)strlen(path), (uint32_t)text->len, all};
    struct put *p;

    if (text->len > STORE_TEXT_MAX || head.path > STORE_PATH_MAX) {
        store_refuse(path, text, done, arg);
        return;
    }
    if (store_in_memory && !puts_first && text->len <= STORE_SHORT) {
        store_now(path, text, fresh, done, arg);
        return;
    }
    store_worker();
    p = mem_alloc(sizeof(*p));
    *p = (struct put){NULL, str_dup(path), done, arg};
    *puts_last = p;
    puts_last = &p->next;
    job_feed(store_job, &head, sizeof(head));
    job_feed(store_job, path, head.path);
    job_feed(store_job, text->data, text->len);
    job_feed_now(store_job);
}

void store_put(const char *path, const struct buf *text, bool all, store_fn done, void *arg)
{
    store_write(path, text, all, false, done, arg);
}

bool store_idle(void)
{
    return !puts_first;
}

/* ---- one object's file ----------------------------------------------------------------------- */

struct store_wait {
    struct store_wait *next;
    store_fn done;
    void *arg;
};

static void object_saved(void *arg, const char *why);

/* The text's memory is kept for the next one. Nothing looks at it any more when a write that is
 * over begins another from here. */
static void object_write(struct store_file *f)
{
    static struct buf text;
    bool fresh = f->fresh;
    char *path;

    f->fresh = false;
    f->now = f->next;
    f->next = NULL;
    f->next_tail = &f->next;
    f->writing = true;
    buf_clear(&text);
    f->text(f, &text, &path);
    store_write(path, &text, false, fresh, object_saved, f);
    if (text.cap > STORE_SHORT)
        buf_free(&text);
    free(path);
}

/* Those that are told may take back what was not written: the next write has that already. */
static void object_saved(void *arg, const char *why)
{
    struct store_file *f = arg;
    struct store_wait *told = f->now, *next;

    f->now = NULL;
    for (; told; told = next) {
        next = told->next;
        if (told->done)
            told->done(told->arg, why);
        free(told);
    }
    f->writing = f->next;
    if (f->next)
        object_write(f);
    else
        f->idle(f);
}

bool store_save(struct store_file *f, store_fn done, void *arg)
{
    struct store_wait *w = mem_alloc(sizeof(*w));
    bool first = !f->writing;

    *w = (struct store_wait){NULL, done, arg};
    if (!f->next)
        f->next_tail = &f->next;
    *f->next_tail = w;
    f->next_tail = &w->next;
    if (first)
        object_write(f);
    return first;
}

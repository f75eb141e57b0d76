// SPDX-License-Identifier: MIT
// Container logs: json-file lines, bounded by rotation. Their readers: log_read.c.
//
//   {"log":"text\n","stream":"stdout","time":"2024-01-02T03:04:05.000000006Z"}
//
// The text is the container's bytes, unchanged, so a line need not be UTF-8; log_read.c
// alone reads it. Lines longer than LOG_LINE are split, within a character if need be. The current
// file is `log`; at half of the limit it becomes `log.1` and a new one begins, so both together
// stay within the limit.
//
// What is to be logged comes out of the spool (spool.h), whose mark follows each write: an engine
// that is killed leaves a log that the next one takes back to the mark. The end of a stream that
// has no newline yet lies in `partial1` or `partial2`.
#include "engine/log_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/spool.h"
#include "lib/str.h"

#define LOG_LINE 16384
#define LOG_BATCH 65536
#define LOG_MAX_DEFAULT (4u * 1024 * 1024)
#define LOG_MAX_LIMIT (1024u * 1024 * 1024)

/* Text after the last newline of a stream, and what of it is in its file: when the engine is killed
 * that file is all there is, so `kept` counts what lies there, wanted or not. */
struct log_partial {
    struct buf text;
    size_t kept; /* bytes in the file */
    size_t same; /* of those, the first ones, which are the text's */
    int fd;
};

/* The piece that is being logged: what of it is in the file, and what comes before the rest. */
static struct {
    struct container *c;
    struct spool_mark mark;
    uint64_t ended; /* bytes up to the end of the last line that was made, written or not */
} piece;

/* Made lazily, for both streams. */
static struct log_partial *log_partial(struct container *c, int stream)
{
    if (!c->log.partial) {
        c->log.partial = mem_alloc(2 * sizeof(struct log_partial));
        c->log.partial[0].fd = c->log.partial[1].fd = -1;
    }
    return &c->log.partial[stream - 1];
}

static char *partial_path(const struct container *c, int stream)
{
    return container_path(c, stream == 1 ? "partial1" : "partial2");
}

/* The text is the first `max` bytes of what its file has. 0 or -errno. */
static int partial_load(struct container *c, int stream, uint64_t max)
{
    struct log_partial *p = log_partial(c, stream);
    char *path = partial_path(c, stream);
    struct buf text = {0};
    int err = file_read(path, LOG_LINE, &text);

    if (engine.opening)
        engine_check_file(path, err); /* the container alone has no log, if that is for good */
    p->kept = text.len;
    buf_clear(&p->text);
    if (!err && text.len)
        buf_add(&p->text, text.data, text.len < max ? text.len : (size_t)max);
    p->same = p->text.len;
    buf_free(&text);
    free(path);
    return err == -ENOENT || err == -EFBIG ? 0 : err; /* one that long is no line of ours */
}

static void partial_cut(struct container *c, struct log_partial *p)
{
    if (ftruncate(p->fd, (off_t)p->same) == 0)
        p->kept = p->same;
    else
        engine_log("a line of %.12s may be logged twice: %s", c->id, strerror(errno));
}

static void partial_put(struct container *c, struct log_partial *p)
{
    ssize_t n = pwrite(p->fd, p->text.data + p->same, p->text.len - p->same, (off_t)p->same);

    if (n > 0)
        p->same += (size_t)n;
    if (p->kept < p->same)
        p->kept = p->same;
    if (p->same < p->text.len)
        engine_log("a line of %.12s may be lost: %s", c->id, strerror(n < 0 ? errno : ENOSPC));
}

/* The file becomes what the memory is; where that fails, the next time. */
static void partial_keep(struct container *c, int stream)
{
    struct log_partial *p = c->log.partial ? log_partial(c, stream) : NULL;

    if (!p || (p->kept == p->text.len && p->same == p->text.len))
        return;
    if (p->fd < 0) {
        char *path = partial_path(c, stream);

        p->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        free(path);
        if (p->fd < 0)
            engine_log("a line of %.12s may be lost: %s", c->id, strerror(errno));
    }
    if (p->fd < 0)
        return;
    if (p->same < p->kept)
        partial_cut(c, p);
    if (p->text.len > p->same)
        partial_put(c, p);
}

/* It has become a line. */
static void partial_empty(struct log_partial *p)
{
    buf_clear(&p->text);
    p->same = 0;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* So much of the piece is in the file now. */
static void piece_mark(struct container *c)
{
    if (piece.c != c)
        return;
    piece.mark.log = c->log.size;
    piece.mark.inode = c->log.inode;
    spool_set(&piece.mark);
}

static void log_inode(struct container *c)
{
    struct stat st;

    c->log.inode = fstat(c->log.fd, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* Of one that was rotated half. */
static void log_rename_rest(struct container *c)
{
    char *path = container_path(c, "log"), *fresh = container_path(c, "log.new");

    if (access(path, F_OK) < 0)
        rename(fresh, path);
    else
        unlink(fresh);
    free(path);
    free(fresh);
}

int log_open(struct container *c, int dir)
{
    const struct json *cfg = json_get(c->host, "LogConfig");
    const char *max = json_str(json_get(cfg, "Config"), "max-size");
    const char *type = json_str(cfg, "Type");
    off_t end;
    int err = 0;

    if (c->log.fd >= 0 || (type && !strcmp(type, "none")))
        return 0;
    if (!max || !str_size(max, &c->log.max) || c->log.max > LOG_MAX_LIMIT)
        c->log.max = LOG_MAX_DEFAULT;
    if (engine.opening)
        log_rename_rest(c);
    c->log.fd = openat(dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (c->log.fd < 0)
        return -errno;
    end = lseek(c->log.fd, 0, SEEK_END);
    c->log.size = end > 0 ? (uint64_t)end : 0;
    log_inode(c);
    for (int stream = 1; stream <= 2 && !err; stream++)
        err = partial_load(c, stream, UINT64_MAX);
    if (err)
        log_close(c);
    return err;
}

void log_close(struct container *c)
{
    if (c->log.fd >= 0)
        close(c->log.fd);
    c->log.fd = -1;
    for (int i = 0; i < 2 && c->log.partial; i++) {
        buf_free(&c->log.partial[i].text);
        if (c->log.partial[i].fd >= 0)
            close(c->log.partial[i].fd);
    }
    free(c->log.partial);
    c->log.partial = NULL;
}

/* All three names, or the log stays what it is: only what was rotated away before is lost. */
static bool log_rename(const char *fresh, const char *path, const char *old)
{
    if (rename(path, old) < 0)
        return false;
    if (rename(fresh, path) == 0)
        return true;
    if (rename(old, path) < 0)
        engine_log("%s is left as %s: %s", path, old, strerror(errno));
    return false;
}

/* The new file comes first: without one the log that there is goes on. */
static void log_rotate(struct container *c)
{
    char *path = container_path(c, "log"), *old = container_path(c, "log.1");
    char *fresh = container_path(c, "log.new");
    int fd = open(fresh, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC | O_CLOEXEC, 0600);

    if (fd >= 0 && log_rename(fresh, path, old)) {
        close(c->log.fd);
        c->log.fd = fd;
        c->log.size = 0;
        log_inode(c);
        piece_mark(c);
        log_followers_file(c);
    } else if (fd >= 0) {
        close(fd);
        unlink(fresh);
    }
    free(path);
    free(old);
    free(fresh);
}

/* Lines that are not in the file yet: of one container, within one call. */
static struct buf log_batch;

/* What was written of them. */
static size_t log_batch_put(int fd, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = write(fd, log_batch.data + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

/* On a full disk the lines that went there whole stay. */
static void log_batch_write(struct container *c, size_t len)
{
    size_t done = c->log.fd < 0 ? 0 : log_batch_put(c->log.fd, len), whole = done;

    while (whole && log_batch.data[whole - 1] != '\n')
        whole--;
    c->log.size += whole;
    if (whole < done && ftruncate(c->log.fd, (off_t)c->log.size) < 0) {
        engine_log("the log of %.12s has a line that is cut", c->id);
        c->log.size += done - whole;
    }
    buf_drop(&log_batch, len);
    piece_mark(c);
}

/* Behind the line that was made last nothing of a partial one is left. */
static void piece_line(struct container *c, int stream)
{
    if (piece.c != c)
        return;
    piece.mark.done = piece.ended;
    piece.mark.partial = 0;
}

static void log_line(struct container *c, int stream, const char *text, size_t len,
                     const char *when)
{
    struct jw w = {.out = &log_batch};
    size_t before = log_batch.len;

    jw_object(&w, NULL);
    jw_bytes(&w, "log", text, len);
    jw_str(&w, "stream", stream == 1 ? "stdout" : "stderr");
    jw_str(&w, "time", when);
    jw_object_end(&w);
    buf_char(&log_batch, '\n');
    if (c->log.size + log_batch.len > c->log.max / 2 && c->log.size + before) {
        if (before)
            log_batch_write(c, before);
        log_rotate(c);
    }
    piece_line(c, stream);
    if (log_batch.len >= LOG_BATCH)
        log_batch_write(c, log_batch.len);
}

static void log_batch_end(struct container *c)
{
    if (log_batch.len)
        log_batch_write(c, log_batch.len);
    log_wake(c);
}

static void log_now(char *when)
{
    struct timespec now;

    engine_now(&now);
    time_rfc3339(when, &now);
}

void log_write(struct container *c, int stream, const char *data, size_t len)
{
    struct log_partial *p;
    char when[48];

    if (c->log.fd < 0)
        return;
    log_now(when);
    p = log_partial(c, stream);
    while (len) {
        const char *nl = memchr(data, '\n', len);
        size_t n = nl ? (size_t)(nl - data) + 1 : len;

        if (p->text.len + n > LOG_LINE)
            n = LOG_LINE - p->text.len;
        buf_add(&p->text, data, n);
        data += n;
        len -= n;
        piece.ended += n;
        if (p->text.len == LOG_LINE || p->text.data[p->text.len - 1] == '\n') {
            log_line(c, stream, p->text.data, p->text.len, when);
            partial_empty(p);
        }
    }
    log_batch_end(c);
    partial_keep(c, stream);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static void piece_begin(struct container *c, int stream)
{
    piece.c = c;
    piece.ended = 0;
    piece.mark = (struct spool_mark){
        .stream = (uint32_t)stream, .from = spool_end(), .partial = log_partial(c, stream)->same};
    memcpy(piece.mark.id, c->id, ID_LEN);
    piece_mark(c);
}

static void piece_end(void)
{
    piece.c = NULL;
    spool_over();
}

ssize_t log_pull(struct container *c, int stream, int fd, char *data, size_t size)
{
    ssize_t n;

    if (c->log.fd < 0) {
        n = read(fd, data, size);
        return n < 0 ? -errno : n;
    }
    piece_begin(c, stream);
    n = spool_read(fd, data, size);
    if (n > 0)
        log_write(c, stream, data, (size_t)n);
    piece_end();
    return n;
}

/* The log goes back to what the mark says of it. A file that is another one was begun after that,
 * and has nothing yet that counts. */
static void log_take_back(struct container *c, const struct spool_mark *m)
{
    uint64_t size = m->inode == c->log.inode ? m->log : 0;

    if (size < c->log.size && ftruncate(c->log.fd, (off_t)size) == 0)
        c->log.size = size;
    partial_load(c, (int)m->stream, m->partial);
}

/* What is left of the piece is logged as any is, with the mark behind each write: this engine may
 * be killed too. */
static void piece_resume(struct container *c, const struct spool_mark *m, const char *data,
                         size_t len)
{
    log_take_back(c, m);
    piece.c = c;
    piece.mark = *m;
    piece.ended = m->done;
    log_write(c, (int)m->stream, data, len);
}

/* The log was there: where there is want of something, this engine ends, and the next one reads. */
void log_check_open(const struct container *c, int err)
{
    char *path = container_path(c, "log");

    if (engine.opening)
        engine_check_file(path, err);
    free(path);
}

void log_recover(void)
{
    char *data, id[ID_LEN + 1] = {0};
    size_t len;
    struct spool_mark m;
    struct container *c = NULL;
    bool ambiguous, open;
    int dir, err;

    if (spool_left(&m, &data, &len)) {
        memcpy(id, m.id, ID_LEN);
        c = container_find(id, &ambiguous);
    }
    if (c && !strcmp(c->id, id)) {
        open = c->log.fd >= 0;
        dir = container_dir(c);
        err = dir < 0 ? dir : log_open(c, dir);
        log_check_open(c, err);
        if (!err)
            piece_resume(c, &m, data, len);
        if (dir >= 0)
            close(dir);
        if (!open)
            log_close(c);
    }
    piece_end();
    free(data);
}

const struct buf *log_rest(struct container *c, int stream)
{
    return &log_partial(c, stream)->text;
}

void log_flush(struct container *c)
{
    char when[48];

    log_now(when);
    for (int i = 1; i <= 2 && c->log.partial; i++) {
        struct log_partial *p = log_partial(c, i);

        if (p->text.len && c->log.fd >= 0) {
            piece_begin(c, i);
            log_line(c, i, p->text.data, p->text.len, when);
            log_batch_end(c);
        }
        partial_empty(p);
        partial_keep(c, i);
        piece_end();
    }
}

// SPDX-License-Identifier: MIT
// Container logs: json-file lines, bounded by rotation. Their readers: log_read.c.
//
//   {"log":"text\n","stream":"stdout","time":"2024-01-02T03:04:05.000000006Z"}
//
// The text is the container's bytes, whatever they are, so a line need not be UTF-8; log_read.c
// alone reads it. Lines longer than LOG_LINE are split, within a character if need be. The current
// file is `log`; at half of the limit it becomes `log.1` and a new one begins, so both together
// stay within the limit.
#include "engine/log_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

#define LOG_LINE 16384
#define LOG_BATCH 65536
#define LOG_MAX_DEFAULT (4u * 1024 * 1024)
#define LOG_MAX_LIMIT (1024u * 1024 * 1024)

/* Text after the last newline, per stream; of a container, lazily. */
struct log_partial {
    struct buf text[2];
};

static struct buf *log_partial(struct container *c, int stream)
{
    if (!c->log.partial)
        c->log.partial = mem_alloc(sizeof(struct log_partial));
    return &c->log.partial->text[stream - 1];
}

void log_open(struct container *c, int dir)
{
    const struct json *cfg = json_get(c->host, "LogConfig");
    const char *max = json_str(json_get(cfg, "Config"), "max-size");
    const char *type = json_str(cfg, "Type");
    off_t end;

    if (c->log.fd < 0 && !(type && !strcmp(type, "none"))) {
        if (!max || !str_size(max, &c->log.max) || c->log.max > LOG_MAX_LIMIT)
            c->log.max = LOG_MAX_DEFAULT;
        c->log.fd = openat(dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        end = c->log.fd < 0 ? 0 : lseek(c->log.fd, 0, SEEK_END);
        c->log.size = end > 0 ? (uint64_t)end : 0;
    }
}

void log_close(struct container *c)
{
    if (c->log.fd >= 0)
        close(c->log.fd);
    c->log.fd = -1;
    if (c->log.partial) {
        buf_free(&c->log.partial->text[0]);
        buf_free(&c->log.partial->text[1]);
        free(c->log.partial);
        c->log.partial = NULL;
    }
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
    struct buf *p;
    char when[48];

    if (c->log.fd < 0)
        return;
    log_now(when);
    p = log_partial(c, stream);
    while (len) {
        const char *nl = memchr(data, '\n', len);
        size_t n = nl ? (size_t)(nl - data) + 1 : len;

        if (p->len + n > LOG_LINE)
            n = LOG_LINE - p->len;
        buf_add(p, data, n);
        data += n;
        len -= n;
        if (p->len == LOG_LINE || p->data[p->len - 1] == '\n') {
            log_line(c, stream, p->data, p->len, when);
            buf_clear(p);
        }
    }
    log_batch_end(c);
}

void log_flush(struct container *c)
{
    char when[48];

    log_now(when);
    for (int i = 1; i <= 2 && c->log.partial; i++) {
        struct buf *p = log_partial(c, i);

        if (p->len && c->log.fd >= 0)
            log_line(c, i, p->data, p->len, when);
        buf_free(p);
    }
    log_batch_end(c);
}

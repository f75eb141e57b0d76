// SPDX-License-Identifier: MIT
// A layer's bytes: fetched, from where they broke off if they do, and verified.
//
// A connection that breaks is made again after a pause that doubles, and the rest is asked for.
// What brings no byte several times in a row is given up, and so is what breaks all the time.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/pull.h"
#include "lib/str.h"

#define BLOB_BARREN_MAX 5 /* tries without a byte, one after the other */
#define BLOB_TRIES_MAX 64
#define BLOB_PAUSE_MS 200
#define BLOB_PAUSE_MAX_MS 8000
#define BLOB_TELL_MS 100

static struct {
    struct pull_from *from;
    const struct manifest_blob *b;
    int fd;
    struct sha256 sum;
    uint64_t have, told_at;
} blob;

static void blob_say(const char *line)
{
    if (write_all(1, line, strlen(line)))
        _exit(2);
}

_Noreturn static void blob_fail(int code, const char *why)
{
    char *line = str_fmt("F %d layer %.12s: %.900s\n", code, blob.b->digest, why);

    for (char *p = line; p[1]; p++)
        if ((unsigned char)*p < 32)
            *p = ' ';
    blob_say(line);
    _exit(1);
}

static void blob_tell(bool now)
{
    uint64_t at = time_now_ms();
    char line[40];

    if (!now && at < blob.told_at + BLOB_TELL_MS)
        return;
    blob.told_at = at;
    snprintf(line, sizeof(line), "D %llu\n", (unsigned long long)blob.have);
    blob_say(line);
}

static void blob_restart(void)
{
    uint64_t had = blob.have;

    sha256_init(&blob.sum);
    blob.have = 0;
    if (ftruncate(blob.fd, 0) < 0 || lseek(blob.fd, 0, SEEK_SET) < 0)
        blob_fail(500, "cannot begin its file anew");
    load_return(had);
}

/* What of the answer belongs behind what is there: false when it is none of that. */
static bool blob_answer_fits(int status)
{
    const char *range = http_header(&blob.from->r.f.head, "Content-Range");
    uint64_t first, last, total;

    if (status == 200) {
        if (blob.have)
            blob_restart(); /* it does not do ranges */
        return true;
    }
    return status == 206 && range && http_content_range(range, &first, &last, &total) &&
           first == blob.have;
}

/* The content of an answer, as far as it comes: 0, or -1 with r.why. */
static int blob_take(void)
{
    static char data[65536];
    struct registry *r = &blob.from->r;
    ssize_t n;

    while ((n = fetch_read(&r->f, data, sizeof(data))) > 0) {
        if ((uint64_t)n > blob.b->size - blob.have) {
            r->fatal = true;
            return pull_unfit(blob.from, "the registry sends more than the manifest says");
        }
        load_take((uint64_t)n, "layer");
        if (write_all(blob.fd, data, (size_t)n))
            blob_fail(500, "cannot store it");
        sha256_add(&blob.sum, data, (size_t)n);
        blob.have += (uint64_t)n;
        blob_tell(false);
    }
    if (n < 0)
        return pull_unfit(blob.from, "%s", r->f.why);
    fetch_done(&r->f);
    return blob.have < blob.b->size ? pull_unfit(blob.from, "unexpected EOF") : 0;
}

/* One request for what is missing: 0 when something came, at some speed, or all is there, -1 with
 * r.why. */
static int blob_try(void)
{
    struct registry *r = &blob.from->r;
    char *target = str_fmt("/v2/%s/blobs/sha256:%s", registry_order_read.path, blob.b->digest);
    char range[64];
    uint64_t had = blob.have;
    int status;

    snprintf(range, sizeof(range), "Range: bytes=%llu-\r\n", (unsigned long long)had);
    status = registry_request(r, "GET", target, had ? range : NULL);
    free(target);
    if (status < 0)
        return -1;
    if (!blob_answer_fits(status)) {
        blob_restart();
        fetch_close(&r->f);
        snprintf(r->why, sizeof(r->why), "the registry's answer to a range is of no use");
        return -1;
    }
    if (!blob_take())
        return 0;
    return blob.have > had && !r->f.slow && !r->fatal ? 0 : -1;
}

static void blob_pause(int barren)
{
    int ms = BLOB_PAUSE_MS << (barren < 8 ? barren : 8);
    char line[32];

    ms = ms < BLOB_PAUSE_MAX_MS ? ms : BLOB_PAUSE_MAX_MS;
    snprintf(line, sizeof(line), "R %d\n", (ms + 999) / 1000);
    blob_say(line);
    usleep((useconds_t)ms * 1000);
}

/* All of it, from this endpoint: 0, or -1 with r.why. */
static int blob_fetch(void)
{
    int barren = 0;

    for (int tries = 0; blob.have < blob.b->size || !tries; tries++) {
        bool came = blob_try() == 0;

        if (blob.have == blob.b->size && came)
            break;
        barren = came ? 0 : barren + 1;
        if (barren == BLOB_BARREN_MAX || tries == BLOB_TRIES_MAX || blob.from->r.fatal)
            return -1;
        blob_pause(barren);
    }
    return 0;
}

/* What was fetched is what was asked for: 0, or -1 with r.why. */
static int blob_verify(void)
{
    char hex[SHA256_HEX];

    blob_tell(true);
    blob_say("V\n");
    sha256_end(&blob.sum, hex);
    if (!strcmp(hex, blob.b->digest))
        return 0;
    return pull_unfit(blob.from, "filesystem layer verification failed: its digest is another");
}

void pull_blob(struct pull_from *from, const struct manifest_blob *b, int fd)
{
    blob.from = from;
    blob.b = b;
    blob.fd = fd;
    fetch_close(&from->r.f); /* the parent's */
    blob_restart();
    while (blob_fetch() || blob_verify()) {
        if (!pull_next(from))
            blob_fail(!strcmp(from->r.why, "not found") ? 404 : 500, from->r.why);
        blob_restart();
    }
    blob_say("C\n");
    _exit(0);
}

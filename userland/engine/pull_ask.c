// SPDX-License-Identifier: MIT
// The texts of a pull (manifests, lists, configurations, tags) are asked for by a process of its
// own, which may do nothing but that (registry_forgo): the worker, which may unpack, reads what a
// registry says as texts whose digests it verifies, and nothing of HTTP.
//
// A socket pair. A request is its head and a target; the answer its head, the text, the next page's
// target and the token that was got, which those who fetch layers use as well.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/pull.h"
#include "lib/str.h"

#define ASK_TARGET_MAX URL_TARGET_MAX
#define ASK_TOKEN_MAX (64u * 1024)
#define ASK_AGAIN_MAX 3
#define ASK_PAUSE_MS 250 /* the first time; it doubles */

struct ask_request {
    uint32_t endpoint, target, max; /* which one; lengths */
    bool manifest;                  /* what the registry is to be told that we take */
};

struct ask_answer {
    int32_t err; /* 0 or -1 */
    uint32_t text, next, token;
    bool basic, met, fatal;
    uint8_t place;
    char code[sizeof(((struct registry *)0)->code)];
    char why[sizeof(((struct registry *)0)->why)];
};

static int ask_read(int fd, void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = read(fd, (char *)data + at, len - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EPIPE;
        at += (size_t)n;
    }
    return 0;
}

/* A text of `len` bytes, to be freed; NULL when it does not come. */
static char *ask_text(int fd, uint32_t len)
{
    char *text = mem_alloc((size_t)len + 1);

    if (!ask_read(fd, text, len))
        return text;
    free(text);
    return NULL;
}

/* A registry that says that it is busy is asked again, unless there is another. */
static int ask_patiently(struct pull_from *from, const char *target, bool manifest, size_t max,
                         struct buf *out)
{
    for (int tries = 0;; tries++) {
        int err = registry_text(&from->r, target, manifest ? MANIFEST_ACCEPT : NULL, max, out);

        if (!err || !from->r.busy || from->endpoint->next || tries == ASK_AGAIN_MAX)
            return err;
        usleep(ASK_PAUSE_MS * 1000u << tries);
    }
}

/* ---- the process that asks ------------------------------------------------------------------- */

static void ask_move(struct pull_from *from, uint32_t *at, uint32_t endpoint)
{
    while (*at < endpoint && pull_next(from))
        ++*at;
}

static int ask_reply(int fd, struct pull_from *from, int err, const struct buf *text)
{
    const struct registry *r = &from->r;
    char *next = err ? NULL : pull_next_page(from);
    struct ask_answer a = {.err = err,
                           .text = err ? 0 : (uint32_t)text->len,
                           .next = next ? (uint32_t)strlen(next) : 0,
                           .token = r->token ? (uint32_t)strlen(r->token) : 0,
                           .basic = r->basic,
                           .met = r->met,
                           .place = (uint8_t)r->place,
                           .fatal = r->fatal};
    int failed;

    memcpy(a.code, r->code, sizeof(a.code));
    memcpy(a.why, r->why, sizeof(a.why));
    failed = write_all(fd, &a, sizeof(a)) || write_all(fd, text->data ? text->data : "", a.text) ||
             write_all(fd, next ? next : "", a.next) ||
             write_all(fd, r->token ? r->token : "", a.token);
    free(next);
    return failed;
}

_Noreturn static void ask_serve(struct pull_from *from, int fd)
{
    struct ask_request q;
    uint32_t at = 0;

    while (!ask_read(fd, &q, sizeof(q)) && q.target < ASK_TARGET_MAX) {
        char *target = ask_text(fd, q.target);
        struct buf text = {0};
        int err;

        if (!target)
            break;
        ask_move(from, &at, q.endpoint);
        err = ask_patiently(from, target, q.manifest, q.max, &text);
        free(target);
        if (ask_reply(fd, from, err, &text))
            break;
        buf_free(&text);
    }
    _exit(0);
}

void pull_ask_start(struct pull_from *from)
{
    pid_t parent = getpid(), pid;
    int ends[2];

    from->asker = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        registry_fail(500, "cannot make a socket pair: %s", str_error(errno));
    pid = fork();
    if (pid < 0)
        registry_fail(500, "cannot make a process: %s", str_error(errno));
    if (pid == 0) {
        /* neither the order's rest nor the report is its own */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent ||
            dup2(ends[1], 0) < 0 || dup2(ends[1], 1) < 0)
            _exit(1);
        registry_forgo(NULL, 0);
        ask_serve(from, 0);
    }
    close(ends[1]);
    from->asker = ends[0];
}

/* ---- the worker's side ----------------------------------------------------------------------- */

_Noreturn static void ask_lost(void)
{
    registry_fail(500,
                  "the process that asks the registry has died: it may have needed more memory");
}

static uint32_t ask_endpoint(const struct pull_from *from)
{
    uint32_t n = 0;

    for (const struct json *e = registry_order_read.endpoints; e && e != from->endpoint;
         e = e->next)
        n++;
    return n;
}

static void ask_take(struct pull_from *from, const struct ask_answer *a, char *token)
{
    struct registry *r = &from->r;

    str_forget(r->token);
    r->token = *token ? token : NULL;
    if (!*token)
        free(token);
    r->basic = a->basic;
    r->met = a->met;
    r->place = a->place < FETCH_LOCAL ? (enum fetch_place)a->place : FETCH_LOCAL;
    r->fatal = a->fatal;
    memcpy(r->code, a->code, sizeof(r->code));
    memcpy(r->why, a->why, sizeof(r->why));
    r->code[sizeof(r->code) - 1] = r->why[sizeof(r->why) - 1] = 0;
}

int pull_get(struct pull_from *from, const char *target, bool manifest, size_t max, struct buf *out)
{
    struct ask_request q = {.endpoint = ask_endpoint(from),
                            .target = (uint32_t)strlen(target),
                            .max = (uint32_t)max,
                            .manifest = manifest};
    char *text, *token;
    struct ask_answer a;

    if (from->asker < 0)
        return ask_patiently(from, target, manifest, max, out);
    if (write_all(from->asker, &q, sizeof(q)) || write_all(from->asker, target, q.target) ||
        ask_read(from->asker, &a, sizeof(a)) || a.text > max || a.next >= ASK_TARGET_MAX ||
        a.token > ASK_TOKEN_MAX)
        ask_lost();
    text = ask_text(from->asker, a.text);
    free(from->next_page);
    from->next_page = ask_text(from->asker, a.next);
    token = ask_text(from->asker, a.token);
    if (!text || !from->next_page || !token)
        ask_lost();
    buf_clear(out);
    buf_add(out, text, a.text);
    free(text);
    ask_take(from, &a, token);
    return a.err ? -1 : 0;
}

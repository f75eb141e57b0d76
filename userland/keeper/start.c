// SPDX-License-Identifier: MIT
// Starting a process: from the engine's message to a clone that reads its order.
//
// The order is not looked into here. Between us and the child there is one socket pair: the child
// gets one byte when it may go on (only where the clone could not place it in its control group),
// sends the pty's master, if there is one, and on failure one sentence. Its end closes on exec.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "keeper/keeper.h"
#include "lib/str.h"
#include "runtime/birth.h"
#include "runtime/clone.h"
#include "runtime/host_child.h"

/* Our own oom_score_adj, which a clone inherits: to set it here for the moment of the clone costs a
 * tenth of what the child would spend on looking for its own. In that moment the OOM
 * killer must not prefer us: a score above 0, which Linux counts in thousandths of all memory, the
 * child writes itself. */
static struct {
    int fd;
    int own, last; /* the values of own_text and of text */
    char own_text[12], text[12];
} start_score = {.fd = -1, .text = "0"};

static void start_score_prepare(void)
{
    ssize_t n;

    start_score.fd = openat(AT_FDCWD, "/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    n = start_score.fd < 0
            ? -1
            : pread(start_score.fd, start_score.own_text, sizeof(start_score.own_text) - 1, 0);
    start_score.own_text[n < 0 ? 0 : n] = 0;
    start_score.own = atoi(start_score.own_text);
}

static bool start_score_write(const char *text)
{
    size_t len = strlen(text);

    return pwrite(start_score.fd, text, len, 0) == (ssize_t)len;
}

static bool start_score_set(int score)
{
    if (score == start_score.own)
        return true;
    if (score != start_score.last)
        snprintf(start_score.text, sizeof(start_score.text), "%d", score);
    start_score.last = score;
    return start_score_write(start_score.text);
}

static void start_score_reset(int score)
{
    if (score != start_score.own)
        start_score_write(start_score.own_text);
}

int start_prepare(void)
{
    start_score_prepare();
    child_prepare();
    /* a process of an exec stands among the container's from its birth, as a copy of us */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

static void fd_drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool pipe_make(int *ours, int *theirs, bool we_read)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return false;
    *ours = fds[!we_read];
    *theirs = fds[we_read];
    return true;
}

static bool start_streams(struct kept *k, struct child *ch, bool want_in)
{
    int sync[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync) < 0)
        return false;
    k->sync = sync[0];
    ch->sync = sync[1];
    k->maker = k->head.flags & KEEP_EXEC;
    if (k->maker && birth_expect(k->sync))
        return false;
    fcntl(k->sync, F_SETFL,
          O_NONBLOCK); /* the child's end may be in other hands than the child's */
    if (k->head.flags & KEEP_TTY)
        return true;
    return pipe_make(&k->out, &ch->out, true) && pipe_make(&k->err, &ch->err, true) &&
           (!want_in || pipe_make(&k->in, &ch->in, false));
}

static int start_ns_open(pid_t target, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)target, name);
    return openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

/* Opens the container's namespaces for the child. NULL or a sentence. */
static const char *start_ns_find(struct host_child *hc, const char *owner)
{
    const struct kept *k = kept_find(owner);

    if (!k || k->head.flags & (KEEP_DEAD | KEEP_EXEC)) /* its number may be another's */
        return "the container has ended";
    for (int i = 0; i < HOST_CHILD_NS; i++) {
        hc->ns[i] = start_ns_open(k->head.pid, host_child_ns_names[i]);
        if (hc->ns[i] < 0)
            return "cannot open the container's namespaces";
    }
    return NULL;
}

/* Elsewhere than beside its group the child goes first: on one processor our bookkeeping would be
 * in its way, and the pages that both have are copied for the first that writes before the
 * other has let go of them. */
static const char *start_clone(struct kept *k, struct host_child *hc, int group, int score)
{
    const struct keep_head *h = &k->head;
    const char *why = h->flags & KEEP_EXEC ? start_ns_find(hc, h->owner) : NULL;
    static char text[80];
    bool placed;
    int err;

    if (why)
        return why;
    hc->score = score;
    score = score > 0 ? 0 : score;
    if (!start_score_set(score)) {
        snprintf(text, sizeof(text), "cannot set oom_score_adj to %d", score);
        return text;
    }
    k->head.pid = clone_into(group, h->clone, &placed);
    if (k->head.pid == 0) {
        hc->wait_go = !placed;
        if (h->flags & KEEP_EXEC)
            kept_each(kept_hide); /* this copy of us the container may come to read */
        host_child_run(hc);
    }
    err = errno;
    start_score_reset(score);
    if (k->head.pid < 0) {
        snprintf(text, sizeof(text), "cannot clone: %s", strerror(err));
        return text;
    }
    if (placed)
        sched_yield();
    else
        k->head.flags |= KEEP_UNPLACED;
    return NULL;
}

static void start_close(struct host_child *hc)
{
    fd_drop(&hc->child.sync);
    fd_drop(&hc->child.in);
    fd_drop(&hc->child.out);
    fd_drop(&hc->child.err);
    fd_drop(&hc->file);
    for (int i = 0; i < HOST_CHILD_NS; i++)
        fd_drop(&hc->ns[i]);
}

static const char *start_one(struct kept *k, struct keep_message *m)
{
    struct host_child hc = {.child = {.sync = -1, .in = -1, .out = -1, .err = -1},
                            .ns = {-1, -1, -1, -1, -1, -1},
                            .text = m->text,
                            .len = m->head.text};
    int group = keep_take_fd(m, KEEP_GROUP);
    const char *why = NULL;
    struct timespec now;

    hc.file = keep_take_fd(m, KEEP_ORDER);
    if ((m->head.flags & KEEP_GROUP && group < 0) || (m->head.flags & KEEP_ORDER && hc.file < 0))
        why = "the keeper has no descriptor left";
    clock_gettime(CLOCK_REALTIME, &now);
    k->head.born = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (!why && !start_streams(k, &hc.child, m->head.flags & KEEP_WANT_IN))
        why = "cannot make pipes";
    if (!why && m->head.flags & KEEP_FILTER)
        seccomp_prepare(m->head.caps);
    if (!why)
        why = start_clone(k, &hc, group, m->head.value);
    start_close(&hc);
    fd_drop(&group);
    return why;
}

/* Why it has not been started is what it has said. */
static void start_failed(struct kept *k, const char *why)
{
    k->said_len = (uint32_t)strnlen(why, KEEP_SAID_MAX);
    memcpy(k->said, why, k->said_len);
    k->tell = TELL_FAILED;
}

struct kept *start(struct keep_message *m)
{
    struct kept *old = kept_find(m->head.id), *k = kept_new(m);
    const char *why = old && !(old->head.flags & KEEP_DEAD) ? "it runs already" : NULL;

    if (!k)
        return NULL;
    why = why ? why : start_one(k, m);
    if (!why && watch(k->sync, k, EPOLLIN)) {
        kill(k->head.pid, SIGKILL); /* reaped as a stranger */
        why = "out of memory";
    }
    if (why) {
        start_failed(k, why);
        return k;
    }
    if (old)
        talk_forget(old);
    kept_add(k);
    k->tell = TELL_CLONED;
    return k;
}

// SPDX-License-Identifier: MIT
// The conversation with the engine.
//
// Nothing is queued: what an engine has not heard yet is a bit of the process that it is about, so
// an engine that does not read costs no memory and holds nothing up, and the next one hears it all.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "keeper/keeper.h"

static int conn = -1;
static bool heard;   /* HELLO, of a version that we speak */
static bool welcome; /* is to be said */
static bool listing; /* LISTED is to be said when the list is over */
static bool ending;
static unsigned to_list;
static int spare = -1; /* a descriptor for an engine that comes when there is no other */
static struct kept *first, **last = &first; /* of whom something is to be told */

static void tell_out(struct kept *k)
{
    for (struct kept **at = &first; *at; at = &(*at)->telling) {
        if (*at != k)
            continue;
        *at = k->telling;
        last = k->telling ? last : at;
        break;
    }
    k->telling = NULL;
    k->listed = false;
}

static void talk_flush(void);

void talk_tell(struct kept *k, unsigned what)
{
    k->tell |= what;
    if (conn < 0 || !heard)
        return; /* the next engine is told of the whole */
    if (!k->listed) {
        k->listed = true;
        *last = k;
        last = &k->telling;
    }
    talk_flush();
}

void talk_forget(struct kept *k)
{
    if (k->listed)
        tell_out(k);
    if (k->tell & TELL_PROCESS && to_list)
        to_list--;
    kept_free(k);
}

static int say(uint16_t type, int32_t value)
{
    struct keep_head h = {.type = type, .value = value};

    return keep_send(conn, &h, NULL, NULL, NULL, 0);
}

/* The streams that there are, as descriptors and flags. */
static int streams(const struct kept *k, uint32_t *flags, int *fds)
{
    int n = 0;

    if (k->out >= 0)
        *flags |= KEEP_HAS_OUT, fds[n++] = k->out;
    if (k->err >= 0)
        *flags |= KEEP_HAS_ERR, fds[n++] = k->err;
    if (k->in >= 0)
        *flags |= KEEP_HAS_IN, fds[n++] = k->in;
    return n;
}

/* An input that the engine alone is to hold is not ours any more once it has it. */
static void in_handed_over(struct kept *k)
{
    if (!(k->head.flags & KEEP_IN_ONCE) || k->in < 0)
        return;
    close(k->in);
    k->in = -1;
}

static int say_process(struct kept *k)
{
    struct keep_head h = k->head;
    int fds[KEEP_FDS], n = streams(k, &h.flags, fds), err;

    h.text = k->said_len;
    err = keep_send(conn, &h, k->note, k->said, fds, n);
    if (err)
        return err;
    in_handed_over(k);
    k->tell = 0;
    k->said_told = k->said_len;
    to_list--;
    return 0;
}

static int say_cloned(struct kept *k)
{
    struct keep_head h = k->head;
    int fds[KEEP_FDS], n, err;

    h.type = KEEP_CLONED;
    h.note = 0;
    n = streams(k, &h.flags, fds);
    err = keep_send(conn, &h, NULL, NULL, fds, n);
    if (!err)
        in_handed_over(k);
    return err;
}

static int say_said(struct kept *k, bool master)
{
    struct keep_head h = {.type = KEEP_SAID,
                          .flags = master ? KEEP_HAS_OUT : 0,
                          .text = master ? 0 : k->said_len - k->said_told,
                          .run = k->head.run};
    int err;

    memcpy(h.id, k->head.id, KEEP_ID);
    err = keep_send(conn, &h, NULL, k->said ? k->said + k->said_told : NULL, &k->out, master);
    if (!err && !master)
        k->said_told = k->said_len;
    return err;
}

static int say_bare(const struct kept *k, uint16_t type)
{
    struct keep_head h = k->head;

    h.type = type;
    h.note = h.text = 0;
    return keep_send(conn, &h, NULL, NULL, NULL, 0);
}

static int say_failed(const struct kept *k)
{
    struct keep_head h = k->head;

    h.type = KEEP_FAILED;
    h.note = 0;
    h.text = k->said_len;
    return keep_send(conn, &h, NULL, k->said, NULL, 0);
}

/* The first thing that is to be told of it. */
static int say_next(struct kept *k)
{
    unsigned bit = k->tell & -k->tell;
    int err = 0;

    switch (bit) {
    case TELL_PROCESS:
        return say_process(k);
    case TELL_CLONED:
        err = say_cloned(k);
        break;
    case TELL_MASTER:
        err = say_said(k, true);
        break;
    case TELL_SAID:
        err = say_said(k, false);
        break;
    case TELL_SILENT:
        err = say_bare(k, KEEP_SILENT);
        break;
    case TELL_EXITED:
        err = say_bare(k, KEEP_EXITED);
        break;
    case TELL_FAILED:
        err = say_failed(k);
        break;
    default:
        break;
    }
    if (!err)
        k->tell &= ~bit;
    return err;
}

static int talk_next(void)
{
    struct kept *k = first;
    bool failed;
    int err;

    if (welcome) {
        err = say(KEEP_WELCOME, (int32_t)to_list);
        welcome = err;
        return err;
    }
    if (listing && !to_list) {
        err = say(KEEP_LISTED, 0);
        listing = err;
        return err;
    }
    failed = k->tell & TELL_FAILED;
    err = say_next(k);
    if (!err && !k->tell)
        tell_out(k);
    if (!err && failed)
        kept_free(k);
    return err;
}

static void talk_lost_one(struct kept *k)
{
    k->listed = false;
    k->telling = NULL;
    k->tell = 0;
    /* one that waits for the word to go on hears that none will come */
    if (k->sync >= 0 && k->head.flags & KEEP_UNPLACED)
        shutdown(k->sync, SHUT_WR);
}

/* What has not been started is no process, and in no table. */
static void drop_failed(void)
{
    for (struct kept *k = first, *next; k; k = next) {
        next = k->telling;
        if (k->tell & TELL_FAILED)
            kept_free(k);
    }
    first = NULL;
    last = &first;
}

static void talk_lost(void)
{
    close(conn);
    drop_failed();
    conn = -1;
    heard = welcome = listing = false;
    to_list = 0;
    kept_each(talk_lost_one);
}

static void talk_flush(void)
{
    int err = 0;

    while (conn >= 0 && !err && (welcome || listing || first))
        err = talk_next();
    if (err && err != -EAGAIN && err != -ENOBUFS && err != -ENOMEM)
        talk_lost();
    else if (conn >= 0)
        watch_change(conn, (void *)WATCH_ENGINE, err ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* ---- what the engine says -------------------------------------------------------------------- */

static void list_one(struct kept *k)
{
    k->tell = TELL_PROCESS;
    k->listed = true;
    *last = k;
    last = &k->telling;
    to_list++;
}

static void hear_hello(const struct keep_head *h)
{
    if (h->value != KEEP_VERSION) {
        say(KEEP_WELCOME, -KEEP_VERSION);
        talk_lost();
        return;
    }
    heard = welcome = listing = true;
    kept_each(list_one);
    talk_flush();
}

static void hear_start(struct keep_message *m)
{
    struct kept *k = start(m);

    if (k)
        talk_tell(k, 0);
    else
        talk_lost(); /* it waits for an answer that it cannot get: the next engine asks again */
}

static void kill_one(struct kept *k)
{
    if (!(k->head.flags & KEEP_DEAD))
        kill(k->head.pid, SIGKILL);
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Of one process that there is. */
static void hear_of(struct kept *k, const struct keep_head *h)
{
    bool dead = k->head.flags & KEEP_DEAD;

    switch (h->type) {
    case KEEP_GO:
        k->head.flags &= ~(uint32_t)KEEP_UNPLACED;
        if (k->sync >= 0)
            send(k->sync, "G", 1, MSG_NOSIGNAL); /* it may be dead: its end is seen below */
        break;
    case KEEP_KILL:
        if (!dead)
            kill(k->head.pid, h->value);
        break;
    case KEEP_MARK:
        k->head.value = h->value;
        break;
    case KEEP_CLOSE_IN:
        close_one(&k->in);
        break;
    case KEEP_CLOSE_OUT:
        if (dead && h->run == k->head.run) {
            close_one(&k->out);
            close_one(&k->err);
        }
        break;
    case KEEP_FORGET:
        if (dead && h->run == k->head.run)
            talk_forget(k);
        break;
    default:
        break;
    }
}

static void hear(struct keep_message *m)
{
    struct kept *k;

    if (m->head.type == KEEP_HELLO && !heard) {
        hear_hello(&m->head);
    } else if (!heard) {
        talk_lost();
    } else if (m->head.type == KEEP_START) {
        hear_start(m);
    } else if (m->head.type == KEEP_END) {
        ending = true;
        kept_each(kill_one);
    } else {
        k = kept_find(m->head.id);
        if (k)
            hear_of(k, &m->head);
    }
}

/* A container may come to read a copy of us (start.c): other containers' orders are not for it. */
static void talk_wipe(struct keep_message *m, bool whole)
{
    explicit_bzero(m->data, whole ? sizeof(m->data) : m->head.note + m->head.text);
}

/* One message: false when there is none now, or no more. For memory that is short for a moment the
 * next event brings us here again. */
static bool talk_read(void)
{
    static struct keep_message m;
    int r = conn < 0 ? -EAGAIN : keep_recv(conn, &m);

    if (r == -EAGAIN || r == -ENOMEM || r == -ENOBUFS)
        return false;
    if (r == 1 || r == -EMFILE) { /* START alone brings descriptors, and fails without them */
        hear(&m);
        keep_close_fds(&m);
        talk_wipe(&m, false);
    } else {
        talk_wipe(&m, true);
        talk_lost();
    }
    return conn >= 0;
}

void talk_event(uint32_t events)
{
    if (events & EPOLLOUT)
        talk_flush();
    if (events & ~(uint32_t)EPOLLOUT)
        talk_read();
}

static void spare_take(void)
{
    if (spare < 0)
        spare = open("/", O_PATH | O_CLOEXEC);
}

void talk_adopt(int fd)
{
    spare_take();
    conn = fd;
    if (watch(conn, (void *)WATCH_ENGINE, EPOLLIN)) {
        close(conn);
        conn = -1;
    }
}

/* Where no descriptor is left the spare one is given for it. */
static int talk_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0 || (errno != EMFILE && errno != ENFILE) || spare < 0)
        return fd;
    close(spare);
    spare = -1;
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/* Of two engines the second is none. The first one's end is seen when all has been read that it
 * has said: it may have been killed in the midst of that. */
void talk_listener(int listener)
{
    int fd = talk_accept(listener);
    struct ucred who = {0};
    socklen_t n = sizeof(who);

    if (fd < 0)
        return;
    while (talk_read())
        ;
    if (conn >= 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 || who.uid != geteuid())
        close(fd);
    else
        talk_adopt(fd);
    spare_take();
}

bool talk_over(void)
{
    return ending ? !kept_alive() : conn < 0 && !kept_count();
}

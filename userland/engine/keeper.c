// SPDX-License-Identifier: MIT
// The engine's end of its conversation with the keeper.
//
// The keeper outlives the engine: it is looked for by its socket in the engine's root, and started
// when there is none. What it tells is passed on to the process that it is about, by id and run.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/process.h"
#include "lib/map.h"
#include "lib/str.h"

#define KEEPER_WAIT_S 10
#define KEEPER_AGAIN_US 5000
#define KEEPER_TRIES 1000 /* a millisecond each */
#define KEEPER_SPARE 16   /* descriptors that a start leaves free: its answer brings some */

static void keeper_event(struct ev_source *s, uint32_t events);
static struct ev_source keeper = {.fd = -1, .fn = keeper_event};
static pid_t keeper_pid; /* when it is our child */
static struct map keeper_map;
static struct keep_message keeper_message;

/* ---- its socket ------------------------------------------------------------------------------ */

/* By way of the root's descriptor: a socket's name is short, a root's need not be. */
static int keeper_address(struct sockaddr_un *addr, int *dir)
{
    *dir = open(engine.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir < 0)
        return -errno;
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/" KEEP_SOCKET, *dir);
    return 0;
}

/* Neither a connect nor a message waits for longer than KEEPER_WAIT_S. */
static int keeper_connect(void)
{
    const struct timeval wait = {KEEPER_WAIT_S, 0};
    struct sockaddr_un addr;
    int dir, err = keeper_address(&addr, &dir), fd;

    if (err)
        return err;
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    err = fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    close(dir);
    if (err && fd >= 0)
        close(fd);
    return err ? err : fd;
}

static int keeper_listen(void)
{
    struct sockaddr_un addr;
    int dir, err = keeper_address(&addr, &dir), fd;
    mode_t mask;

    if (err)
        return err;
    mask = umask(0177);
    unlinkat(dir, KEEP_SOCKET, 0);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 4) < 0)
        err = -errno;
    umask(mask);
    close(dir);
    if (err && fd >= 0)
        close(fd);
    return err ? err : fd;
}

static void keeper_use(int fd)
{
    const struct timeval wait = {KEEPER_WAIT_S, 0};

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    keeper.fd = fd;
    ev_set(&keeper, EPOLLIN);
}

static void keeper_leave(void)
{
    ev_del(&keeper);
    close(keeper.fd);
    keeper.fd = -1;
}

/* ---- in doubt -------------------------------------------------------------------------------- */

/* It may live, and all that it keeps: the next engine asks it again. No client is told of an end
 * that may be none. */
_Noreturn static void keeper_doubt(const char *what, int err)
{
    engine_log("%s (%s): this engine ends, and no container", what, str_error(-err));
    _exit(1);
}

/* The other end is closed: its process has ended, or will hear no more from us. */
static bool is_end(int err)
{
    return err == -ECONNRESET || err == -EPIPE;
}

/* Its end is seen by keeper_event(). What it does not hear while it lives would never be done: a
 * kill, for one. */
static void keeper_send(const struct keep_head *h)
{
    int tries = 0, err;

    while ((err = keep_send(keeper.fd, h, NULL, NULL, NULL, 0)) == -ENOMEM || err == -ENOBUFS) {
        if (tries++ == KEEPER_TRIES)
            break;
        usleep(1000);
    }
    if (err && !is_end(err))
        keeper_doubt("the keeper does not hear", err == -EAGAIN ? -ETIMEDOUT : err);
}

/* ---- asking it ------------------------------------------------------------------------------- */

/* It has taken the connection and begins to answer: 0, -EAGAIN when it has closed it, -errno. */
static int keeper_greet(int fd)
{
    struct keep_head hello = {.type = KEEP_HELLO, .value = KEEP_VERSION};
    struct pollfd poll_in = {fd, POLLIN, 0};
    int err = keep_send(fd, &hello, NULL, NULL, NULL, 0);
    char byte;
    ssize_t n;

    if (err)
        return is_end(err) ? -EAGAIN : err == -EAGAIN ? -ETIMEDOUT : err;
    if (poll(&poll_in, 1, KEEPER_WAIT_S * 1000) <= 0)
        return -ETIMEDOUT;
    n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    err = n > 0 ? 0 : n == 0 ? -EAGAIN : -errno;
    return is_end(err) ? -EAGAIN : err;
}

/* A connection on which it answers: 0. -ESRCH when there is none, which a socket says that refuses
 * or is not there, and nothing else. A keeper that is about to end closes the connection, and so
 * does one that still reads what the last engine has said: both are asked again. */
static int keeper_reach(int *fd)
{
    uint64_t end = time_now_ms() + KEEPER_WAIT_S * 1000;
    int err;

    do {
        *fd = keeper_connect();
        if (*fd == -ENOENT || *fd == -ECONNREFUSED)
            return -ESRCH;
        err = *fd < 0 ? *fd : keeper_greet(*fd);
        if (!err)
            return 0;
        if (*fd >= 0)
            close(*fd);
        if (err != -EAGAIN)
            return err;
        usleep(KEEPER_AGAIN_US);
    } while (time_now_ms() < end);
    return -ETIMEDOUT;
}

/* ---- starting one ---------------------------------------------------------------------------- */

/* Beside our own program, unless another was named. */
static char *keeper_program(void)
{
    char self[4096], *slash;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (engine.keeper)
        return str_dup(engine.keeper);
    self[n > 0 ? n : 0] = 0;
    slash = strrchr(self, '/');
    return str_fmt("%.*s/keeper", slash ? (int)(slash - self) : 0, self);
}

_Noreturn static void keeper_child(const char *program, int listener, int conn)
{
    char a[16], b[16], *argv[] = {"keeper", "--listener", a, "--engine", b, NULL};
#ifdef __SANITIZE_ADDRESS__ /* it hides its memory, which a search for leaks would want to see */
    char *env[] = {"ASAN_OPTIONS=detect_leaks=0", NULL};
#else
    char *env[] = {NULL};
#endif
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    fcntl(listener, F_SETFD, 0);
    fcntl(conn, F_SETFD, 0);
    snprintf(a, sizeof(a), "%d", listener);
    snprintf(b, sizeof(b), "%d", conn);
    engine_files_limit();
    execve(program, argv, env);
    _exit(126);
}

static int keeper_spawn(void)
{
    int listener = keeper_listen(), pair[2], err;
    char *program = keeper_program();
    struct keep_head hello = {.type = KEEP_HELLO, .value = KEEP_VERSION};

    if (listener < 0 || access(program, X_OK) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        err = listener < 0 ? listener : -errno;
        engine_log("cannot start %s: %s", program, strerror(-err));
        if (listener >= 0)
            close(listener);
        free(program);
        return err;
    }
    fd_nonblock(pair[1]);
    keeper_pid = fork();
    if (keeper_pid == 0)
        keeper_child(program, listener, pair[1]);
    err = keeper_pid < 0 ? -errno : 0;
    close(listener);
    close(pair[1]);
    free(program);
    if (err) {
        close(pair[0]);
        return err;
    }
    keeper_use(pair[0]);
    err = keep_send(keeper.fd, &hello, NULL, NULL, NULL, 0);
    if (err)
        keeper_leave(); /* which ends it; the next start has another */
    return err;
}

int keeper_begin(void)
{
    return keeper.fd >= 0 ? 0 : keeper_spawn();
}

/* ---- what it tells --------------------------------------------------------------------------- */

static struct process *keeper_process(const struct keep_head *h)
{
    char id[KEEP_ID + 1] = {0};
    struct process *p;

    memcpy(id, h->id, KEEP_ID);
    p = map_find(&keeper_map, id);
    return p && p->run == h->run ? p : NULL;
}

/* No object of ours wants to know. A later engine may, of one that this one has left out. */
static void keeper_stranger(const struct keep_head *h)
{
    char id[KEEP_ID + 1] = {0};
    struct keep_head kill = {.type = KEEP_KILL, .value = SIGKILL};

    memcpy(id, h->flags & KEEP_EXEC ? h->owner : h->id, KEEP_ID);
    if (container_left_out(id))
        return;
    memcpy(id, h->id, KEEP_ID);
    memcpy(kill.id, h->id, KEEP_ID);
    if (h->type == KEEP_EXITED || h->flags & KEEP_DEAD)
        keeper_forget(id, h->run);
    else if (h->type == KEEP_PROCESS || h->type == KEEP_CLONED)
        keeper_send(&kill);
}

static void keeper_tell(struct keep_message *m)
{
    struct process *p = keeper_process(&m->head);

    if (!p) {
        keeper_stranger(&m->head);
        return;
    }
    switch (m->head.type) {
    case KEEP_CLONED:
        start_cloned(p, m);
        break;
    case KEEP_FAILED:
        start_failed(p, m->text);
        break;
    case KEEP_SAID:
        start_said(p, m);
        break;
    case KEEP_SILENT:
        start_silent(p, &m->head);
        break;
    case KEEP_EXITED:
        start_exited(p, &m->head);
        break;
    default:
        break;
    }
}

/* It has ended, and what it kept ends too: no other process would hear of its ends. One
 * that lives and does not speak to us is the next engine's. */
static void keeper_lost(void)
{
    int fd, err;

    keeper_leave();
    err = keeper_reach(&fd);
    if (err != -ESRCH)
        keeper_doubt("the keeper does not speak to this engine any more", err ? err : -ECONNRESET);
    engine_log("the keeper has ended: all containers end");
    keeper_pid = 0;
    processes_lost();
    if (!engine.stopping && keeper_spawn())
        engine_log("there is no keeper: no container can be started");
}

static void keeper_event(struct ev_source *s, uint32_t events)
{
    int r = keep_recv(s->fd, &keeper_message);

    if (r == -EAGAIN)
        return;
    if (r == 0 || is_end(r)) {
        keeper_lost();
        return;
    }
    if (r < 0)
        keeper_doubt("the keeper cannot be heard", r);
    keeper_tell(&keeper_message);
    keep_close_fds(&keeper_message);
}

bool keeper_reaped(pid_t pid)
{
    return pid == keeper_pid; /* the end of the conversation says the rest */
}

/* ---- finding --------------------------------------------------------------------------------- */

static void keeper_list_one(struct keep_message *m)
{
    struct process *p = m->head.flags & KEEP_EXEC ? exec_found(m) : container_found(m);

    if (!p) {
        keeper_stranger(&m->head);
        return;
    }
    p->run = m->head.run;
    map_put(&keeper_map, process_id(p), p);
    start_cloned(p, m);
    if (m->head.text)
        start_said(p, m);
    if (m->head.flags & KEEP_QUIET)
        start_silent(p, &m->head);
    if (m->head.flags & KEEP_DEAD)
        start_exited(p, &m->head);
}

/* All that it keeps, before anything else is done: 0 or -errno. */
static int keeper_list(int fd)
{
    struct keep_message *m = &keeper_message;
    struct pollfd poll_in = {fd, POLLIN, 0};
    int r;

    for (;;) {
        if (poll(&poll_in, 1, KEEPER_WAIT_S * 1000) <= 0)
            return -ETIMEDOUT;
        r = keep_recv(fd, m);
        if (r <= 0)
            return r ? r : -ECONNRESET;
        if (m->head.type == KEEP_WELCOME && m->head.value < 0) {
            engine_log("the keeper speaks version %d, this engine %d", -m->head.value,
                       KEEP_VERSION);
            return -EPROTONOSUPPORT;
        }
        if (m->head.type == KEEP_LISTED)
            return 0;
        if (m->head.type == KEEP_PROCESS)
            keeper_list_one(m);
        keep_close_fds(m);
    }
}

int keeper_find(void)
{
    int fd, err = keeper_reach(&fd);

    if (err)
        return err == -ESRCH ? 0 : err;
    keeper_use(fd);
    err = keeper_list(fd);
    if (!is_end(err))
        return err;
    keeper_leave(); /* in the midst */
    err = keeper_reach(&fd);
    if (err != -ESRCH)
        return err ? err : -ECONNRESET;
    processes_lost();
    return 0;
}

/* ---- what it is told ------------------------------------------------------------------------- */

static void keeper_say(const struct process *p, uint16_t type, int value)
{
    struct keep_head h = {.type = type, .value = value, .run = p->run};

    if (keeper.fd < 0 || !p->run)
        return;
    memcpy(h.id, process_id(p), KEEP_ID);
    keeper_send(&h);
}

void keeper_kill(const struct process *p, int sig)
{
    keeper_say(p, KEEP_KILL, sig);
}

void keeper_mark(const struct process *p, int mark)
{
    keeper_say(p, KEEP_MARK, mark);
}

void keeper_go(const struct process *p)
{
    keeper_say(p, KEEP_GO, 0);
}

void keeper_close_in(struct process *p)
{
    if (!p->in_ours)
        keeper_say(p, KEEP_CLOSE_IN, 0);
    p->in_ours = true;
}

void keeper_forget(const char *id, uint64_t run)
{
    struct keep_head h = {.type = KEEP_FORGET, .run = run};

    memcpy(h.id, id, KEEP_ID);
    if (keeper.fd >= 0 && run)
        keeper_send(&h);
}

/* One that is longer than a message is a file without a name. */
static int order_file(const struct buf *order)
{
    int fd = memfd_create("order", MFD_CLOEXEC), err;

    if (fd < 0)
        return -errno;
    err = write_all(fd, order->data, order->len);
    if (err)
        close(fd);
    return err ? err : fd;
}

/* Later than any before it, of this engine or another. */
static uint64_t keeper_run(void)
{
    static uint64_t last;
    struct timespec now;
    uint64_t run;

    engine_now(&now);
    run = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    last = run > last ? run : last + 1;
    return last;
}

int keeper_start(struct process *p, const struct keep_head *how, struct jw *note,
                 const struct buf *order, int group)
{
    struct keep_head h = *how;
    int fds[2], n = 0, file = -1, err;

    if (files_short(KEEPER_SPARE))
        return -EMFILE;
    if (keeper.fd < 0 && keeper_spawn())
        return -ESRCH;
    if (note->out->len > KEEP_NOTE_MAX || order->len > ORDER_MAX)
        return -E2BIG;
    if (order->len > KEEP_TEXT_MAX && (file = order_file(order)) < 0)
        return file;
    p->run = h.run = keeper_run();
    h.type = KEEP_START;
    h.note = (uint32_t)note->out->len;
    h.text = file < 0 ? (uint32_t)order->len : 0;
    h.flags |= (group >= 0 ? KEEP_GROUP : 0) | (file >= 0 ? KEEP_ORDER : 0);
    memcpy(h.id, process_id(p), KEEP_ID);
    if (group >= 0)
        fds[n++] = group;
    if (file >= 0)
        fds[n++] = file;
    err = keep_send(keeper.fd, &h, note->out->data, order->data, fds, n);
    if (file >= 0)
        close(file);
    if (err == -EAGAIN)
        keeper_doubt("the keeper does not hear", -ETIMEDOUT);
    if (err)
        p->run = 0;
    else
        map_put(&keeper_map, process_id(p), p);
    return err;
}

void keeper_close_out(const struct process *p)
{
    keeper_say(p, KEEP_CLOSE_OUT, 0);
}

void keeper_drop(struct process *p)
{
    if (map_find(&keeper_map, process_id(p)) == p)
        map_remove(&keeper_map, process_id(p));
}

/* ---- the end --------------------------------------------------------------------------------- */

void keeper_end(void)
{
    struct keep_head end = {.type = KEEP_END};
    const struct timeval wait = {KEEPER_WAIT_S, 0};
    char *path = str_fmt("%s/" KEEP_SOCKET, engine.root);

    unlink(path);
    free(path);
    if (keeper.fd < 0)
        return;
    setsockopt(keeper.fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (!keep_send(keeper.fd, &end, NULL, NULL, NULL, 0))
        while (keep_recv(keeper.fd, &keeper_message) > 0)
            keep_close_fds(&keeper_message);
    if (keeper_pid <= 0)
        return;
    for (int ms = 0; ms < KEEPER_WAIT_S * 1000; ms += 10) {
        if (waitpid(keeper_pid, NULL, WNOHANG))
            return;
        usleep(10000);
    }
    engine_log("the keeper does not end: it is killed");
    kill(keeper_pid, SIGKILL);
    waitpid(keeper_pid, NULL, 0);
}

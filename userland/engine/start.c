// SPDX-License-Identifier: MIT
// Starting a process: from a spec to a clone whose program runs.
//
// One socket pair carries the start-up conversation. The engine writes one byte when the child may
// go on (only where the clone could not place it in its control group); the child sends the pty's
// master, if there is one, and on failure one sentence. The descriptor closes on exec: an end
// without a sentence means that the program runs.
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/rootfs.h"
#include "lib/str.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#define CLONE_INTO_CGROUP_FLAG 0x200000000ull
#define NS_TRIES 1000 /* a millisecond each */

/* struct clone_args of Linux's uapi sched.h, version 2 (88 bytes). */
struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size, cgroup;
};

struct start {
    struct process *p;
    struct domain domain;
    int sync[2], in[2], out[2], err[2];
};

static void fd_drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void start_close(struct start *s)
{
    for (int i = 0; i < 2; i++) {
        fd_drop(&s->sync[i]);
        fd_drop(&s->in[i]);
        fd_drop(&s->out[i]);
        fd_drop(&s->err[i]);
    }
}

static int start_pipes(struct start *s, bool want_in)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->sync) < 0)
        return -errno;
    if (s->domain.child.spec->tty)
        return 0;
    if (pipe2(s->out, O_CLOEXEC) < 0 || pipe2(s->err, O_CLOEXEC) < 0)
        return -errno;
    if (want_in && pipe2(s->in, O_CLOEXEC) < 0)
        return -errno;
    s->domain.child.in = s->in[0];
    s->domain.child.out = s->out[1];
    s->domain.child.err = s->err[1];
    return 0;
}

pid_t clone_into(int group, uint64_t flags, bool *placed)
{
    *placed = group >= 0;
    if (group >= 0) {
        struct clone3_args args = {.flags = flags | CLONE_INTO_CGROUP_FLAG,
                                   .exit_signal = SIGCHLD,
                                   .cgroup = (uint64_t)group};
        pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

        if (pid >= 0)
            return pid;
    }
    *placed = false;
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* The child waits for a word where it is not in its control group yet. Elsewhere it goes first: on
 * one processor the starter's bookkeeping would be in its way, and the pages that both have are
 * copied for whichever of them writes before the other has let go of them. */
static pid_t start_clone(struct start *s, int group, uint64_t flags, bool *placed)
{
    pid_t pid = clone_into(group, flags, placed);

    if (!*placed)
        s->domain.wait_go = true;
    else if (pid > 0)
        sched_yield();
    return pid;
}

/* The conversation is over: hands the outcome up. A child that could not start is waited for
 * first, so that its control group is empty when the failure is told. May free p. */
static void start_finish(struct process *p)
{
    char *error = NULL;

    if (p->error.len && !p->reaped)
        return;
    if (p->error.len)
        error = buf_take(&p->error);
    else
        p->started = true;
    if (!error)
        process_resume(p);
    if (p->x)
        exec_started(p, error);
    else
        start_done(p, error);
    if (!error && p->reaped)
        process_finish(p);
    free(error);
}

void start_reaped(struct process *p)
{
    if (p->sync.fd < 0)
        start_finish(p);
}

/* What a VMM says once the clone has become one: 1, the application runs; 2, the guest killed some
 * of it for want of memory. False for anything else. */
static bool start_vm_marks(struct process *p, const char *text, long n)
{
    for (long i = 0; i < n; i++)
        if (text[i] != 1 && text[i] != 2)
            return false;
    if (memchr(text, 2, (size_t)n))
        p->vm_oom = true;
    if (memchr(text, 1, (size_t)n) && !p->started)
        start_finish(p);
    return true;
}

void start_last_words(struct process *p)
{
    char text[64];
    ssize_t n = p->sync.fd < 0 ? 0 : recv(p->sync.fd, text, sizeof(text), MSG_DONTWAIT);

    if (n > 0)
        start_vm_marks(p, text, n);
}

/* A message from the child: text, or the pty's master as a passed descriptor. */
static void start_event(struct ev_source *src, uint32_t events)
{
    struct process *p = (struct process *)((char *)src - offsetof(struct process, sync));
    char text[2048];
    int master;
    long n = child_listen(src->fd, text, sizeof(text), &master);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (master >= 0 && (!p->tty || p->out.fd >= 0)) {
        close(master); /* not asked for: a VMM may have come into its guest's hands */
        return;
    }
    if (master >= 0) {
        p->out.fd = master;
        p->in.fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
        process_watch(p);
        return; /* the byte that carried it says nothing */
    }
    if (n > 0 && p->c->runtime == RUNTIME_VM && start_vm_marks(p, text, n))
        return;
    if (n > 0 && p->error.len < 65536) {
        buf_add(&p->error, text, (size_t)n);
        return;
    }
    ev_del(&p->sync);
    close(p->sync.fd);
    p->sync.fd = -1;
    if (p->c->runtime == RUNTIME_VM && !p->started && !p->error.len)
        buf_str(&p->error, "the virtual machine ended before its program ran");
    if (!p->started)
        start_finish(p);
}

static int start_ns_open(pid_t target, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)target, name);
    return openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

/* An exec's child is born in the container's pid namespace: we enter it for the moment of the
 * clone. Opens the others for the child. The way back, or -errno. */
static int start_ns_enter(struct start *s, pid_t target)
{
    int own = openat(AT_FDCWD, "/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    int theirs = start_ns_open(target, "pid"), err = own < 0 || theirs < 0 ? -errno : 0;

    for (int i = 0; i < CHILD_NS && !err; i++) {
        s->domain.ns[i] = start_ns_open(target, child_ns_names[i]);
        err = s->domain.ns[i] < 0 ? -errno : 0;
    }
    if (!err && setns(theirs, CLONE_NEWPID) < 0)
        err = -errno;
    fd_drop(&theirs);
    if (err)
        fd_drop(&own);
    return err ? err : own;
}

/* With no way back all that the engine starts would be that container's, and end with it: the
 * engine ends instead. */
static void start_ns_leave(struct start *s, int own)
{
    for (int tries = 0; own >= 0 && setns(own, CLONE_NEWPID) < 0; tries++) {
        if (errno != ENOMEM || tries == NS_TRIES) {
            engine_log("cannot leave a container's pid namespace: %s", strerror(errno));
            _exit(124);
        }
        usleep(1000);
    }
    fd_drop(&own);
    for (int i = 0; i < CHILD_NS; i++)
        fd_drop(&s->domain.ns[i]);
}

/* `group` is the control group's descriptor, or negative: it stays the caller's. */
static char *start_process(struct process *p, struct spec *spec, int group, uint64_t flags,
                           pid_t target)
{
    struct start s = {.p = p, .sync = {-1, -1}, .in = {-1, -1}, .out = {-1, -1}, .err = {-1, -1}};
    bool want_in = p->x ? p->x->attach_in : spec->open_stdin, placed;
    int err, own_pid_ns = -1;
    pid_t pid;

    s.domain = (struct domain){.child = {.spec = spec,
                                         .room = &p->c->room,
                                         .is_exec = p->x != NULL,
                                         .in = -1,
                                         .out = -1,
                                         .err = -1},
                               .c = p->c,
                               .new_net = flags & CLONE_NEWNET,
                               .ns = {-1, -1, -1, -1, -1}};
    err = start_pipes(&s, want_in);
    if (err) {
        start_close(&s);
        return str_fmt("cannot make pipes: %s", strerror(-err));
    }
    s.domain.child.sync = s.sync[1];
    if (p->x) {
        own_pid_ns = start_ns_enter(&s, target);
        if (own_pid_ns < 0) {
            start_ns_leave(&s, -1);
            start_close(&s);
            return str_fmt("cannot open the container's namespaces: %s", strerror(-own_pid_ns));
        }
    }
    seccomp_prepare(p->c->runtime == RUNTIME_VM ? 0 : spec->caps);
    /* an exec's child stands among the container's processes from its birth */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    pid = start_clone(&s, group, flags, &placed);
    if (pid == 0)
        domain_child(&s.domain);
    err = errno;
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    start_ns_leave(&s, own_pid_ns);
    if (pid < 0) {
        start_close(&s);
        return str_fmt("cannot clone: %s", strerror(err));
    }
    p->pid = pid;
    if (!placed) {
        err = cgroup_add(p->c, pid);
        if (err) {
            buf_fmt(&p->error, "cannot enter the control group: %s", str_error(-err));
            kill(pid, SIGKILL);
        } else {
            send(s.sync[0], "G", 1, MSG_NOSIGNAL); /* it may be dead: its end is seen below */
        }
    }
    p->sync = (struct ev_source){.fd = s.sync[0], .fn = start_event};
    p->in.fd = s.in[1];
    p->out.fd = s.out[0];
    p->err.fd = s.err[0];
    s.sync[0] = s.in[1] = s.out[0] = s.err[0] = -1;
    start_close(&s);
    ev_set(&p->sync, EPOLLIN);
    process_watch(p);
    return NULL;
}

static uint64_t start_flags(const struct container *c)
{
    const char *net = json_str(c->host, "NetworkMode");
    uint64_t flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;

    return net && !strcmp(net, "host") ? flags : flags | CLONE_NEWNET;
}

char *container_clone(struct container *c)
{
    int group, dir = container_dir(c), err = dir < 0 ? dir : etc_files_write(dir, &c->room);
    char *why = err ? str_fmt("cannot write the container's files: %s", str_error(-err))
                    : cgroup_create(c, &group);

    if (!why)
        log_open(c, dir);
    if (dir >= 0)
        close(dir);
    if (why)
        return why;
    if (!c->proc)
        c->proc = process_new(c, NULL);
    why = start_process(c->proc, &c->spec, group, start_flags(c), 0);
    if (group >= 0)
        close(group);
    if (!why)
        c->pid = c->proc->pid;
    return why;
}

char *exec_start(struct exec *x)
{
    char *why;
    int group;

    if (!x->c->proc || x->c->proc->reaped) /* its number may be another's */
        return str_dup("the container has ended");
    group = cgroup_open(x->c);
    why = start_process(x->proc, &x->spec, group, 0, x->c->pid);
    if (group >= 0)
        close(group);
    if (!why)
        x->pid = x->proc->pid;
    return why;
}

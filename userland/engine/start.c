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
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/str.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#define CLONE_INTO_CGROUP_FLAG 0x200000000ull

/* struct clone_args of Linux's uapi sched.h, version 2 (88 bytes). */
struct clone3_args {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size, cgroup;
};

struct start {
    struct process *p;
    struct child child;
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
    if (s->child.spec->tty)
        return 0;
    if (pipe2(s->out, O_CLOEXEC) < 0 || pipe2(s->err, O_CLOEXEC) < 0)
        return -errno;
    if (want_in && pipe2(s->in, O_CLOEXEC) < 0)
        return -errno;
    s->child.in = s->in[0];
    s->child.out = s->out[1];
    s->child.err = s->err[1];
    return 0;
}

/* Clones with the child placed in the control group, where the kernel can; otherwise the caller
 * places it (*placed is false). 0 in the child. */
static pid_t start_clone(struct start *s, uint64_t flags, bool *placed)
{
    int cgroup = cgroup_open(s->p->c);
    pid_t pid = -1;

    *placed = true;
    if (cgroup >= 0) {
        struct clone3_args args = {.flags = flags | CLONE_INTO_CGROUP_FLAG,
                                   .exit_signal = SIGCHLD,
                                   .cgroup = (uint64_t)cgroup};

        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid == 0)
            return 0;
        close(cgroup);
        if (pid > 0)
            return pid;
    }
    *placed = false;
    s->child.wait_go = true;
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
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
        process_watch(p);
    if (p->x)
        exec_started(p, error);
    else
        start_done(p, error);
    if (!error && p->reaped)
        process_reap(p->pid, p->status);
    free(error);
}

void start_reaped(struct process *p)
{
    if (p->sync.fd < 0)
        start_finish(p);
}

/* A message from the child: text, or the pty's master as a passed descriptor. */
static void start_event(struct ev_source *src, uint32_t events)
{
    struct process *p = (struct process *)((char *)src - offsetof(struct process, sync));
    char text[2048], control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {text, sizeof(text)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(src->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *cm = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0 && cm && cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS) {
        memcpy(&p->out.fd, CMSG_DATA(cm), sizeof(int));
        p->in.fd = fcntl(p->out.fd, F_DUPFD_CLOEXEC, 3);
        return; /* the byte that carried it says nothing */
    }
    if (n > 0 && p->error.len < 65536) {
        buf_add(&p->error, text, (size_t)n);
        return;
    }
    ev_del(&p->sync);
    close(p->sync.fd);
    p->sync.fd = -1;
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
        s->child.ns[i] = start_ns_open(target, child_ns_names[i]);
        err = s->child.ns[i] < 0 ? -errno : 0;
    }
    if (!err && setns(theirs, CLONE_NEWPID) < 0)
        err = -errno;
    fd_drop(&theirs);
    if (err)
        fd_drop(&own);
    return err ? err : own;
}

static void start_ns_leave(struct start *s, int own)
{
    if (own >= 0 && setns(own, CLONE_NEWPID) < 0)
        engine_log("cannot leave a container's pid namespace: %s", strerror(errno));
    fd_drop(&own);
    for (int i = 0; i < CHILD_NS; i++)
        fd_drop(&s->child.ns[i]);
}

static char *start_process(struct process *p, struct spec *spec, uint64_t flags, pid_t target)
{
    struct start s = {.p = p, .sync = {-1, -1}, .in = {-1, -1}, .out = {-1, -1}, .err = {-1, -1}};
    bool want_in = p->x ? p->x->attach_in : spec->open_stdin, placed;
    int err, own_pid_ns = -1;
    pid_t pid;

    s.child = (struct child){.c = p->c,
                             .spec = spec,
                             .is_exec = p->x != NULL,
                             .new_net = flags & CLONE_NEWNET,
                             .in = -1,
                             .out = -1,
                             .err = -1,
                             .ns = {-1, -1, -1, -1, -1}};
    err = start_pipes(&s, want_in);
    if (err) {
        start_close(&s);
        return str_fmt("cannot make pipes: %s", strerror(-err));
    }
    s.child.sync = s.sync[1];
    if (p->x) {
        own_pid_ns = start_ns_enter(&s, target);
        if (own_pid_ns < 0) {
            start_ns_leave(&s, -1);
            start_close(&s);
            return str_fmt("cannot open the container's namespaces: %s", strerror(-own_pid_ns));
        }
    }
    seccomp_prepare(spec->caps);
    pid = start_clone(&s, flags, &placed);
    if (pid == 0)
        domain_child(&s.child);
    err = errno;
    start_ns_leave(&s, own_pid_ns);
    if (pid < 0) {
        start_close(&s);
        return str_fmt("cannot clone: %s", strerror(err));
    }
    p->pid = pid;
    if (!placed) {
        err = cgroup_add(p->c, pid);
        if (err || send(s.sync[0], "G", 1, MSG_NOSIGNAL) != 1)
            engine_log("cannot place %d in its control group: %s", (int)pid, strerror(-err));
        if (err)
            kill(pid, SIGKILL);
    }
    p->sync = (struct ev_source){.fd = s.sync[0], .fn = start_event};
    p->in.fd = s.in[1];
    p->out.fd = s.out[0];
    p->err.fd = s.err[0];
    s.sync[0] = s.in[1] = s.out[0] = s.err[0] = -1;
    start_close(&s);
    ev_set(&p->sync, EPOLLIN);
    return NULL;
}

/* resolv.conf, hosts and hostname as the container will see them. */
static int start_files(struct container *c)
{
    static const char *const names[] = {"hostname", "hosts", "resolv.conf"};
    int err = 0;

    for (int i = 0; i < 3 && !err; i++) {
        char *path = container_path(c, names[i]);
        struct buf b = {0};

        if (i == 0)
            buf_fmt(&b, "%s\n", c->hostname);
        else if (i == 1)
            buf_fmt(&b,
                    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
                    "127.0.1.1\t%s\n",
                    c->hostname);
        err = file_write(path, b.data ? b.data : "", b.len, 0644);
        buf_free(&b);
        free(path);
    }
    return err;
}

static uint64_t start_flags(const struct container *c)
{
    const char *net = json_str(c->host, "NetworkMode");
    uint64_t flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;

    return net && !strcmp(net, "host") ? flags : flags | CLONE_NEWNET;
}

char *container_start(struct container *c)
{
    char *why = c->runtime == RUNTIME_VM ? runtime_vm_prepare(c) : NULL;
    int err;

    if (why)
        return why;
    err = start_files(c);
    if (err)
        return str_fmt("cannot write the container's files: %s", strerror(-err));
    if (cgroup_create(c, &why))
        return why;
    log_open(c);
    if (!c->proc)
        c->proc = process_new(c, NULL);
    c->oom_killed = false;
    free(c->error);
    c->error = NULL;
    why = start_process(c->proc, &c->spec, start_flags(c), 0);
    if (why) {
        cgroup_remove(c);
        return why;
    }
    c->state = C_STARTING;
    c->pid = c->proc->pid;
    return NULL;
}

char *exec_start(struct exec *x)
{
    char *why;

    why = start_process(x->proc, &x->spec, 0, x->c->pid);
    if (!why)
        x->pid = x->proc->pid;
    return why;
}

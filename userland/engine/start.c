// SPDX-License-Identifier: MIT
// Starting a process: from a spec to an order for the keeper, and what the keeper tells of it.
//
// The child is the keeper's: it sends the pty's master, if there is one, and on failure one
// sentence; its conversation ends on exec. An end without a sentence means that the program runs.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/process.h"
#include "lib/str.h"
#include "runtime/order.h"
#include "runtime/rootfs.h"

#define ERROR_MAX 65536

/* The conversation is over: hands the outcome up. A child that could not start is waited for
 * first, so that its control group is empty when the failure is reported. May free p. */
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

static void start_pid(struct process *p, pid_t pid)
{
    p->pid = pid;
    if (p->x)
        p->x->pid = pid;
    else
        p->c->pid = pid;
}

/* A process has ended its conversation without a word, or with one. */
void start_silent(struct process *p, const struct keep_head *h)
{
    p->silent = true;
    start_pid(p, h->pid);
    if (p->c->runtime == RUNTIME_VM && !p->started && !p->error.len)
        buf_str(&p->error, "the virtual machine ended before its program ran");
    if (!p->started)
        start_finish(p);
}

static void start_text(struct process *p, const char *text, size_t n)
{
    if (!n || (p->c->runtime == RUNTIME_VM && start_vm_marks(p, text, (long)n)))
        return;
    if (p->error.len < ERROR_MAX)
        buf_add(&p->error, text, n);
}

void start_said(struct process *p, struct keep_message *m)
{
    int master = keep_take_fd(m, KEEP_HAS_OUT);

    if (master >= 0 && p->out.fd < 0) {
        p->out.fd = master;
        p->in.fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
        process_watch(p);
    } else if (master >= 0) {
        close(master);
    }
    start_text(p, m->text, m->head.text);
}

/* It stands beside its control group, and waits. */
static void start_place(struct process *p)
{
    int err = cgroup_add(p->c, p->pid);

    if (!err) {
        keeper_go(p);
        return;
    }
    buf_fmt(&p->error, "cannot enter the control group: %s", str_error(-err));
    keeper_kill(p, SIGKILL);
}

void start_cloned(struct process *p, struct keep_message *m)
{
    int *fds[] = {&p->out.fd, &p->err.fd, &p->in.fd};
    static const uint32_t which[] = {KEEP_HAS_OUT, KEEP_HAS_ERR, KEEP_HAS_IN};

    start_pid(p, m->head.pid);
    p->born = (struct timespec){m->head.born / 1000000000, m->head.born % 1000000000};
    p->in_ours = m->head.flags & KEEP_IN_ONCE;
    for (int i = 0; i < 3; i++)
        *fds[i] = keep_take_fd(m, which[i]);
    if (p->tty && p->out.fd >= 0)
        p->in.fd = fcntl(p->out.fd, F_DUPFD_CLOEXEC, 3);
    process_watch(p);
    if (m->head.flags & KEEP_UNPLACED)
        start_place(p);
}

void start_failed(struct process *p, const char *why)
{
    p->reaped = p->silent = true;
    buf_str(&p->error, why);
    start_finish(p);
}

void start_exited(struct process *p, const struct keep_head *h)
{
    if (p->reaped)
        return;
    p->reaped = true;
    p->status = h->status;
    p->died = (struct timespec){h->died / 1000000000, h->died % 1000000000};
    if (p->started)
        process_finish(p);
    else if (p->silent)
        start_finish(p); /* which finishes it if the program has run */
}

/* ---- orders ---------------------------------------------------------------------------------- */

/* Directories of layers, the topmost first. */
static char **start_lowers(const struct image *img, bool based)
{
    char **v = mem_alloc(((size_t)img->nlayers + 2) * sizeof(char *));
    size_t n = 0;

    for (int i = img->nlayers; i-- > 0;)
        if (!image_layer_again(img, i))
            v[n++] = (char *)img->layers[i]->dir;
    if (based)
        v[n] = "../base";
    return v;
}

static uint64_t start_files(void)
{
    return (uint64_t)(uint32_t)engine.files.rlim_cur |
           (engine.files.rlim_max < UINT32_MAX ? engine.files.rlim_max : UINT32_MAX) << 32;
}

/* The process is asked for: `o` has what is the main process's alone. */
static char *start_process(struct process *p, struct order *o, struct keep_head *how,
                           const char *note, int group)
{
    struct buf text = {0}, note_text = {0};
    struct jw w = {.out = &note_text};
    const struct spec *s = &o->spec;
    int err;

    o->shared = p->c->shared;
    o->files = start_files();
    how->value = o->shared.oom_score_adj;
    how->caps = p->c->runtime == RUNTIME_VM ? 0 : s->caps;
    if (p->c->runtime == RUNTIME_VM || (!s->privileged && !s->seccomp_off))
        how->flags |= KEEP_FILTER;
    if (s->tty)
        how->flags |= KEEP_TTY;
    memcpy(how->owner, p->c->id, KEEP_ID);
    order_write(&text, o);
    buf_str(&note_text, note);
    err = keeper_start(p, how, &w, &text, group);
    buf_free(&text);
    buf_free(&note_text);
    return err ? str_fmt("cannot ask the keeper for a process: %s", str_error(-err)) : NULL;
}

static uint64_t start_flags(const struct container *c)
{
    uint64_t flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;

    return container_host_net(c) ? flags : flags | CLONE_NEWNET;
}

static char *start_main(struct container *c, int group)
{
    struct keep_head how = {.clone = start_flags(c),
                            .flags = (c->spec.open_stdin ? KEEP_WANT_IN : 0) |
                                     (process_claims_input(c->proc) ? KEEP_IN_ONCE : 0)};
    struct order o = {.spec = c->spec,
                      .first = !c->started.tv_sec,
                      .new_net = how.clone & CLONE_NEWNET,
                      .devices = c->devices,
                      .ndevices = c->ndevices,
                      .vm = c->runtime == RUNTIME_VM};
    char note[32], *why;

    if (o.vm) {
        runtime_vm_order(c, &o);
    } else {
        o.layers = str_fmt("%s/layers", engine.root);
        o.based = image_has_base(c->image);
        o.lowers = start_lowers(c->image, o.based);
        o.own = str_fmt("../containers/%s", c->id);
    }
    snprintf(note, sizeof(note), "%u", c->group);
    why = start_process(c->proc, &o, &how, note, group);
    free(o.layers);
    free(o.lowers);
    free(o.own);
    free(o.initrd);
    free(o.config);
    return why;
}

char *container_clone(struct container *c)
{
    int group, dir = container_dir(c);
    int err = dir < 0 ? dir : etc_files_write(dir, &c->shared, container_host_net(c));
    char *why;

    err = err ? err : log_open(c, dir); /* closed with the start that fails */
    if (!err)
        log_flush(c); /* what is left of an earlier run is a line of its own */
    why = err ? str_fmt("cannot write the container's files: %s", str_error(-err))
              : cgroup_create(c, &group);
    if (dir >= 0)
        close(dir);
    if (why)
        return why;
    if (!c->proc)
        c->proc = process_new(c, NULL);
    why = start_main(c, group);
    if (group >= 0)
        close(group);
    return why;
}

/* An exec's input is its client's: it ends with the engine, as the client does. */
char *exec_start(struct exec *x)
{
    struct keep_head how = {.flags = KEEP_EXEC | KEEP_IN_ONCE | (x->attach_in ? KEEP_WANT_IN : 0)};
    struct order o = {.spec = x->spec, .is_exec = true};
    char *why, *note;
    int group;

    if (!x->c->proc || x->c->proc->reaped) /* its number may be another's */
        return str_dup("the container has ended");
    group = cgroup_open(x->c);
    note = exec_note(x);
    why = start_process(x->proc, &o, &how, note, group);
    free(note);
    if (group >= 0)
        close(group);
    return why;
}

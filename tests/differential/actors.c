/* SPDX-License-Identifier: MIT
 *
 * The processes that the director's operations run in: see actors.h.
 */
#include "actors.h"
#include "differential.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOTES = 32, SETTLE_ROUNDS = 20000, TICKS = 10 };

struct note {
    int sig, code, value;
    pid_t sender;
};

/* Written by its process alone, but for the director's resets while that is at rest. */
struct actor {
    pid_t pid; /* 0: none yet */
    bool idle; /* waits for an operation */
    bool child_note;
    unsigned long sleeps; /* the director's: when it was last at rest within an operation */
    unsigned notes;
    struct note note[NOTES];
    struct line line;
};

static struct stage {
    pid_t director;
    const struct operation *operation;
    struct actor actors[ACTORS];
} * stage;

static int calls[ACTORS][2]; /* a byte: run stage->operation */
static unsigned self;

unsigned actor_self(void)
{
    return self;
}

pid_t actor_pid(unsigned n)
{
    return stage->actors[n].pid;
}

unsigned actor_any(void)
{
    unsigned n = below(ACTORS);

    say(" a%u", n);
    return n;
}

void say_process(pid_t pid)
{
    for (unsigned i = 0; i < ACTORS; i++)
        if (pid > 0 && stage->actors[i].pid == pid) {
            say(" a%u", i);
            return;
        }
    say(" %s", pid == stage->director ? "director" : pid > 0 ? "another" : pid ? "-1" : "0");
}

/* When a child ends or stops is its own time: that SIGCHLD came is said, not which and how often.
 */
void actor_note_signal(int sig, siginfo_t *info, void *context)
{
    struct actor *a = &stage->actors[self];

    if (sig == SIGCHLD)
        a->child_note = true;
    else if (a->notes < NOTES)
        a->note[a->notes++] = (struct note){
            sig, info->si_code, info->si_code == SI_QUEUE ? info->si_value.sival_int : 0,
            info->si_code <= 0 ? info->si_pid : 0};
}

/* R, S, T, Z and so on; '-' for a process that is gone. */
static char state_of(pid_t pid)
{
    char name[32], text[128] = "", state = '-', *end;
    int fd;

    snprintf(name, sizeof(name), "/proc/%d/stat", pid);
    fd = pid ? open(name, O_RDONLY) : -1;
    if (fd < 0)
        return state;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    end = n > 0 ? strrchr(text, ')') : NULL;
    if (end && end[1])
        state = end[2];
    close(fd);
    return state;
}

unsigned actor_free(void)
{
    unsigned n = 0;

    while (n < ACTORS && state_of(stage->actors[n].pid) != '-')
        n++;
    return n;
}

static _Noreturn void actor_work(void)
{
    struct actor *a = &stage->actors[self];
    char byte;

    for (;;) {
        a->idle = true;
        if (read(calls[self][0], &byte, 1) == 1) {
            a->idle = false;
            stage->operation->run();
        }
    }
}

void actor_fork(unsigned n)
{
    struct actor *a = &stage->actors[n];

    a->idle = false;
    a->line.used = 0;
    a->child_note = false;
    a->notes = 0;
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    a->pid = pid ? pid : getpid();
    if (pid)
        return;
    self = n;
    say_into(&a->line);
    if (getppid() == stage->director)
        setpgid(0, 0);
    actor_work();
}

/* --- the director --- */

/* How many want a processor, the director among them. */
static int runnable(void)
{
    char text[128] = "";
    int fd = open("/proc/loadavg", O_RDONLY), n = 0;

    if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0 || sscanf(text, "%*s %*s %*s %d", &n) != 1)
        die("loadavg");
    close(fd);
    return n;
}

/* States alone do not tell: one that is about to sleep is called so while it still runs. */
static bool at_rest(void)
{
    if (runnable() > 1)
        return false;
    for (unsigned i = 0; i < ACTORS; i++)
        if (!strchr("STZ-", state_of(stage->actors[i].pid)))
            return false;
    return true;
}

/* How often a process has slept. */
static unsigned long sleeps_of(pid_t pid)
{
    static const char key[] = "\nvoluntary_ctxt_switches:";
    char name[32], text[4096] = "", *found;
    int fd;

    snprintf(name, sizeof(name), "/proc/%d/status", pid);
    fd = open(name, O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    found = n > 0 ? strstr(text, key) : NULL;
    close(fd);
    return found ? strtoul(found + sizeof(key) - 1, NULL, 10) : 0;
}

/* A kernel may sleep for a tick in a call that does not wait for anything: who has slept since the
 * last operation gets some ticks to come to its end. True when somebody did. */
static bool settle_calls(void)
{
    bool any = false;

    for (unsigned i = 0; i < ACTORS; i++) {
        struct actor *a = &stage->actors[i];
        if (a->idle || state_of(a->pid) != 'S' || sleeps_of(a->pid) == a->sleeps)
            continue;
        for (unsigned t = 0; t < TICKS && !a->idle && state_of(a->pid) == 'S'; t++)
            usleep(1000);
        a->sleeps = sleeps_of(a->pid);
        any = true;
    }
    return any;
}

/* Twice in a row: one that only just went to sleep may have woken one already looked at. */
static void settle(void)
{
    unsigned quiet = 0;

    for (unsigned i = 0; i < SETTLE_ROUNDS && quiet < 2; i++) {
        quiet = at_rest() ? quiet + 1 : 0;
        sched_yield();
    }
    if (quiet < 2)
        say(" unsettled");
}

static void say_notes(struct actor *a)
{
    for (unsigned i = 0; i < a->notes; i++) {
        const struct note *n = &a->note[i];
        say(" signal %d code %d value %d from", n->sig, n->code, n->value);
        say_process(n->sender);
    }
    if (a->child_note)
        say(" SIGCHLD");
    a->notes = 0;
    a->child_note = false;
}

/* Once its operation has ended. What that said is lost where its actor died: how far it got is the
 * scheduler's business. */
static void say_actor(unsigned n)
{
    struct actor *a = &stage->actors[n];

    if (!a->idle || !strchr("ST", state_of(a->pid)) || !(a->line.used || a->notes || a->child_note))
        return;
    say(" | a%u:%s", n, a->line.used ? a->line.text : "");
    a->line.used = 0;
    say_notes(a);
}

/* The director's dead, in the order of their places. */
static void reap(void)
{
    for (unsigned i = 0; i < ACTORS; i++) {
        pid_t pid = stage->actors[i].pid;
        int status;
        if (pid && waitpid(pid, &status, WNOHANG) == pid)
            say(" | reaped a%u %x", i, status);
    }
}

static void say_all(void)
{
    settle();
    if (settle_calls())
        settle();
    for (unsigned i = 0; i < ACTORS; i++)
        say_actor(i);
    reap();
    say(" |");
    for (unsigned i = 0; i < ACTORS; i++) {
        char state = state_of(stage->actors[i].pid);
        say(" %c%s", state, state == 'S' && !stage->actors[i].idle ? "!" : "");
    }
}

static bool can_run(unsigned n)
{
    return stage->actors[n].idle && state_of(stage->actors[n].pid) == 'S';
}

/* When none can run: a new one, or else one of those that cannot gives up its place. */
static void make_space(void)
{
    unsigned n = actor_free();

    if (n < ACTORS) {
        say(" director forks a%u", n);
        actor_fork(n);
    } else {
        n = below(ACTORS);
        say(" director kills a%u", n);
        kill(stage->actors[n].pid, SIGKILL);
    }
    say_all();
}

void program_run(const struct operation *o)
{
    unsigned first = below(ACTORS), n = first;

    while (!can_run(n)) {
        n = (n + 1) % ACTORS;
        if (n == first) {
            make_space();
            return;
        }
    }
    say(" by a%u", n);
    stage->operation = o;
    if (write(calls[n][1], "", 1) != 1)
        die("call");
    say_all();
}

void actors_begin(unsigned count)
{
    stage = shared_memory(sizeof(*stage));
    stage->director = getpid();
    self = ACTORS;
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (unsigned i = 0; i < ACTORS; i++)
        if (pipe(calls[i]))
            die("pipe");
    for (unsigned i = 0; i < count; i++)
        actor_fork(i);
    settle();
}

void actors_end(void)
{
    for (unsigned i = 0; i < ACTORS; i++)
        if (state_of(stage->actors[i].pid) != '-')
            kill(stage->actors[i].pid, SIGKILL);
    while (wait(NULL) > 0)
        ;
}

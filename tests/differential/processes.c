/* SPDX-License-Identifier: MIT
 *
 * Signals, process groups, sessions, children: sent, blocked, handled, stopped, waited for.
 */
#include "actors.h"
#include "differential.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_ACTORS = 3 };

/* --- choices, each said --- */

static int signal_any(void)
{
    static const int signals[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGUSR1, SIGUSR2, SIGALRM,
                                  SIGTERM, SIGCHLD, SIGCONT,  SIGCONT, SIGSTOP, SIGTSTP,
                                  SIGTTIN, SIGURG,  SIGWINCH, SIGKILL, SIGSYS,  0,
                                  65,      -1,      36,       37};
    int sig = ONE_OF(signals);

    say(" signal %d", sig);
    return sig;
}

/* To a group, whose members' order of dying would show: nothing that kills by default. */
static int signal_mild(void)
{
    static const int signals[] = {SIGCONT, SIGSTOP, SIGTSTP, SIGURG, SIGWINCH, 0};
    int sig = ONE_OF(signals);

    say(" signal %d", sig);
    return sig;
}

static sigset_t signal_set(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (uint32_t n = below(4); n; n--)
        sigaddset(&set, signal_any());
    return set;
}

/* Signals 1 to 64, one bit each. */
static void say_set(const sigset_t *set)
{
    uint64_t bits;

    memcpy(&bits, set, sizeof(bits));
    say(" %lx", bits);
}

static pid_t process(void)
{
    return actor_pid(actor_any());
}

/* --- signals --- */

OPERATION(sigaction, 4)
{
    static const int flags[] = {0, SA_NODEFER, SA_RESETHAND, SA_NOCLDSTOP, SA_NOCLDWAIT};
    int sig = signal_any();
    struct sigaction act = {.sa_flags = SA_SIGINFO | ONE_OF(flags) | (one_in(3) ? 0 : SA_RESTART)};

    switch (below(5)) {
    case 0:
        act.sa_handler = SIG_IGN;
        break;
    case 1:
        act.sa_handler = SIG_DFL;
        break;
    default:
        act.sa_sigaction = actor_note_signal;
    }
    act.sa_mask = signal_set();
    say(" flags %x %s", act.sa_flags,
        act.sa_handler == SIG_IGN   ? "ignore"
        : act.sa_handler == SIG_DFL ? "default"
                                    : "handler");
    RESULT(sigaction(sig, &act, NULL));
}

OPERATION(sigprocmask, 3)
{
    int how = (int)below(4);
    sigset_t set = signal_set(), old;

    say(" how %d", how);
    sigemptyset(&old);
    RESULT(sigprocmask(how, &set, &old));
    say_set(&old);
}

OPERATION(sigpending, 1)
{
    sigset_t set;

    sigemptyset(&set);
    RESULT(sigpending(&set));
    say_set(&set);
}

OPERATION(sigtimedwait, 2)
{
    sigset_t set = signal_set();
    struct timespec none = {0, 0};
    siginfo_t info = {0};

    RESULT(sigtimedwait(&set, &info, &none));
    say(" code %d", info.si_code);
}

/* Until a signal is handled. */
OPERATION(sigsuspend, 1)
{
    sigset_t set = signal_set();

    RESULT(sigsuspend(&set));
}

OPERATION(kill, 6)
{
    pid_t pid = process();
    int sig = signal_any();

    if (pid > 0)
        RESULT(kill(pid, sig));
}

OPERATION(kill_group, 2)
{
    pid_t pid = one_in(3) ? 0 : process();
    int sig = signal_mild();

    RESULT(kill(-pid, sig));
}

OPERATION(sigqueue, 2)
{
    pid_t pid = process();
    int sig = signal_any();
    union sigval value = {.sival_int = (int)below(1000)};

    if (pid > 0)
        RESULT(sigqueue(pid, sig, value));
}

OPERATION(tgkill, 1)
{
    pid_t group = process(), thread = one_in(3) ? process() : group;
    int sig = signal_any();

    RESULT(syscall(SYS_tgkill, group, thread, sig));
}

/* --- groups and sessions --- */

OPERATION(setpgid, 3)
{
    pid_t pid = one_in(3) ? 0 : process(), group = one_in(2) ? 0 : process();

    RESULT(setpgid(pid, group));
}

OPERATION(setsid, 1)
{
    errno = 0;
    pid_t pid = setsid();
    say_result(pid < 0 ? -1 : 0);
}

OPERATION(getpgid, 1)
{
    pid_t pid = process();

    errno = 0;
    pid_t group = getpgid(pid);
    say_result(group < 0 ? -1 : 0);
    say_process(group);
}

OPERATION(getsid, 1)
{
    pid_t pid = process();

    errno = 0;
    pid_t session = getsid(pid);
    say_result(session < 0 ? -1 : 0);
    say_process(session);
}

OPERATION(getppid, 1)
{
    say_process(getppid());
}

/* --- children --- */

OPERATION(fork, 6)
{
    unsigned n = actor_free();

    if (n < ACTORS) {
        say(" a%u", n);
        actor_fork(n);
    }
}

OPERATION(exit, 1)
{
    int status = (int)below(300);

    say(" %d", status);
    _exit(status);
}

static void say_waited(const siginfo_t *info)
{
    if (!info->si_pid)
        return;
    say_process(info->si_pid);
    say(" signal %d code %d status %d user %u", info->si_signo, info->si_code, info->si_status,
        info->si_uid);
}

OPERATION(waitid, 6)
{
    static const int events[] = {WEXITED,  WEXITED | WSTOPPED, WEXITED | WCONTINUED,
                                 WSTOPPED, WCONTINUED,         WEXITED | WSTOPPED | WCONTINUED,
                                 0};
    static const idtype_t kinds[] = {P_PID, P_PID, P_PID, P_PGID, P_ALL};
    idtype_t kind = ONE_OF(kinds);
    pid_t pid = process();
    int options = ONE_OF(events) | (one_in(4) ? 0 : WNOHANG) | (one_in(4) ? WNOWAIT : 0);
    siginfo_t info = {0};

    if (kind == P_PGID) /* Linux never tells a wait under way that the last has left the group */
        options |= WNOHANG;
    say(" kind %d options %x", kind, options);
    RESULT(waitid(kind, pid, &info, options));
    say_waited(&info);
}

OPERATION(wait4, 2)
{
    pid_t pid = one_in(4) ? -process() : process();
    int options = WNOHANG | (one_in(2) ? WUNTRACED : 0) | (one_in(2) ? WCONTINUED : 0), status = 0;

    say(" options %x", options);
    errno = 0;
    pid_t got = wait4(pid ? pid : -1, &status, options, NULL);
    say_result(got < 0 ? -1 : 0);
    say_process(got);
    say(" %x", status);
}

OPERATION(set_parent_death_signal, 1)
{
    int sig = signal_any();

    RESULT(prctl(PR_SET_PDEATHSIG, sig));
}

OPERATION(set_subreaper, 1)
{
    int on = (int)below(2);

    RESULT(prctl(PR_SET_CHILD_SUBREAPER, on));
}

/* From then on it may signal only its like. */
OPERATION(setresuid, 1)
{
    uid_t uid = 1000 + below(2);

    RESULT(setresuid(uid, uid, uid));
}

void program_begin(unsigned seed, const char *kind)
{
    actors_begin(FIRST_ACTORS);
}

void program_end(void)
{
    actors_end();
}

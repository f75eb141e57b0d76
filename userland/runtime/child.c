// SPDX-License-Identifier: MIT
// The order of child_run() is the security of a start:
//
// 1. Nothing of the starter's is open (child_begin). The names looked up below are the image's or
//    the container's, and a link to /proc/self/fd/N would lead out of it (CVE-2024-21626).
// 2. What needs privileges: terminal, last mounts, streams, user, working directory, limits; the
//    limits last of these, since they bind this process as well.
// 3. no_new_privs, bounding set, the filter while CAP_SYS_ADMIN is there, identity, capabilities.
// 4. Of an exec: only now there is a process that others of the container can see (birth.h).
// 5. The program is looked for as the user that is to run it.
#include "runtime/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "runtime/birth.h"
#include "runtime/caps.h"
#include "runtime/image_env.h"
#include "lib/inroot.h"
#include "runtime/rootfs.h"
#include "lib/str.h"

#define CAP_VERSION_3 0x20080522

void child_fail(struct child *ch, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > (int)sizeof(text) - 1)
        n = sizeof(text) - 1;
    if (send(ch->sync, text, (size_t)n, MSG_NOSIGNAL) < 0)
        _exit(126);
    _exit(125);
}

/* By the bare call: the C library keeps some numbers to itself, which may be ignored as well. */
void child_prepare(void)
{
    unsigned long dfl[4] = {0}; /* the kernel's struct sigaction: all zeros is SIG_DFL */

    for (int sig = 1; sig < NSIG; sig++)
        syscall(SYS_rt_sigaction, sig, dfl, NULL, sizeof(dfl[0]));
    signal(SIGPIPE, SIG_IGN);
    mounts_prepare();
}

static void child_signals(void)
{
    sigset_t none;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The lowest of fds[0..n) that is not below `from`, or INT_MAX. */
static int fd_lowest(const int *fds, int n, int from)
{
    int low = INT_MAX;

    for (int i = 0; i < n; i++)
        if (fds[i] >= from && fds[i] < low)
            low = fds[i];
    return low;
}

/* Closes what is not kept. 0 to 2 stay taken, or a later open would get one of them: they become
 * the conversation's, which no path can open, and lib/buf's words of despair reach the starter. */
static void child_close(struct child *ch, const int *fds, int n)
{
    const int own[] = {ch->sync, ch->in, ch->out, ch->err};

    for (int from = 3, to; from != INT_MAX; from = to == INT_MAX ? to : to + 1) {
        int mine = fd_lowest(own, 4, from), theirs = fd_lowest(fds, n, from);

        to = mine < theirs ? mine : theirs;
        if (to > from && syscall(SYS_close_range, from, to == INT_MAX ? to : to - 1, 0) < 0)
            child_fail(ch, "cannot close the starter's descriptors: %s", str_error(errno));
    }
    for (int fd = 0; fd < 3; fd++)
        if (dup2(ch->sync, fd) < 0)
            child_fail(ch, "cannot set up standard streams: %s", str_error(errno));
}

void child_terminal(struct child *ch)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), slave, unlock = 0, number;
    struct winsize ws = {.ws_row = (unsigned short)ch->spec->rows,
                         .ws_col = (unsigned short)ch->spec->cols};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    char one = 'T';
    struct iovec iov = {&one, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);

    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
        ioctl(master, TIOCGPTN, &number) < 0)
        child_fail(ch, "cannot open a pseudo terminal: %s", str_error(errno));
    snprintf(ch->terminal, sizeof(ch->terminal), "/dev/pts/%d", number);
    slave = open(ch->terminal, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        child_fail(ch, "cannot open %s: %s", ch->terminal, str_error(errno));
    if (ws.ws_row)
        ioctl(master, TIOCSWINSZ, &ws);
    cm->cmsg_level = SOL_SOCKET;
    cm->cmsg_type = SCM_RIGHTS;
    cm->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cm), &master, sizeof(int));
    if (sendmsg(ch->sync, &msg, MSG_NOSIGNAL) != 1)
        child_fail(ch, "cannot pass the terminal: %s", str_error(errno));
    close(master);
    ch->in = ch->out = ch->err = slave;
}

static bool fd_is_null(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* The leader of a session does it. */
static void child_own_terminal(struct child *ch)
{
    if (ch->spec->tty && ioctl(0, TIOCSCTTY, 0) < 0)
        child_fail(ch, "cannot set the controlling terminal: %s", str_error(errno));
}

void child_stdio(struct child *ch)
{
    if (ch->in < 0) {
        ch->in = openat(AT_FDCWD, "/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (ch->in < 0)
            child_fail(ch, "cannot open /dev/null: %s", str_error(errno));
        /* we opened it with more rights than the program has, which is to get it */
        if (!fd_is_null(ch->in))
            child_fail(ch, "/dev/null is not the null device");
    }
    /* none of ours is below 3: 0, 1 and 2 were open */
    if (dup2(ch->in, 0) < 0 || dup2(ch->out, 1) < 0 || dup2(ch->err, 2) < 0)
        child_fail(ch, "cannot set up standard streams: %s", str_error(errno));
    if (!ch->is_exec)
        child_own_terminal(ch);
}

static void child_owner(struct child *ch, const struct user_ids *u)
{
    if (u->uid == 0)
        return;
    for (int fd = 0; fd < 3; fd++)
        if (!fd_is_null(fd) && fchown(fd, u->uid, (gid_t)-1) < 0 && errno != EPERM &&
            errno != EROFS && errno != EINVAL)
            child_fail(ch, "cannot own a standard stream: %s", str_error(errno));
}

static uint64_t child_limit_plus(uint64_t limit, unsigned more)
{
    return limit == RLIM_INFINITY ? limit : limit + more;
}

/* An exec's maker is one of the user's processes until the birth: it counts for none. */
static void child_rlimits(struct child *ch, unsigned makers)
{
    for (int i = 0; i < ch->shared->nrlimits; i++) {
        struct rlimit_spec *r = &ch->shared->rlimits[i];
        unsigned more = r->resource == RLIMIT_NPROC ? makers : 0;
        struct rlimit lim = {child_limit_plus(r->soft, more), child_limit_plus(r->hard, more)};

        if (setrlimit(r->resource, &lim) < 0)
            child_fail(ch, "error setting rlimits for ready process: %s", str_error(errno));
    }
}

void child_names(struct child *ch)
{
    const struct shared_spec *r = ch->shared;

    if (sethostname(r->hostname, strlen(r->hostname)) < 0)
        child_fail(ch, "cannot set the hostname: %s", str_error(errno));
    if (r->domainname && setdomainname(r->domainname, strlen(r->domainname)) < 0)
        child_fail(ch, "cannot set the domainname: %s", str_error(errno));
}

/* A new network namespace has nothing but its loopback, which is down. */
void child_loopback(struct child *ch)
{
    struct ifreq r = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r) < 0)
        child_fail(ch, "cannot see the loopback interface: %s", str_error(errno));
    r.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &r) < 0)
        child_fail(ch, "cannot bring the loopback interface up: %s", str_error(errno));
    close(fd);
}

/* A namespace of the container's has a value of its own. */
static bool sysctl_is_own(const char *name)
{
    static const char *const own[] = {"net.", "kernel.msg", "kernel.sem", "kernel.shm",
                                      "fs.mqueue."};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (str_starts(name, own[i]))
            return true;
    return false;
}

void child_sysctls(struct child *ch)
{
    for (char **at = ch->shared->sysctls; at && *at; at++) {
        int name = (int)strcspn(*at, "="), err;
        const char *value = *at + name + ((*at)[name] == '=');
        char *path = str_fmt("/proc/sys/%.*s", name, *at);

        for (char *p = path + 10; *p; p++)
            if (*p == '.')
                *p = '/';
        if (!sysctl_is_own(*at))
            child_fail(ch, "sysctl \"%.*s\" is not in a separate kernel namespace", name, *at);
        err = file_put(path, value);
        if (err)
            child_fail(ch, "open %s: %s", path, str_error(-err));
        free(path);
    }
}

/* The working directory, made where its name leads when the container starts. */
static int child_cwd_open(struct child *ch, const char *cwd)
{
    int root = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

    if (root < 0)
        return -errno;
    fd = inroot_open(root, cwd, ch->is_exec ? INROOT_FIND : INROOT_MAKE_DIR, NULL);
    close(root);
    return fd;
}

static void child_cwd(struct child *ch)
{
    const char *cwd = *ch->spec->cwd ? ch->spec->cwd : "/";
    char at[PATH_MAX];
    int fd;

    if (!strcmp(cwd, "/")) { /* our own root, whatever its names are */
        if (chdir("/") < 0)
            child_fail(ch, "cannot enter the root: %s", str_error(errno));
        return;
    }
    fd = child_cwd_open(ch, cwd);
    if (fd < 0 || fchdir(fd) < 0)
        child_fail(ch, "chdir to cwd (\"%s\") set in config.json failed: %s", cwd,
                   str_error(fd < 0 ? -fd : errno));
    close(fd);
    /* by way of another process's /proc, say, one that is still on its way in */
    if (!getcwd(at, sizeof(at)))
        child_fail(ch, "chdir to cwd (\"%s\") set in config.json failed: not in the container",
                   cwd);
}

struct child_caps {
    struct {
        uint32_t version;
        int pid;
    } head;
    struct {
        uint32_t effective, permitted, inheritable;
    } data[2];
};

/* What nothing that it execs may have. What the engine itself does not have it cannot give: the
 * rest of `caps`. */
static uint64_t child_bounding(struct child *ch, uint64_t caps)
{
    struct child_caps c = {.head = {CAP_VERSION_3, 0}};

    if (syscall(SYS_capget, &c.head, c.data) < 0)
        child_fail(ch, "cannot read capabilities: %s", str_error(errno));
    caps &= c.data[0].permitted | (uint64_t)c.data[1].permitted << 32;
    for (int i = 0; i < CAP_COUNT; i++)
        if (!(caps >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno != EINVAL)
            child_fail(ch, "cannot drop capability %d: %s", i, str_error(errno));
    return caps;
}

/* The identity, then what it keeps: Docker's way, in which a user other than root has no effective
 * capabilities. */
static void child_identity(struct child *ch, const struct user_ids *u, uint64_t caps)
{
    struct child_caps c = {.head = {CAP_VERSION_3, 0}};
    uint64_t mine = u->uid == 0 ? caps : 0;
    gid_t groups[USER_GROUPS_MAX];

    for (int i = 0; i < u->ngroups; i++)
        groups[i] = u->groups[i];
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups((size_t)u->ngroups, groups) < 0 ||
        syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0 ||
        syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
        child_fail(ch, "cannot become user %u: %s", u->uid, str_error(errno));
    for (int i = 0; i < 2; i++)
        c.data[i].effective = c.data[i].permitted = (uint32_t)(mine >> (32 * i));
    if (syscall(SYS_capset, &c.head, c.data) < 0)
        child_fail(ch, "cannot set capabilities: %s", str_error(errno));
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

_Noreturn static void child_exec(struct child *ch)
{
    const char *name = ch->spec->argv[0];
    char *why, *program = program_find(name, ch->spec->env, &why);

    if (!program)
        child_fail(ch, "%s", why);
    execve(program, ch->spec->argv, ch->spec->env);
    child_fail(ch, "%s", program_failed(name, program, errno));
}

static void child_home(struct child *ch, const struct user_ids *u)
{
    size_t n = 0;
    char **env;

    if (env_get(ch->spec->env, "HOME"))
        return;
    while (ch->spec->env[n])
        n++;
    env = mem_alloc((n + 2) * sizeof(char *));
    memcpy(env, ch->spec->env, n * sizeof(char *));
    env[n] = str_fmt("HOME=%s", u->home);
    ch->spec->env = env; /* this copy of the engine only */
}

static void child_filter(struct child *ch, uint64_t caps)
{
    int err = seccomp_load(caps);

    if (err)
        child_fail(ch, "cannot load the system call filter: %s", str_error(-err));
}

static void child_privileges(struct child *ch, const struct user_ids *u)
{
    uint64_t caps;

    if (ch->spec->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        child_fail(ch, "cannot set no_new_privs: %s", str_error(errno));
    caps = child_bounding(ch, ch->spec->caps); /* dozens of calls, which no filter has to look at */
    /* while CAP_SYS_ADMIN is there: no_new_privs is not Docker's default */
    if (!ch->spec->privileged && !ch->spec->seccomp_off)
        child_filter(ch, ch->spec->caps);
    child_identity(ch, u, caps);
}

int child_keep(uint64_t caps)
{
    struct child_caps c = {.head = {CAP_VERSION_3, 0}};

    if (syscall(SYS_capget, &c.head, c.data) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        c.data[i].permitted &= (uint32_t)(caps >> (32 * i));
        c.data[i].effective = c.data[i].permitted;
        c.data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &c.head, c.data) < 0 ? -errno : 0;
}

int child_forgo(void)
{
    struct child_caps c = {.head = {CAP_VERSION_3, 0}};

    return syscall(SYS_capset, &c.head, c.data) < 0 ? -errno : 0;
}

void child_limit(struct child *ch, uint64_t caps, uint64_t filter)
{
    struct user_ids root = {0};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        child_fail(ch, "cannot set no_new_privs: %s", str_error(errno));
    caps = child_bounding(ch, caps);
    child_filter(ch, filter);
    child_identity(ch, &root, caps);
}

void child_begin(struct child *ch, const int *fds, int n)
{
    child_signals();
    /* The child stands among the container's processes at the end: until its own program runs, they
     * may not reach this copy of its starter. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        child_fail(ch, "cannot hide the starter: %s", str_error(errno));
    if (setsid() < 0)
        child_fail(ch, "setsid: %s", str_error(errno));
    umask(0022);
    child_close(ch, fds, n);
}

void child_run(struct child *ch)
{
    struct user_ids user;
    char *why;

    if (ch->is_exec)
        birth_prepare(ch);
    if (ch->spec->tty)
        child_terminal(ch);
    if (!ch->is_exec)
        mounts_finish(ch);
    child_stdio(ch);
    why = user_lookup(ch->spec->user, ch->spec->groups, &user);
    if (why)
        child_fail(ch, "%s", why);
    child_owner(ch, &user);
    child_home(ch, &user);
    child_cwd(ch);
    child_rlimits(ch, ch->is_exec);
    child_privileges(ch, &user);
    if (ch->is_exec) {
        birth_give(ch);
        child_rlimits(ch, 0); /* lowered: no capability is needed, and the filter allows it */
        child_own_terminal(ch);
    }
    child_exec(ch);
}

/* CMSG_NXTHDR, of which not every compiler likes the signs. */
static struct cmsghdr *control_next(struct msghdr *msg, struct cmsghdr *cm)
{
    char *next = (char *)cm + CMSG_ALIGN(cm->cmsg_len),
         *end = (char *)msg->msg_control + msg->msg_controllen;

    return next + sizeof(*cm) <= end ? (struct cmsghdr *)next : NULL;
}

long child_listen(int sync, char *text, unsigned long size, int *master, pid_t *sender)
{
    _Alignas(
        struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
    struct iovec iov = {text, size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
    struct ucred who = {0};
    ssize_t n;

    /* padding would hold two descriptors */
    msg.msg_controllen = (sender ? CMSG_SPACE(sizeof(who)) : 0) + CMSG_LEN(sizeof(int));
    n = recvmsg(sync, &msg, MSG_CMSG_CLOEXEC);
    *master = -1;
    for (struct cmsghdr *cm = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL; cm; cm = control_next(&msg, cm)) {
        if (cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS)
            memcpy(master, CMSG_DATA(cm), sizeof(int));
        if (cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_CREDENTIALS)
            memcpy(&who, CMSG_DATA(cm), sizeof(who));
    }
    if (sender)
        *sender = who.pid;
    return n;
}

int child_failure_status(const char *sentence)
{
    if (strstr(sentence, "permission denied"))
        return 126;
    return strstr(sentence, "executable file not found") || strstr(sentence, "no such file") ? 127
                                                                                             : 125;
}

/* SPDX-License-Identifier: MIT
 *
 * What a program may do: capabilities that go with ids, secure bits, set-id bits and file
 * capabilities at exec. Run by root.
 */
#include "abi.h"

#include <grp.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/xattr.h>

#define USER 1000
#define BIT(cap) (1ULL << (cap))
enum {
    CHOWN = 0,
    DAC_OVERRIDE = 1,
    FOWNER = 3,
    KILL = 5,
    SETUID = 7,
    NET_BIND = 10,
    NET_ADMIN = 12,
    NET_RAW = 13,
    SYS_ADMIN = 21,
};

/* ------------------------------------------------------------- helpers */

static unsigned long long status_word(const char *name)
{
    char line[256];
    unsigned long long v = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, name, strlen(name)) == 0)
            v = strtoull(line + strlen(name) + 1, NULL, 16);
    fclose(f);
    return v;
}

struct cap_sets {
    unsigned long long e, p, i;
};

static void caps_get(struct cap_sets *c)
{
    unsigned int h[2] = {0x20080522, 0}, d[6];

    EXPECT(syscall(SYS_capget, h, d) == 0);
    c->e = d[0] | (unsigned long long)d[3] << 32;
    c->p = d[1] | (unsigned long long)d[4] << 32;
    c->i = d[2] | (unsigned long long)d[5] << 32;
}

static int caps_set(unsigned long long e, unsigned long long p, unsigned long long i)
{
    unsigned int h[2] = {0x20080522, 0};
    unsigned int d[6] = {(unsigned)e,         (unsigned)p,         (unsigned)i,
                         (unsigned)(e >> 32), (unsigned)(p >> 32), (unsigned)(i >> 32)};

    return (int)syscall(SYS_capset, h, d);
}

static void become_user(void)
{
    EXPECT(setgroups(0, NULL) == 0 && setresgid(USER, USER, USER) == 0 &&
           setresuid(USER, USER, USER) == 0);
}

static void copy_file(const char *from, const char *to, uid_t owner, mode_t mode)
{
    static char buf[65536];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    ssize_t n;

    EXPECT(in >= 0 && out >= 0);
    while ((n = read(in, buf, sizeof(buf))) > 0)
        EXPECT(write(out, buf, (size_t)n) == n);
    EXPECT(fchown(out, owner, owner) == 0 && fchmod(out, mode) == 0);
    close(in);
    close(out);
}

/* A directory of its own on a tmpfs, where the program's copy "prog" is set up. */
static const char prog[] = "/tmp/cred-test/prog";

static void make_prog(uid_t owner, mode_t mode)
{
    mkdir("/tmp", 0777);
    mkdir("/tmp/cred-test", 0755);
    EXPECT(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    EXPECT(mount("none", "/tmp/cred-test", "tmpfs", 0, "mode=755") == 0);
    copy_file("/proc/self/exe", prog, owner, mode);
}

struct file_cap {
    uint32_t magic, permitted, inheritable, permitted_hi, inheritable_hi, rootid;
};

static int set_file_caps(unsigned rev, bool effective, uint64_t permitted, uint64_t inheritable,
                         unsigned rootid)
{
    struct file_cap c = {rev << 24 | effective,         (uint32_t)permitted,
                         (uint32_t)inheritable,         (uint32_t)(permitted >> 32),
                         (uint32_t)(inheritable >> 32), rootid};

    return setxattr(prog, "security.capability", &c, rev == 3 ? 24 : 20, 0);
}

/* What the copy tells about itself. */
struct report {
    int err; /* of execve */
    unsigned uid, euid, gid, egid, secure, dumpable;
    unsigned long long effective, permitted, ambient;
};

/* The copy, run with the descriptor it writes to. */
static void report_self(int fd)
{
    struct report r = {.uid = getuid(), .euid = geteuid(), .gid = getgid(), .egid = getegid()};
    struct cap_sets c;

    caps_get(&c);
    r.effective = c.e;
    r.permitted = c.p;
    r.secure = (unsigned)getauxval(AT_SECURE);
    r.dumpable = (unsigned)prctl(PR_GET_DUMPABLE);
    for (int cap = 0; cap <= 40; cap++)
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
            r.ambient |= BIT(cap);
    _exit(write(fd, &r, sizeof(r)) != sizeof(r));
}

/* Runs the copy in a child that `prepare` has made what it is to be; its report. */
static struct report run_prog(void (*prepare)(void), int clone_flags)
{
    struct report r = {.err = -1};
    int p[2], status;
    char number[12];

    EXPECT(pipe(p) == 0);
    pid_t pid = (pid_t)syscall(SYS_clone, clone_flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        prepare();
        snprintf(number, sizeof(number), "%d", p[1]);
        execl(prog, prog, "report", number, NULL);
        r.err = errno;
        _exit(write(p[1], &r, sizeof(r)) != sizeof(r));
    }
    close(p[1]);
    EXPECT(read(p[0], &r, sizeof(r)) == sizeof(r));
    close(p[0]);
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    return r;
}

/* Before main: the copy does nothing but report. */
__attribute__((constructor)) static void maybe_report(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "report") == 0)
        report_self(atoi(argv[2]));
    if (argc == 2 && strcmp(argv[1], "await") == 0) {
        char c = 'r';
        _exit(write(1, &c, 1) != 1 || read(0, &c, 1) != 0);
    }
}

/* ------------------------------------------------------------- ids and secure bits */

TEST(setfsuid_takes_the_file_capabilities_along)
{
    unsigned long long all = status_word("CapEff:");
    unsigned long long fs =
        BIT(CHOWN) | BIT(DAC_OVERRIDE) | BIT(2) | BIT(FOWNER) | BIT(4) | BIT(9) | BIT(27) | BIT(32);
    int fd = open("/tmp/cred-secret", O_CREAT | O_WRONLY, 0600);

    EXPECT(fd >= 0);
    setfsuid(USER);
    EXPECT(status_word("CapEff:") == (all & ~fs));
    EXPECT_ERR(open("/tmp/cred-secret", O_RDONLY), EACCES);
    setfsuid(0);
    EXPECT(status_word("CapEff:") == all);
    EXPECT(open("/tmp/cred-secret", O_RDONLY) >= 0);
    EXPECT(prctl(PR_SET_SECUREBITS, 1 << 2) == 0); /* NO_SETUID_FIXUP */
    setfsuid(USER);
    EXPECT(status_word("CapEff:") == all);
    setfsuid(0);
    unlink("/tmp/cred-secret");
}

TEST(secure_bits_hold_what_they_lock)
{
    struct cap_sets c;

    EXPECT_ERR(prctl(PR_SET_SECUREBITS, 1 << 8), EPERM);
    EXPECT(prctl(PR_SET_SECUREBITS, 1 << 5) == 0); /* KEEP_CAPS_LOCKED */
    EXPECT_ERR(prctl(PR_SET_KEEPCAPS, 1), EPERM);
    EXPECT_ERR(prctl(PR_SET_SECUREBITS, 1 << 4 | 1 << 5), EPERM);
    EXPECT_ERR(prctl(PR_SET_SECUREBITS, 0), EPERM);
    EXPECT(prctl(PR_SET_SECUREBITS, 1 << 5 | 3 << 6) == 0); /* NO_CAP_AMBIENT_RAISE, locked */
    caps_get(&c);
    EXPECT(caps_set(c.e, c.p, c.p) == 0);
    EXPECT_ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CHOWN, 0, 0), EPERM);
    EXPECT_ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CHOWN, 0, 1), EINVAL);
    EXPECT_ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 1, 0), EINVAL);
    EXPECT_ERR(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
}

/* ------------------------------------------------------------- set-id bits */

static void as_user(void)
{
    become_user();
}

static void as_user_without_new_rights(void)
{
    become_user();
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

TEST(set_uid_program_gets_its_owners_rights)
{
    make_prog(0, 04755);
    struct report r = run_prog(as_user, 0);

    EXPECT(r.uid == USER && r.euid == 0 && r.permitted && r.effective == r.permitted);
    EXPECT(r.secure == 1 && r.dumpable == 0);
    r = run_prog(as_user_without_new_rights, 0);
    EXPECT(r.euid == USER && r.permitted == 0 && r.secure == 0 && r.dumpable == 1);
    EXPECT(mount(NULL, "/tmp/cred-test", NULL, MS_REMOUNT | MS_NOSUID, NULL) == 0);
    r = run_prog(as_user, 0);
    EXPECT(r.euid == USER && r.permitted == 0 && r.secure == 0);
}

static void as_set_uid_root(void)
{
    EXPECT(setgroups(0, NULL) == 0 && setresuid(USER, 0, 0) == 0);
}

static void as_set_uid_root_without_new_rights(void)
{
    as_set_uid_root();
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

TEST(program_of_a_set_uid_program_is_warned)
{
    make_prog(0, 0755);
    struct report r = run_prog(as_set_uid_root, 0);

    EXPECT(r.uid == USER && r.euid == 0 && r.secure == 1 && r.dumpable == 0);
    r = run_prog(as_set_uid_root_without_new_rights, 0);
    EXPECT(r.uid == USER && r.euid == USER && r.secure == 1);
}

TEST(set_uid_program_gains_nothing_beside_a_stranger)
{
    make_prog(0, 04755);
    struct report r;

    r = run_prog(as_user, CLONE_FS); /* we share root, cwd and umask, and go on */
    EXPECT(r.uid == USER && r.euid == USER && r.permitted == 0 && r.effective == 0);
    EXPECT(r.secure == 1);
    EXPECT(chmod(prog, 06755) == 0);
    r = run_prog(as_user, CLONE_FS);
    EXPECT(r.euid == USER && r.egid == USER);
    r = run_prog(as_user, CLONE_FILES | CLONE_VM | CLONE_VFORK);
    EXPECT(r.euid == 0 && r.egid == 0); /* these are no longer shared after it */
}

/* The copy is started from outside the mount namespace that it lies in. */
static int other_side;
static void as_user_elsewhere(void)
{
    EXPECT(setns(other_side, CLONE_NEWNS) == 0);
    become_user();
}

TEST(set_uid_bits_of_anothers_mounts_do_not_count)
{
    int outside = open("/proc/self/ns/mnt", O_RDONLY), fd, p[2], status;
    struct report r = {.err = -1};
    char number[12];

    other_side = outside;
    make_prog(0, 04755);
    fd = open(prog, O_PATH);
    EXPECT(outside >= 0 && fd >= 0 && pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        as_user_elsewhere();
        snprintf(number, sizeof(number), "%d", p[1]);
        char *const argv[] = {"prog", "report", number, NULL}, *const envp[] = {NULL};
        syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
        _exit(1);
    }
    EXPECT(read(p[0], &r, sizeof(r)) == sizeof(r));
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(r.err == 0 && r.euid == USER && r.permitted == 0);
}

/* ------------------------------------------------------------- file capabilities */

TEST(file_capabilities_are_given_at_exec)
{
    make_prog(0, 0755);
    EXPECT(set_file_caps(2, true, BIT(NET_RAW) | BIT(NET_BIND), 0, 0) == 0);
    struct report r = run_prog(as_user, 0);
    EXPECT(r.err == 0 && r.uid == USER && r.euid == USER);
    EXPECT(r.permitted == (BIT(NET_RAW) | BIT(NET_BIND)) && r.effective == r.permitted);
    EXPECT(r.secure == 1 && r.dumpable == 0);

    EXPECT(set_file_caps(2, false, BIT(NET_RAW), 0, 0) == 0);
    r = run_prog(as_user, 0);
    EXPECT(r.permitted == BIT(NET_RAW) && r.effective == 0);

    r = run_prog(as_user_without_new_rights, 0);
    EXPECT(r.err == 0 && r.permitted == 0 && r.effective == 0);
}

static void as_user_with_inheritable(void)
{
    struct cap_sets c;

    EXPECT(prctl(PR_SET_KEEPCAPS, 1) == 0);
    become_user();
    caps_get(&c);
    EXPECT(caps_set(0, c.p, BIT(NET_RAW) | BIT(KILL)) == 0);
}

TEST(inheritable_capabilities_meet_the_files)
{
    make_prog(0, 0755);
    EXPECT(set_file_caps(2, true, 0, BIT(NET_RAW) | BIT(SYS_ADMIN), 0) == 0);
    struct report r = run_prog(as_user_with_inheritable, 0);

    EXPECT(r.err == 0 && r.permitted == BIT(NET_RAW) && r.effective == BIT(NET_RAW));
}

static void as_user_unbounded(void)
{
    EXPECT(prctl(PR_CAPBSET_DROP, NET_RAW, 0, 0, 0) == 0);
    become_user();
}

TEST(bounding_set_refuses_a_program_that_relies_on_more)
{
    make_prog(0, 0755);
    EXPECT(set_file_caps(2, true, BIT(NET_RAW) | BIT(KILL), 0, 0) == 0);
    EXPECT(run_prog(as_user_unbounded, 0).err == EPERM);
    EXPECT(set_file_caps(2, false, BIT(NET_RAW) | BIT(KILL), 0, 0) == 0);
    struct report r = run_prog(as_user_unbounded, 0);
    EXPECT(r.err == 0 && r.permitted == BIT(KILL) && r.effective == 0);
}

TEST(file_capabilities_of_another_root_do_not_count)
{
    make_prog(0, 0755);
    EXPECT(set_file_caps(3, true, BIT(NET_RAW), 0, 4242) == 0);
    struct report r = run_prog(as_user, 0);
    EXPECT(r.err == 0 && r.permitted == 0 && r.effective == 0 && r.secure == 0);
    EXPECT(set_file_caps(3, true, BIT(NET_RAW), 0, 0) == 0);
    r = run_prog(as_user, 0);
    EXPECT(r.permitted == BIT(NET_RAW) && r.effective == BIT(NET_RAW));
}

static void as_user_with_ambient(void)
{
    as_user_with_inheritable();
    EXPECT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, KILL, 0, 0) == 0);
}

TEST(ambient_capabilities_end_at_a_file_with_its_own)
{
    make_prog(0, 0755);
    struct report r = run_prog(as_user_with_ambient, 0);
    EXPECT(r.permitted == BIT(KILL) && r.effective == BIT(KILL) && r.ambient == BIT(KILL));
    EXPECT(r.secure == 0);
    EXPECT(set_file_caps(2, true, BIT(NET_RAW), 0, 0) == 0);
    r = run_prog(as_user_with_ambient, 0);
    EXPECT(r.permitted == BIT(NET_RAW) && r.ambient == 0);
}

TEST(set_uid_root_program_with_capabilities_has_just_these)
{
    make_prog(0, 04755);
    EXPECT(set_file_caps(2, true, BIT(NET_RAW), 0, 0) == 0);
    struct report r = run_prog(as_user, 0);

    EXPECT(r.euid == 0 && r.permitted == BIT(NET_RAW) && r.effective == BIT(NET_RAW));
}

TEST(file_capabilities_gain_nothing_beside_a_stranger)
{
    make_prog(0, 0755);
    EXPECT(set_file_caps(2, true, BIT(NET_RAW), 0, 0) == 0);
    struct report r = run_prog(as_user, CLONE_FS);

    EXPECT(r.err == 0 && r.permitted == 0 && r.effective == 0);
}

/* ------------------------------------------------------------- looking into programs */

static void map_own_id(const char *name, const char *text)
{
    int fd = open(name, O_WRONLY);

    EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

/* Root of a user namespace, which has CAP_SYS_PTRACE there, runs the copy and looks into it. */
static void look_into_prog(int err)
{
    char path[64], text[64], c;
    int up[2], down[2], status;

    become_user();
    EXPECT(prctl(PR_SET_DUMPABLE, 1) == 0 && unshare(CLONE_NEWUSER) == 0);
    map_own_id("/proc/self/setgroups", "deny");
    map_own_id("/proc/self/uid_map", "0 1000 1");
    map_own_id("/proc/self/gid_map", "0 1000 1");
    EXPECT(pipe(up) == 0 && pipe(down) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(dup2(up[1], 1) == 1 && dup2(down[0], 0) == 0);
        close(down[1]);
        execl(prog, prog, "await", NULL);
        _exit(9);
    }
    EXPECT(read(up[0], &c, 1) == 1);
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    ssize_t n = readlink(path, text, sizeof(text));
    EXPECT(err ? n == -1 && errno == err : n > 0);
    snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    int fd = open(path, O_RDONLY);
    EXPECT(err ? fd == -1 && errno == err : fd >= 0);
    close(down[0]);
    close(down[1]);
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(unreadable_program_is_not_read_by_the_root_of_a_user_namespace)
{
    static const struct {
        mode_t mode;
        int err;
    } cases[] = {{0755, 0}, {0711, EACCES}};
    int status;

    make_prog(0, 0755);
    for (int i = 0; i < 2; i++) {
        EXPECT(chmod(prog, cases[i].mode) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            look_into_prog(cases[i].err);
            _exit(0);
        }
        EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    }
}

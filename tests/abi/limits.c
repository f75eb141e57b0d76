/* SPDX-License-Identifier: MIT
 *
 * Limits, clocks and timers of CPU time, priorities, flags of mounts.
 */
#include "abi.h"

#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/utsname.h>

static volatile sig_atomic_t fired;
static void count(int sig)
{
    fired++;
}

static double seconds(clockid_t clock)
{
    struct timespec ts;

    EXPECT(clock_gettime(clock, &ts) == 0);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Burns CPU time, a minute at most, until a signal has come. */
static void burn_until_fired(void)
{
    double end = seconds(CLOCK_PROCESS_CPUTIME_ID) + 60;

    while (!fired && seconds(CLOCK_PROCESS_CPUTIME_ID) < end)
        for (volatile int i = 0; i < 100000; i++)
            ;
}

TEST(itimer_prof_counts_cpu_time)
{
    struct itimerval it = {{0, 30000}, {0, 60000}}, now;

    double begin = seconds(CLOCK_PROCESS_CPUTIME_ID);

    signal(SIGPROF, count);
    EXPECT(setitimer(ITIMER_PROF, &it, NULL) == 0);
    usleep(150000); /* asleep, no time passes, but an emulator's pause counts while we run */
    EXPECT(fired == 0 || seconds(CLOCK_PROCESS_CPUTIME_ID) - begin >= 0.06);
    EXPECT(getitimer(ITIMER_PROF, &now) == 0);
    EXPECT(now.it_value.tv_sec == 0 && now.it_value.tv_usec > 0 &&
           now.it_interval.tv_usec == 30000);
    burn_until_fired();
    EXPECT(fired >= 1);
    EXPECT(seconds(CLOCK_PROCESS_CPUTIME_ID) >= 0.05);
    it = (struct itimerval){{0, 0}, {0, 0}};
    EXPECT(setitimer(ITIMER_PROF, &it, &now) == 0 && now.it_interval.tv_usec == 30000);
}

TEST(itimer_virtual_counts_user_time)
{
    struct itimerval it = {{0, 0}, {0, 50000}};

    signal(SIGVTALRM, count);
    EXPECT(setitimer(ITIMER_VIRTUAL, &it, NULL) == 0);
    burn_until_fired();
    EXPECT(fired == 1);
    EXPECT(getitimer(ITIMER_VIRTUAL, &it) == 0 && !it.it_value.tv_sec && !it.it_value.tv_usec);
    EXPECT_ERR(setitimer(3, &it, NULL), EINVAL);
}

TEST(cpu_limit_warns_then_kills)
{
    struct rlimit r = {1, 2};
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGXCPU, count);
        setrlimit(RLIMIT_CPU, &r);
        burn_until_fired();
        if (!fired)
            _exit(1);
        for (;;)
            ;
    }
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(file_size_limit)
{
    char buf[6000] = "x";
    struct rlimit r = {4096, 4096};
    int fd = open("/tmp/limited", O_RDWR | O_CREAT | O_TRUNC, 0600);

    EXPECT(fd >= 0 && setrlimit(RLIMIT_FSIZE, &r) == 0);
    signal(SIGXFSZ, count);
    EXPECT(write(fd, buf, sizeof(buf)) == 4096);
    EXPECT(fired == 0);
    EXPECT_ERR(write(fd, buf, 1), EFBIG);
    EXPECT(fired == 1);
    EXPECT_ERR(ftruncate(fd, 5000), EFBIG);
    EXPECT(fired == 2);
    EXPECT(ftruncate(fd, 100) == 0);
    EXPECT(pwrite(fd, buf, 10, 4090) == 6);
    EXPECT_ERR(posix_fallocate(fd, 0, 5000) ? (errno = EFBIG, -1) : 0, EFBIG);
    EXPECT(lseek(fd, 0, SEEK_SET) == 0 && read(fd, buf, sizeof(buf)) == 4096);
    unlink("/tmp/limited");
}

TEST(cpu_clocks_of_others)
{
    clockid_t clock;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        burn_until_fired();
        _exit(0);
    }
    EXPECT(clock_getcpuclockid(pid, &clock) == 0);
    while (seconds(clock) < 0.02)
        usleep(1000);
    EXPECT(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    EXPECT_ERR(clock_gettime(clock, &(struct timespec){0}), EINVAL);
    EXPECT(pthread_getcpuclockid(pthread_self(), &clock) == 0);
    EXPECT(seconds(clock) > 0 && seconds(clock) <= seconds(CLOCK_PROCESS_CPUTIME_ID) + 0.01);
    EXPECT_ERR(clock_gettime(-1, &(struct timespec){0}), EINVAL);
}

TEST(scheduling_calls_check_their_process)
{
    struct sched_param p = {0};

    EXPECT_ERR(sched_setparam(-1, &p), EINVAL);
    EXPECT_ERR(sched_getparam(-1, &p), EINVAL);
    EXPECT_ERR(sched_setscheduler(-1, SCHED_OTHER, &p), EINVAL);
    EXPECT_ERR(sched_getscheduler(-1), EINVAL);
    EXPECT(sched_setparam(0, &p) == 0 && sched_getparam(0, &p) == 0);
    EXPECT_ERR(sched_setparam(4194303, &p), ESRCH);
}

TEST(io_priority_is_kept_and_inherited)
{
    int status;

    EXPECT(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6) == 0);
    EXPECT(syscall(SYS_ioprio_get, 1, 0) == (2 << 13 | 6));
    pid_t pid = fork();
    if (pid == 0)
        _exit(syscall(SYS_ioprio_get, 1, 0) != (2 << 13 | 6));
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT_ERR(syscall(SYS_ioprio_set, 1, 0, 4 << 13), EINVAL);
    EXPECT_ERR(syscall(SYS_ioprio_set, 9, 0, 0), EINVAL);
}

TEST(personality_linux32_names_the_machine)
{
    struct utsname u;

    EXPECT(personality(0xffffffff) == 0 && personality(PER_LINUX32) == 0);
    EXPECT(uname(&u) == 0 && !strcmp(u.machine, "i686"));
    EXPECT(personality(PER_LINUX) == PER_LINUX32);
    EXPECT(uname(&u) == 0 && !strcmp(u.machine, "x86_64"));
}

/* The program's own file, copied: fd. */
static void copy_self(const char *path)
{
    int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_WRONLY | O_CREAT, 0755);
    char buf[65536];
    ssize_t n;

    EXPECT(from >= 0 && to >= 0);
    while ((n = read(from, buf, sizeof(buf))) > 0)
        EXPECT(write(to, buf, (size_t)n) == n);
    close(from);
    close(to);
}

TEST(mount_flags_are_obeyed)
{
    char *argv[] = {"true", "none", NULL};
    struct statvfs st;

    mkdir("/tmp/flagged", 0755);
    EXPECT(mount("none", "/tmp/flagged", "tmpfs", MS_NOEXEC | MS_NOSUID | MS_NODEV, NULL) == 0);
    copy_self("/tmp/flagged/self");
    EXPECT(statvfs("/tmp/flagged", &st) == 0);
    EXPECT((st.f_flag & (ST_NOEXEC | ST_NOSUID | ST_NODEV | ST_RDONLY)) ==
           (ST_NOEXEC | ST_NOSUID | ST_NODEV));
    EXPECT_ERR(execv("/tmp/flagged/self", argv), EACCES);
    int fd = open("/tmp/flagged/self", O_RDONLY);
    EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED);
    EXPECT(errno == EPERM);
    void *m = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    EXPECT(m != MAP_FAILED);
    EXPECT_ERR(mprotect(m, 4096, PROT_READ | PROT_EXEC), EACCES);
    close(fd);
    munmap(m, 4096);
    EXPECT(mount(NULL, "/tmp/flagged", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_RDONLY, NULL) ==
           0);
    EXPECT_ERR(open("/tmp/flagged/new", O_WRONLY | O_CREAT, 0600), EROFS);
    EXPECT_ERR(access("/tmp/flagged", W_OK), EROFS);
    pid_t pid = fork();
    if (pid == 0) {
        execv("/tmp/flagged/self", argv);
        _exit(1);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(umount2("/tmp/flagged", MNT_DETACH) == 0);
}

TEST(own_program_has_a_name_after_unshare)
{
    char before[256], after[256];
    ssize_t n = readlink("/proc/self/exe", before, sizeof(before));

    EXPECT(n > 0 && unshare(CLONE_NEWNS) == 0);
    EXPECT(readlink("/proc/self/exe", after, sizeof(after)) == n &&
           !memcmp(before, after, (size_t)n));
}

TEST(reading_a_directory_is_eisdir)
{
    char c;
    int fd = open("/tmp", O_RDONLY);

    EXPECT_ERR(read(fd, &c, 1), EISDIR);
    EXPECT_ERR(pread(fd, &c, 1, 0), EISDIR);
}

/* A stopped child in a group of its own is hung up when its parent, the last tie, goes; one whose
 * group was orphaned before is left alone when a member goes. */
TEST(orphaned_stopped_group_is_hung_up)
{
    int p[2], status;
    char c = 0;

    EXPECT(pipe(p) == 0);
    pid_t middle = fork();
    if (middle == 0) {
        pid_t leaf = fork();
        if (leaf == 0) {
            setpgid(0, 0);
            signal(SIGHUP, count);
            raise(SIGSTOP);
            write(p[1], fired ? "h" : "n", 1);
            _exit(0);
        }
        waitpid(leaf, &status, WUNTRACED);
        _exit(WIFSTOPPED(status) ? 0 : 1);
    }
    close(p[1]);
    EXPECT(waitpid(middle, &status, 0) == middle && status == 0);
    EXPECT(read(p[0], &c, 1) == 1 && c == 'h');
}

TEST(orphaned_group_stays_as_it_is_when_a_member_exits)
{
    int status;
    pid_t leader = fork();

    if (leader == 0) {
        setsid(); /* from here on no process ties the group to another one */
        pid_t stopped = fork(), other;
        if (stopped == 0) {
            raise(SIGSTOP);
            _exit(7);
        }
        waitpid(stopped, &status, WUNTRACED);
        other = fork();
        if (other == 0)
            _exit(0);
        waitpid(other, &status, 0);
        if (waitpid(stopped, &status, WNOHANG) != 0)
            _exit(1);
        kill(stopped, SIGCONT);
        waitpid(stopped, &status, 0);
        _exit(!(WIFEXITED(status) && WEXITSTATUS(status) == 7));
    }
    EXPECT(waitpid(leader, &status, 0) == leader && status == 0);
}

static long vm_data_kb(void)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = read(fd, text, sizeof(text) - 1);

    EXPECT(n > 0 && close(fd) == 0);
    text[n] = 0;
    EXPECT(strstr(text, "VmData:"));
    return atol(strstr(text, "VmData:") + 7);
}

/* All private memory that can be written, not the break alone (since Linux 4.7). */
TEST(data_limit_counts_private_writable_memory)
{
    const size_t mb = 1 << 20;
    long before = vm_data_kb();
    struct rlimit r = {(rlim_t)before * 1024 + mb + mb / 2, RLIM_INFINITY};
    char *p, *q;

    EXPECT(setrlimit(RLIMIT_DATA, &r) == 0);
    p = mmap(NULL, mb, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(p != MAP_FAILED && vm_data_kb() == before + 1024);
    EXPECT(mmap(NULL, mb, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
               MAP_FAILED &&
           errno == ENOMEM);
    EXPECT(mmap(NULL, mb, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    q = mmap(NULL, mb, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(q != MAP_FAILED);
    EXPECT_ERR(mprotect(q, mb, PROT_READ | PROT_WRITE), ENOMEM);
    EXPECT(mremap(p, mb, 2 * mb, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM);
    EXPECT(mprotect(p, mb, PROT_READ) == 0 && vm_data_kb() == before);
    EXPECT(mprotect(q, mb, PROT_READ | PROT_WRITE) == 0);
    EXPECT(munmap(q, mb) == 0 && vm_data_kb() == before);
}

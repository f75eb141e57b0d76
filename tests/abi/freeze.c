/* SPDX-License-Identifier: MIT
 *
 * cgroup.freeze: the programs of a frozen group do nothing, whatever they were doing; they can be
 * killed, moved out and let go on.
 */
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>

#include "abi.h"

struct clone_args_v2 {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size, cgroup;
};

static char top[64];

static void path_of(char *out, size_t size, const char *group, const char *file)
{
    snprintf(out, size, "%s/%s/%s", top, group, file);
}

static int put(const char *group, const char *file, const char *text)
{
    char path[256];
    int fd, err;

    path_of(path, sizeof(path), group, file);
    fd = open(path, O_WRONLY);
    if (fd < 0)
        return -errno;
    err = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return err;
}

static void get(const char *group, const char *file, char *text, size_t size)
{
    char path[256];
    ssize_t n;
    int fd;

    path_of(path, sizeof(path), group, file);
    fd = open(path, O_RDONLY);
    n = fd < 0 ? 0 : read(fd, text, size - 1);
    text[n > 0 ? n : 0] = 0;
    close(fd);
}

static bool frozen(const char *group)
{
    char text[256];

    get(group, "cgroup.events", text, sizeof(text));
    return strstr(text, "frozen 1\n") != NULL;
}

/* Waits as a watcher does: cgroup.events tells of each change. */
static void await_frozen(const char *group)
{
    char path[256], text[256];
    struct pollfd p = {.events = POLLPRI};

    path_of(path, sizeof(path), group, "cgroup.events");
    p.fd = open(path, O_RDONLY);
    EXPECT(p.fd >= 0);
    for (;;) {
        ssize_t n = pread(p.fd, text, sizeof(text) - 1, 0);

        EXPECT(n > 0);
        text[n] = 0;
        if (strstr(text, "frozen 1\n"))
            break;
        EXPECT(poll(&p, 1, -1) == 1);
    }
    close(p.fd);
}

static void group_make(const char *name)
{
    char path[256];

    if (!*top) {
        mkdir("/tmp", 0777);
        strcpy(top, "/sys/fs/cgroup");
        if (access("/sys/fs/cgroup/cgroup.procs", F_OK) < 0) {
            strcpy(top, "/tmp/cgroup");
            mkdir(top, 0755);
            EXPECT(mount("none", top, "cgroup2", 0, NULL) == 0);
        }
    }
    snprintf(path, sizeof(path), "%s/%s", top, name);
    EXPECT(mkdir(path, 0755) == 0 || errno == EEXIST);
}

static void group_gone(const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", top, name);
    EXPECT(rmdir(path) == 0);
}

static volatile unsigned long *counter;

/* A child in the group that counts as fast as it can. */
static pid_t counting_child(const char *group)
{
    char number[16];
    pid_t pid;

    counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT(counter != MAP_FAILED);
    pid = fork();
    if (pid == 0)
        for (;;)
            (*counter)++;
    snprintf(number, sizeof(number), "%d", pid);
    EXPECT(put(group, "cgroup.procs", number) == 0);
    return pid;
}

static void await_more(unsigned long than)
{
    while (*counter <= than)
        sched_yield();
}

static bool counts(void)
{
    struct timespec while_ = {.tv_nsec = 20 * 1000 * 1000};
    unsigned long before = *counter;

    nanosleep(&while_, NULL);
    return *counter != before;
}

static void end(pid_t pid)
{
    int status;

    EXPECT(kill(pid, SIGKILL) == 0);
    EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(a_frozen_program_does_nothing_until_it_is_thawed)
{
    unsigned long at;
    pid_t pid;

    group_make("fz-a");
    pid = counting_child("fz-a");
    await_more(0);
    EXPECT(put("fz-a", "cgroup.freeze", "1") == 0);
    await_frozen("fz-a");
    EXPECT(!counts());
    at = *counter;
    EXPECT(put("fz-a", "cgroup.freeze", "0") == 0);
    await_more(at);
    EXPECT(!frozen("fz-a"));
    end(pid);
    group_gone("fz-a");
}

TEST(the_file_shows_and_takes_zero_and_one)
{
    char text[32];

    group_make("fz-b");
    get("fz-b", "cgroup.freeze", text, sizeof(text));
    EXPECT(strcmp(text, "0\n") == 0);
    EXPECT(put("fz-b", "cgroup.freeze", "2") == -ERANGE);
    EXPECT(put("fz-b", "cgroup.freeze", "x") == -EINVAL);
    EXPECT(put("fz-b", "cgroup.freeze", "1\n") == 0);
    get("fz-b", "cgroup.freeze", text, sizeof(text));
    EXPECT(strcmp(text, "1\n") == 0 && frozen("fz-b"));
    group_gone("fz-b");
}

TEST(the_frozen_can_be_killed)
{
    pid_t pid;
    int status;

    group_make("fz-c");
    pid = counting_child("fz-c");
    await_more(0);
    EXPECT(put("fz-c", "cgroup.freeze", "1") == 0);
    await_frozen("fz-c");
    end(pid);
    pid = counting_child("fz-c");
    EXPECT(put("fz-c", "cgroup.kill", "1") == 0);
    EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    group_gone("fz-c");
}

TEST(a_process_that_comes_into_a_frozen_group_freezes_and_leaves_it_thawed)
{
    unsigned long at;
    char number[16];
    pid_t pid;

    group_make("fz-d");
    group_make("fz-e");
    EXPECT(put("fz-d", "cgroup.freeze", "1") == 0);
    pid = counting_child("fz-d");
    await_frozen("fz-d");
    EXPECT(!counts());
    at = *counter;
    snprintf(number, sizeof(number), "%d", pid);
    EXPECT(put("fz-e", "cgroup.procs", number) == 0);
    await_more(at);
    end(pid);
    group_gone("fz-d");
    group_gone("fz-e");
}

TEST(a_child_cloned_into_a_frozen_group_does_not_begin)
{
    struct clone_args_v2 args = {.flags = 0x200000000ull, .exit_signal = SIGCHLD};
    char path[256];
    long pid;

    group_make("fz-f");
    EXPECT(put("fz-f", "cgroup.freeze", "1") == 0);
    counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    path_of(path, sizeof(path), "fz-f", "");
    args.cgroup = (uint64_t)open(path, O_RDONLY | O_DIRECTORY);
    pid = syscall(SYS_clone3, &args, sizeof(args));
    EXPECT(pid >= 0);
    if (pid == 0)
        for (;;)
            (*counter)++;
    await_frozen("fz-f");
    EXPECT(*counter == 0 && !counts());
    EXPECT(put("fz-f", "cgroup.freeze", "0") == 0);
    await_more(0);
    end((pid_t)pid);
    group_gone("fz-f");
}

TEST(a_group_below_is_frozen_with_its_parent)
{
    unsigned long at;
    char text[32];
    pid_t pid;

    group_make("fz-g");
    group_make("fz-g/below");
    pid = counting_child("fz-g/below");
    await_more(0);
    EXPECT(put("fz-g", "cgroup.freeze", "1") == 0);
    await_frozen("fz-g/below");
    EXPECT(!counts() && frozen("fz-g"));
    get("fz-g/below", "cgroup.freeze", text, sizeof(text));
    EXPECT(strcmp(text, "0\n") == 0); /* what it asks for itself */
    at = *counter;
    EXPECT(put("fz-g", "cgroup.freeze", "0") == 0);
    await_more(at);
    end(pid);
    group_gone("fz-g/below");
    group_gone("fz-g");
}

TEST(a_sleeper_counts_as_frozen_and_does_not_go_on_when_it_is_woken)
{
    uint64_t one = 1;
    char number[16];
    int fd = eventfd(0, 0);
    pid_t pid;

    group_make("fz-h");
    counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid = fork();
    if (pid == 0) {
        *counter = 1;
        if (read(fd, &one, sizeof(one)) == sizeof(one))
            *counter = 2;
        for (;;)
            pause();
    }
    await_more(0);
    snprintf(number, sizeof(number), "%d", pid);
    EXPECT(put("fz-h", "cgroup.procs", number) == 0);
    EXPECT(put("fz-h", "cgroup.freeze", "1") == 0);
    while (!frozen("fz-h"))
        sched_yield();
    EXPECT(write(fd, &one, sizeof(one)) == sizeof(one));
    EXPECT(!counts() && *counter == 1);
    EXPECT(put("fz-h", "cgroup.freeze", "0") == 0);
    await_more(1);
    end(pid);
    group_gone("fz-h");
}

static pid_t member_of(const char *group)
{
    char number[16];
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            pause();
    snprintf(number, sizeof(number), "%d", pid);
    EXPECT(put(group, "cgroup.procs", number) == 0);
    return pid;
}

/* POLLPRI stands from a change until the next look: else a watcher would never sleep. */
TEST(a_change_of_a_groups_events_is_polled_until_it_is_read)
{
    char path[256], text[256];
    struct pollfd p = {.events = POLLPRI};
    pid_t pid;

    group_make("told");
    path_of(path, sizeof(path), "told", "cgroup.events");
    p.fd = open(path, O_RDONLY);
    EXPECT(poll(&p, 1, 0) == 1 && p.revents == (POLLPRI | POLLERR));
    EXPECT(read(p.fd, text, sizeof(text)) > 0 && poll(&p, 1, 0) == 0);
    pid = member_of("told");
    EXPECT(poll(&p, 1, -1) == 1 && p.revents == (POLLPRI | POLLERR) && poll(&p, 1, 0) == 1);
    EXPECT(pread(p.fd, text, sizeof(text), 0) > 0 && poll(&p, 1, 0) == 0);
    p.events = POLLIN;
    EXPECT(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
    end(pid);
    group_gone("told");
}

/* Waits for IN_MODIFY of the one watch. */
static void await_modify(int in)
{
    struct inotify_event e;
    struct pollfd p = {in, POLLIN, 0};

    EXPECT(poll(&p, 1, -1) == 1);
    EXPECT(read(in, &e, sizeof(e)) == sizeof(e) && e.wd == 1 && e.mask == IN_MODIFY && !e.len);
}

TEST(a_change_of_a_groups_events_is_told_by_inotify)
{
    int in = inotify_init1(IN_NONBLOCK);
    char path[256], text[256];
    pid_t pid;

    group_make("told");
    path_of(path, sizeof(path), "told", "cgroup.events");
    EXPECT(inotify_add_watch(in, path, IN_MODIFY) == 1);
    pid = member_of("told");
    await_modify(in);
    get("told", "cgroup.events", text, sizeof(text));
    EXPECT(strstr(text, "populated 1\n"));
    EXPECT(inotify_add_watch(in, path, IN_MODIFY | IN_MASK_ADD) == 1); /* it is the same file */
    end(pid);
    await_modify(in);
    EXPECT(inotify_rm_watch(in, 1) == 0);
    group_gone("told");
}

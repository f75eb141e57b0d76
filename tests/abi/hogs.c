/* SPDX-License-Identifier: MIT
 *
 * Whatever a program can make the kernel keep for it is on its control group's bill: each hog runs
 * in a group of 16 MiB, and ends there, killed or refused, while the machine goes on. What the
 * kernel can forget again kills nobody. hogs.h has what each of them does.
 */
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "hogs.h"

static const char *cgroup_top = "/sys/fs/cgroup";

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);

    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        printf("# %s: %s\n", path, strerror(errno));
        fflush(stdout);
    }
    close(fd);
}

static long number(const char *path, const char *key)
{
    char text[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    char *at = text;

    close(fd);
    if (n < 0)
        return -1;
    text[n] = 0;
    if (key) {
        at = strstr(text, key);
        if (!at)
            return -1;
        at += strlen(key);
    }
    return strtol(at + strspn(at, " :"), NULL, 10);
}

/* ------------------------------------------------------------- the keeper */

/* The process joins first and then becomes the hog: memory is on the bill of the group that a
 * program was started in. */
static pid_t hog_start(const char *name, const char *group)
{
    char path[128], me[16];
    pid_t pid = fork();

    if (pid)
        return pid;
    snprintf(path, sizeof(path), "%s/cgroup.procs", group);
    snprintf(me, sizeof(me), "%d", (int)getpid());
    put(path, me);
    setenv("HOG", name, 1);
    execl("/proc/self/exe", "hog", NULL);
    _exit(99);
}

static void hog_prepare(void)
{
    struct rlimit r = {1 << 20, 1 << 20};
    char path[64];

    setrlimit(RLIMIT_NOFILE, &r);
    mkdir("/tmp", 0777);
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK)) {
        mkdir("/tmp/cgroup", 0755);
        cgroup_top = "/tmp/cgroup";
        mount("none", cgroup_top, "cgroup2", 0, NULL);
    }
    snprintf(path, sizeof(path), "%s/cgroup.subtree_control", cgroup_top);
    put(path, "+memory +pids");
    mkdir(DIR, 0700);
    EXPECT(mount("none", DIR, "tmpfs", 0, NULL) == 0);
}

/* In the keeper's own group: files that are told of all in the hog's directory, or closes them. */
#define LISTENERS 60
static int listeners[LISTENERS];

static void hog_listen(bool on)
{
    for (int i = 0; i < LISTENERS; i++) {
        if (!on) {
            close(listeners[i]);
            continue;
        }
        listeners[i] = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        EXPECT(inotify_add_watch(listeners[i], DIR, IN_ALL_EVENTS) == 1);
    }
}

/* All that the hog left is gone, and the group with it. */
static void hog_end(const char *group)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/cgroup.kill", group);
    put(path, "1");
    while (rmdir(group)) {
        EXPECT(errno == EBUSY);
        usleep(10000);
    }
    EXPECT(umount2(DIR, MNT_DETACH) == 0);
}

static bool is_bothy(void)
{
    struct utsname u;

    return uname(&u) == 0 && strstr(u.release, "bothy");
}

/* Runs a hog; a harmless one ends as it likes and nobody is killed. */
static void hog_test_heard(const char *name, bool harmless, bool heard)
{
    long peak, killed, before, kept = is_bothy() ? 4096 : 32768; /* Linux keeps slabs */
    char group[64], path[128];
    int status = 0;
    pid_t pid;

    hog_prepare();
    before = number("/proc/meminfo", "MemFree");
    snprintf(group, sizeof(group), "%s/hog-%s", cgroup_top, name);
    EXPECT(mkdir(group, 0755) == 0);
    snprintf(path, sizeof(path), "%s/memory.max", group);
    put(path, "16m");
    if (heard)
        hog_listen(true);
    pid = hog_start(name, group);
    EXPECT(waitpid(pid, &status, 0) == pid);
    if (heard)
        hog_listen(false);
    snprintf(path, sizeof(path), "%s/memory.events", group);
    killed = number(path, "oom_kill ");
    snprintf(path, sizeof(path), "%s/memory.peak", group);
    peak = number(path, NULL) >> 10;
    if (getenv("VERBOSE"))
        printf("# %s: status %#x, %ld killed, peak %ld KiB\n", name, status, killed, peak);
    if (harmless)
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == ENDED && killed == 0);
    else
        EXPECT((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && killed > 0) ||
               (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED));
    EXPECT(peak <= (LIMIT_MB + 1) << 10);
    hog_end(group);
    for (int i = 0; before - number("/proc/meminfo", "MemFree") > kept; i++) {
        EXPECT(i < 3000);
        usleep(20000);
    }
}

static void hog_test(const char *name, bool harmless)
{
    hog_test_heard(name, harmless, false);
}

TEST(memory_stays_in_its_group)
{
    hog_test("memory", false);
}
TEST(page_tables_stay_in_their_group)
{
    hog_test("tables", false);
}
/* Far larger than the hog, and in no group with a limit: chosen when RAM is out, only then. */
static pid_t bystander_start(void)
{
    size_t n = 64UL << 20;
    int ready[2];
    pid_t pid;
    char c;

    EXPECT(pipe(ready) == 0);
    pid = fork();
    if (pid) {
        EXPECT(read(ready[0], &c, 1) == 1);
        return pid;
    }
    memset(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, n);
    write(ready[1], "", 1);
    for (;;)
        pause();
}

TEST(page_tables_of_one_call_stay_in_their_group)
{
    pid_t bystander = bystander_start();
    int status;

    hog_test("populate", false);
    EXPECT(waitpid(bystander, &status, WNOHANG) == 0);
    kill(bystander, SIGKILL);
    EXPECT(waitpid(bystander, &status, 0) == bystander);
}
TEST(files_stay_in_their_group)
{
    hog_test("files", false);
}
TEST(file_data_stays_in_its_group)
{
    hog_test("data", false);
}
TEST(pipes_stay_in_their_group)
{
    hog_test("pipes", false);
}
TEST(sockets_stay_in_their_group)
{
    hog_test("sockets", false);
}
TEST(events_and_timers_stay_in_their_group)
{
    hog_test("eventfds", false);
}
TEST(names_of_sockets_stay_in_their_group)
{
    hog_test("names", false);
}
TEST(datagrams_stay_in_their_group)
{
    hog_test("datagrams", false);
}
TEST(descriptors_in_flight_stay_in_their_group)
{
    hog_test("flight", false);
}
TEST(watches_stay_in_their_group)
{
    hog_test("watches", false);
}
TEST(threads_stay_in_their_group)
{
    hog_test("threads", false);
}
TEST(areas_stay_in_their_group)
{
    hog_test("areas", false);
}
TEST(processes_stay_in_their_group)
{
    hog_test("fork", false);
}
TEST(absent_names_are_forgotten)
{
    hog_test("absent", true);
}
TEST(what_others_are_told_of_is_not_the_groups)
{
    hog_test_heard("told", true, true);
}

#define CROWD 100 /* groups that have looked for a name that is not there */

static void crowd_look(const char *group)
{
    char path[128], me[16];
    struct stat st;
    pid_t pid = fork();

    if (pid == 0) {
        snprintf(path, sizeof(path), "%s/cgroup.procs", group);
        snprintf(me, sizeof(me), "%d", (int)getpid());
        put(path, me);
        snprintf(path, sizeof(path), DIR "/%s", group + strlen(cgroup_top));
        _exit(stat(path, &st) == 0);
    }
    EXPECT(waitpid(pid, NULL, 0) == pid);
}

static void crowd_make(bool on)
{
    char group[64];

    for (int i = 0; i < CROWD; i++) {
        snprintf(group, sizeof(group), "%s/crowd-%d", cgroup_top, i);
        if (on) {
            EXPECT(mkdir(group, 0755) == 0);
            crowd_look(group);
        } else {
            EXPECT(rmdir(group) == 0);
        }
    }
}

/* However many other groups have names that could be forgotten. */
TEST(absent_names_of_groups_below_are_forgotten)
{
    char group[64], inner[96], path[128];
    int status;
    pid_t pid;

    hog_prepare();
    crowd_make(true);
    snprintf(group, sizeof(group), "%s/hog-outer", cgroup_top);
    snprintf(inner, sizeof(inner), "%s/in", group);
    EXPECT(mkdir(group, 0755) == 0);
    snprintf(path, sizeof(path), "%s/memory.max", group);
    put(path, "16m");
    snprintf(path, sizeof(path), "%s/cgroup.subtree_control", group);
    put(path, "+memory");
    EXPECT(mkdir(inner, 0755) == 0);
    pid = hog_start("absent", inner);
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == ENDED);
    EXPECT(rmdir(inner) == 0);
    hog_end(group);
    crowd_make(false);
}

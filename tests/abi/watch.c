/* SPDX-License-Identifier: MIT
 *
 * Being told: inotify about files that go, polls of the mount table.
 */
#include <stdarg.h>
#include <sys/inotify.h>
#include <sys/mount.h>

#include "place.h"

static int in;

static void begin(void)
{
    begin_with(NULL);
    in = inotify_init1(IN_NONBLOCK);
    EXPECT(in >= 0 && mkdir("d", 0755) == 0);
    EXPECT(inotify_add_watch(in, "d", IN_ALL_EVENTS) == 1);
}

static int make(const char *name)
{
    int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644);

    EXPECT(fd >= 0);
    return fd;
}

/* What has been told since, as "watch:mask[:name] ...". */
static bool told(const char *want)
{
    static char text[2000];
    char buf[4096] __attribute__((aligned(8)));
    ssize_t n = read(in, buf, sizeof(buf));
    size_t at = 0;

    text[0] = '\0';
    for (char *p = buf; n > 0 && p < buf + n;) {
        struct inotify_event *e = (void *)p;

        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d:%x%s%s", at ? " " : "", e->wd,
                               e->mask, e->len ? ":" : "", e->len ? e->name : "");
        p += sizeof(*e) + e->len;
    }
    if (strcmp(text, want) != 0)
        printf("# told: %s\n", text);
    return strcmp(text, want) == 0;
}

TEST(an_open_file_is_watched_until_its_last_close)
{
    begin();
    int fd = make("d/f");
    EXPECT(inotify_add_watch(in, "d/f", IN_ALL_EVENTS) == 2 && told("1:100:f 1:20:f"));
    EXPECT(unlink("d/f") == 0 && told("2:4 1:200:f"));
    EXPECT(write(fd, "x", 1) == 1 && told("1:2:f 2:2"));
    EXPECT(close(fd) == 0 && told("1:8:f 2:8 2:400 2:8000"));
    EXPECT_ERR(inotify_rm_watch(in, 2), EINVAL);
}

/* They are in no event that is asked for, and do not make a directory's events match. */
TEST(bits_of_events_alone_ask_for_nothing)
{
    begin();
    EXPECT(mkdir("d/sub", 0755) == 0 && told("1:40000100:sub"));
    EXPECT(inotify_add_watch(in, "d", IN_DELETE | IN_ISDIR | IN_UNMOUNT) == 1);
    EXPECT(mkdir("d/other", 0755) == 0 && told(""));
    EXPECT(inotify_add_watch(in, "d", IN_ISDIR) == 1);
    EXPECT(rmdir("d/other") == 0 && told(""));
    EXPECT_ERR(inotify_add_watch(in, "d", 0), EINVAL);
    EXPECT_ERR(inotify_add_watch(in, "d", IN_DELETE | 0x1000), EINVAL);
    EXPECT(inotify_rm_watch(in, 1) == 0 && told("1:8000"));
}

TEST(a_file_nobody_has_open_goes_at_once)
{
    begin();
    close(make("d/f"));
    EXPECT(link("d/f", "d/g") == 0 && inotify_add_watch(in, "d/f", IN_ALL_EVENTS) == 2);
    EXPECT(told("1:100:f 1:20:f 1:8:f 1:100:g"));
    EXPECT(unlink("d/f") == 0 && told("2:4 1:200:f"));
    EXPECT(unlink("d/g") == 0 && told("2:4 2:400 2:8000 1:200:g"));
}

TEST(a_replaced_file_goes_at_its_last_close)
{
    begin();
    close(make("d/x"));
    int fd = make("d/y");
    EXPECT(inotify_add_watch(in, "d/y", IN_ATTRIB | IN_DELETE_SELF) == 2);
    EXPECT(told("1:100:x 1:20:x 1:8:x 1:100:y 1:20:y"));
    EXPECT(rename("d/x", "d/y") == 0 && told("1:40:x 1:80:y 2:4"));
    EXPECT(inotify_rm_watch(in, 1) == 0 && told("1:8000"));
    EXPECT(close(fd) == 0 && told("2:400 2:8000"));
}

/* Of layers, too, where the file itself stays below. */
TEST(a_lower_file_that_goes_is_gone_for_those_who_watch_it)
{
    begin();
    make_layers();
    close(make("l/f"));
    close(make("l/g"));
    close(make("u/new"));
    EXPECT(overlay("m") == 0 && inotify_rm_watch(in, 1) == 0 && told("1:8000"));
    int fd = open("m/f", O_RDONLY);
    EXPECT(fd >= 0 && inotify_add_watch(in, "m/f", IN_ATTRIB | IN_DELETE_SELF) == 2);
    EXPECT(unlink("m/f") == 0 && told("2:4"));
    EXPECT(close(fd) == 0 && told("2:400 2:8000"));
    EXPECT(inotify_add_watch(in, "m/g", IN_ATTRIB | IN_DELETE_SELF) == 3);
    EXPECT(rename("m/new", "m/g") == 0 && told("3:4 3:400 3:8000"));
}

TEST(a_watch_of_an_unlinked_file_ends_with_it)
{
    char path[40];

    begin();
    int fd = make("d/f");
    EXPECT(unlink("d/f") == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    EXPECT(inotify_add_watch(in, path, IN_DELETE_SELF) == 2);
    EXPECT(told("1:100:f 1:20:f 1:200:f"));
    EXPECT(inotify_rm_watch(in, 1) == 0 && told("1:8000"));
    EXPECT(close(fd) == 0 && told("2:400 2:8000"));
}

TEST(directories_tell_of_their_own_moves_plainly)
{
    begin();
    EXPECT(mkdir("d/s", 0755) == 0);
    EXPECT(inotify_add_watch(in, "d/s", IN_ALL_EVENTS) == 2 && told("1:40000100:s"));
    EXPECT(rename("d/s", "d/t") == 0 && told("1:40000040:s 1:40000080:t 2:800"));
    EXPECT(rmdir("d/t") == 0 && told("2:400 2:8000 1:40000200:t"));
    EXPECT(mkdir("e", 0755) == 0 && inotify_add_watch(in, "e", IN_DELETE_SELF | IN_ATTRIB) == 3);
    int fd = open("e", O_RDONLY);
    EXPECT(fd >= 0 && rmdir("e") == 0 && told(""));
    EXPECT(close(fd) == 0 && told("3:400 3:8000"));
}

static void read_text(const char *path, char *buf, size_t n)
{
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, buf, n - 1);

    EXPECT(fd >= 0 && got > 0 && close(fd) == 0);
    buf[got] = '\0';
}

TEST(fdinfo_tells_of_watches)
{
    char path[40], text[1000], want[100];
    struct stat st;

    begin();
    EXPECT(stat("d", &st) == 0);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", in);
    read_text(path, text, sizeof(text));
    snprintf(want, sizeof(want), "inotify wd:1 ino:%lx sdev:%lx mask:fff ",
             (unsigned long)st.st_ino, (unsigned long)st.st_dev);
    EXPECT(strstr(text, want));
}

/* Of one user; what others have does not count. */
TEST(inotify_files_and_their_limits)
{
    char text[100];
    int n = 0, status;

    read_text("/proc/sys/fs/inotify/max_user_instances", text, sizeof(text));
    EXPECT(atoi(text) == 128);
    read_text("/proc/sys/fs/inotify/max_user_watches", text, sizeof(text));
    EXPECT(atoi(text) >= 8192);
    read_text("/proc/sys/fs/inotify/max_queued_events", text, sizeof(text));
    EXPECT(atoi(text) == 16384);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(setuid(12345) == 0);
        while (inotify_init() >= 0)
            n++;
        EXPECT(errno == EMFILE && n == 128);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(inotify_init() >= 0);
}

static short polled(int fd, short events, int ms)
{
    struct pollfd p = {fd, events, 0};

    return poll(&p, 1, ms) ? p.revents : 0;
}

static void *mount_later(void *arg)
{
    EXPECT(mount("m", "d", "tmpfs", 0, NULL) == 0);
    return NULL;
}

TEST(a_change_of_the_mounts_wakes_who_polls_them)
{
    static const char *const files[] = {"/proc/self/mounts", "/proc/self/mountinfo"};
    pthread_t t;
    char c;

    begin();
    for (int i = 0; i < 2; i++) {
        int fd = open(files[i], O_RDONLY);

        EXPECT(fd >= 0 && read(fd, &c, 1) == 1);
        EXPECT(polled(fd, POLLIN | POLLPRI, 0) == POLLIN && polled(fd, POLLPRI, 0) == 0);
        EXPECT(pthread_create(&t, NULL, mount_later, NULL) == 0);
        EXPECT(polled(fd, POLLPRI, -1) == (POLLPRI | POLLERR) && pthread_join(t, NULL) == 0);
        EXPECT(polled(fd, POLLPRI, 0) == 0);
        EXPECT(mount("m", "d", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
        EXPECT(polled(fd, POLLPRI, 0) == (POLLPRI | POLLERR));
        EXPECT(umount("d") == 0 && polled(fd, POLLPRI, 0) == (POLLPRI | POLLERR));
        close(fd);
    }
}

/* SPDX-License-Identifier: MIT
 *
 * Terminals: who may reach whose, and what their numbers are.
 */
#include "abi.h"

#include <sys/ioctl.h>
#include <sys/mount.h>
#include <termios.h>

/* A devpts of our own; a new pair, by its ptmx. */
static void own_devpts(const char *options)
{
    mkdir("/tmp", 0777);
    mkdir("/tmp/pts", 0755);
    EXPECT(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    EXPECT(mount("none", "/tmp/pts", "devpts", 0, options) == 0);
}

static int open_pair(char *slave, size_t n)
{
    int master = open("/tmp/pts/ptmx", O_RDWR | O_NOCTTY), unlock = 0, index = -1;

    EXPECT(master >= 0 && ioctl(master, TIOCSPTLCK, &unlock) == 0);
    EXPECT(ioctl(master, TIOCGPTN, &index) == 0);
    snprintf(slave, n, "/tmp/pts/%d", index);
    return master;
}

TEST(node_of_a_terminal_that_is_gone_opens_no_other)
{
    char name[32], again[32], path[32];
    int master, node;

    own_devpts("newinstance,ptmxmode=0666,mode=0666");
    master = open_pair(name, sizeof(name));
    node = open(name, O_PATH);
    EXPECT(node >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", node);
    int slave = open(path, O_RDWR | O_NOCTTY);
    EXPECT(slave >= 0 && close(slave) == 0 && close(master) == 0);
    master = open_pair(again, sizeof(again));
    EXPECT(strcmp(name, again) == 0); /* the number is used again */
    EXPECT_ERR(open(path, O_RDWR | O_NOCTTY), EIO);
    EXPECT(open(again, O_RDWR | O_NOCTTY) >= 0);
}

TEST(terminals_have_the_lowest_free_numbers)
{
    enum { MANY = 150 };
    int masters[MANY];
    char name[32], want[32];

    own_devpts("newinstance,ptmxmode=0666,mode=0666,max=150");
    for (int i = 0; i < MANY; i++) {
        masters[i] = open_pair(name, sizeof(name));
        snprintf(want, sizeof(want), "/tmp/pts/%d", i);
        EXPECT(strcmp(name, want) == 0);
    }
    EXPECT_ERR(open("/tmp/pts/ptmx", O_RDWR | O_NOCTTY), ENOSPC);
    for (int i = 130; i >= 70; i -= 60) {
        EXPECT(close(masters[i]) == 0);
        masters[i] = open_pair(name, sizeof(name));
        snprintf(want, sizeof(want), "/tmp/pts/%d", i);
        EXPECT(strcmp(name, want) == 0 && open(name, O_RDWR | O_NOCTTY) >= 0);
    }
    EXPECT_ERR(open("/tmp/pts/150", O_RDWR | O_NOCTTY), ENOENT);
}

TEST(terminal_belongs_to_who_opened_its_master)
{
    struct stat st;
    char name[32];

    own_devpts("newinstance,ptmxmode=0666,mode=0620,gid=5");
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(setresuid(1000, 1000, 1000) == 0);
        open_pair(name, sizeof(name));
        EXPECT(stat(name, &st) == 0 && st.st_uid == 1000 && st.st_gid == 5);
        EXPECT((st.st_mode & 0777) == 0620);
        _exit(0);
    }
    int status;
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(owner_in_mount_options_has_32_bits)
{
    mkdir("/tmp", 0777);
    mkdir("/tmp/pts", 0755);
    EXPECT_ERR(mount("none", "/tmp/pts", "devpts", 0, "newinstance,uid=4294967296"), EINVAL);
    EXPECT_ERR(mount("none", "/tmp/pts", "devpts", 0, "newinstance,gid=-1"), EINVAL);
    EXPECT_ERR(mount("none", "/tmp/pts", "tmpfs", 0, "uid=4294967296"), EINVAL);
    EXPECT_ERR(mount("none", "/tmp/pts", "tmpfs", 0, "gid=4294967295"), EINVAL);
}

/* Who can only write cannot take it as controlling terminal, unless privileged. */
TEST(controlling_terminal_is_taken_by_who_can_read_it)
{
    char name[32];
    int status;

    own_devpts("newinstance,ptmxmode=0666,mode=0666");
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(setresuid(1000, 1000, 1000) == 0 && setsid() > 0);
        open_pair(name, sizeof(name));
        int write_only = open(name, O_WRONLY | O_NOCTTY), both = open(name, O_RDWR | O_NOCTTY);
        EXPECT(write_only >= 0 && both >= 0);
        EXPECT_ERR(ioctl(write_only, TIOCSCTTY, 0), EPERM);
        EXPECT(ioctl(both, TIOCSCTTY, 0) == 0);
        EXPECT(tcgetsid(both) == getpid() && tcgetpgrp(both) == getpid());
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

static int inside(void *arg)
{
    int slave = *(int *)arg;
    pid_t pgrp = -1;

    /* The terminal's group and session are outside: they have no number here. */
    EXPECT(getpid() == 1);
    EXPECT(ioctl(slave, TIOCGPGRP, &pgrp) == 0 && pgrp == 0);
    return 0;
}

TEST(groups_of_a_terminal_are_told_in_the_readers_numbers)
{
    static char stack[65536];
    char name[32];
    int status;

    own_devpts("newinstance,ptmxmode=0666,mode=0666");
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(setsid() > 0);
        open_pair(name, sizeof(name));
        int slave = open(name, O_RDWR);
        EXPECT(slave >= 0 && tcgetpgrp(slave) == getpid());
        pid_t in = clone(inside, stack + sizeof(stack), CLONE_NEWPID | SIGCHLD, &slave);
        EXPECT(in > 0 && waitpid(in, &status, 0) == in && status == 0);
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

/* A pair whose master does not wait; the slave. */
static int open_both(int *master)
{
    char name[32];
    int slave;

    own_devpts("newinstance,ptmxmode=0666,mode=0666");
    *master = open_pair(name, sizeof(name));
    slave = open(name, O_RDWR | O_NOCTTY);
    EXPECT(slave >= 0);
    return slave;
}

static size_t read_until(int fd, char *buf, size_t size, char last)
{
    size_t n = 0;

    while (n < size && (!n || buf[n - 1] != last))
        EXPECT(read(fd, buf + n++, 1) == 1);
    return n;
}

/* What was output since the line began does not count. */
TEST(erasing_a_tab_goes_back_over_its_own_columns)
{
    static char out[2000], got[4096];
    int master, slave = open_both(&master), backs = 0;
    size_t n;

    memset(out, 'x', sizeof(out));
    EXPECT(write(master, "a", 1) == 1);
    read_until(master, got, sizeof(got), 'a');
    EXPECT(write(slave, out, sizeof(out)) == sizeof(out) && write(slave, ".", 1) == 1);
    read_until(master, got, sizeof(got), '.');
    EXPECT(write(master, "\t\177b", 3) == 3);
    n = read_until(master, got, sizeof(got), 'b');
    for (size_t i = 0; i < n; i++)
        backs += got[i] == '\b';
    EXPECT(backs == 7);
}

/* Each of many ^C in one write is a signal, and what is typed behind them arrives. */
TEST(all_of_a_write_is_typed_behind_its_signals)
{
    char keys[302], got[16];
    int master, slave, status;

    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(setsid() > 0);
        slave = open_both(&master);
        EXPECT(ioctl(slave, TIOCSCTTY, 0) == 0);
        signal(SIGINT, SIG_IGN);
        memset(keys, 3, 300);
        memcpy(keys + 300, "k\n", 2);
        EXPECT(write(master, keys, sizeof(keys)) == sizeof(keys));
        EXPECT(read(slave, got, sizeof(got)) == 2 && got[0] == 'k');
        _exit(0);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(a_writer_that_does_not_wait_waits_for_no_other)
{
    static char out[1 << 16];
    int master, slave = open_both(&master), status;
    pid_t pid;

    EXPECT(ioctl(slave, TCXONC, TCOOFF) == 0);
    pid = fork();
    if (pid == 0) { /* waits for the line */
        write(slave, out, sizeof(out));
        _exit(0);
    }
    until_process_asleep(pid);
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", slave);
    int second = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK);
    EXPECT(second >= 0);
    EXPECT_ERR(write(second, "x", 1), EAGAIN);
    kill(pid, SIGKILL);
    EXPECT(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
}

/* A gigabyte is being typed; its writer hears the signal at once. */
TEST(a_long_write_to_a_terminal_ends_at_the_kill)
{
    size_t size = 1 << 30;
    int master, ready[2], status;
    struct timespec a_while = {0, 50000000};
    char *zeros, c;

    open_both(&master);
    zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(zeros != MAP_FAILED && pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(write(ready[1], "r", 1) == 1);
        write(master, zeros, size);
        pause();
    }
    EXPECT(read(ready[0], &c, 1) == 1);
    nanosleep(&a_while, NULL);
    EXPECT(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
}

/* A writer waits for space; what it has written so far is thrown away, and it goes on. */
TEST(flushing_the_output_lets_its_writer_go_on)
{
    static char out[1 << 17], got[4096];
    int master, slave = open_both(&master), status;
    struct termios raw;
    pid_t pid;

    EXPECT(tcgetattr(slave, &raw) == 0);
    cfmakeraw(&raw);
    EXPECT(tcsetattr(slave, TCSANOW, &raw) == 0);
    pid = fork();
    if (pid == 0)
        _exit(write(slave, out, sizeof(out)) != sizeof(out));
    until_process_asleep(pid);
    EXPECT(tcflush(slave, TCOFLUSH) == 0);
    alarm(LIMIT_S);
    EXPECT(fcntl(master, F_SETFL, O_NONBLOCK) == 0);
    while (waitpid(pid, &status, WNOHANG) == 0)
        if (read(master, got, sizeof(got)) < 0)
            sched_yield();
    EXPECT(status == 0);
}

/* What the terminal has for its reader after this was typed, in tests/abi's own devpts. */
static ssize_t typed(int master, int slave, const char *text, char *line, size_t n)
{
    EXPECT(write(master, text, strlen(text)) == (ssize_t)strlen(text));
    return read(slave, line, n);
}

static void shown(int master, const char *want)
{
    char got[1024];
    size_t n = 0, len = strlen(want);

    while (n < len) {
        ssize_t r = read(master, got + n, len - n);
        EXPECT(r > 0);
        n += (size_t)r;
    }
    EXPECT(memcmp(got, want, len) == 0);
}

TEST(edits_go_over_the_whole_of_a_long_line)
{
    static char text[4000], line[4096], want[1024];
    struct termios tio;
    char name[32];
    int master, slave;

    own_devpts("newinstance,ptmxmode=0666");
    master = open_pair(name, sizeof(name));
    slave = open(name, O_RDWR | O_NOCTTY);
    EXPECT(slave >= 0 && tcgetattr(slave, &tio) == 0);
    tio.c_lflag &= ~(tcflag_t)ECHO;
    EXPECT(tcsetattr(slave, TCSANOW, &tio) == 0);
    memset(text, 'a', 3000);
    strcpy(text + 3000, "\025b\n"); /* VKILL */
    EXPECT(typed(master, slave, text, line, sizeof(line)) == 2 && memcmp(line, "b\n", 2) == 0);
    memset(text, 'x', 1000);
    memset(text + 1000, ' ', 500);
    memset(text + 1500, 'y', 1000);
    memset(text + 2500, ' ', 500);
    strcpy(text + 3000, "\027z\n"); /* VWERASE */
    EXPECT(typed(master, slave, text, line, sizeof(line)) == 1502);
    EXPECT(line[999] == 'x' && line[1499] == ' ' && line[1500] == 'z');

    tio.c_lflag |= ECHO;
    EXPECT(tcsetattr(slave, TCSANOW, &tio) == 0);
    memset(text, 'q', 300);
    text[300] = '\0';
    EXPECT(write(master, text, 300) == 300);
    shown(master, text);
    EXPECT(write(master, "\022", 1) == 1); /* VREPRINT */
    snprintf(want, sizeof(want), "^R\r\n%.300s", text);
    shown(master, want);
}

TEST(pty_edits_lines)
{
    int m = posix_openpt(O_RDWR | O_NOCTTY), s;
    char buf[64];
    struct winsize ws = {24, 80, 0, 0}, got;

    EXPECT(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0);
    s = open(ptsname(m), O_RDWR | O_NOCTTY);
    EXPECT(s >= 0 && isatty(s));
    EXPECT(ioctl(m, TIOCSWINSZ, &ws) == 0 && ioctl(s, TIOCGWINSZ, &got) == 0 && got.ws_col == 80);
    EXPECT(write(m, "abX\177c\n", 6) == 6);
    EXPECT(read(s, buf, 64) == 4 && memcmp(buf, "abc\n", 4) == 0);
    EXPECT(read(m, buf, 64) > 0); /* the echo */
    struct termios t;
    EXPECT(tcgetattr(s, &t) == 0 && (t.c_lflag & ICANON));
    cfmakeraw(&t);
    EXPECT(tcsetattr(s, TCSANOW, &t) == 0);
    EXPECT(write(m, "\003x", 2) == 2 && read(s, buf, 64) == 2 && buf[0] == 3);
    EXPECT(write(s, "a\nb", 3) == 3 && read(m, buf, 64) == 3 && buf[1] == '\n');
    t.c_cc[VMIN] = 0, t.c_cc[VTIME] = 1;
    tcsetattr(s, TCSANOW, &t);
    EXPECT(read(s, buf, 64) == 0);
    close(s);
    EXPECT_ERR(read(m, buf, 64), EIO);
}

TEST(terminals_know_the_old_termio)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    struct {
        unsigned short iflag, oflag, cflag, lflag;
        unsigned char line, cc[8];
    } old;
    struct termios t;

    EXPECT(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    EXPECT(slave >= 0 && ioctl(slave, 0x5405, &old) == 0 && tcgetattr(slave, &t) == 0); /* TCGETA */
    EXPECT(old.lflag == (unsigned short)t.c_lflag && !memcmp(old.cc, t.c_cc, 8));
    old.lflag &= (unsigned short)~ECHO;
    old.cc[0] = 7;
    EXPECT(ioctl(slave, 0x5406, &old) == 0 && tcgetattr(slave, &t) == 0); /* TCSETA */
    EXPECT(!(t.c_lflag & ECHO) && t.c_cc[VINTR] == 7 && !(t.c_cflag & HUPCL));
}

TEST(held_settings_stay_as_they_are)
{
    struct termios now, wanted;
    struct {
        unsigned flags[4];
        unsigned char line, cc[19];
    } held = {{0}, 0, {0}}, told; /* the kernel's struct termios */
    char name[32];
    int master, slave;

    own_devpts("newinstance,ptmxmode=0666");
    master = open_pair(name, sizeof(name));
    slave = open(name, O_RDWR | O_NOCTTY);
    EXPECT(slave >= 0 && ioctl(slave, TIOCGLCKTRMIOS, &told) == 0);
    EXPECT(memcmp(&told, &held, sizeof(held)) == 0);
    held.flags[3] = ECHO;
    held.cc[VINTR] = 1;
    EXPECT(ioctl(slave, TIOCSLCKTRMIOS, &held) == 0 && ioctl(slave, TIOCGLCKTRMIOS, &told) == 0);
    EXPECT(memcmp(&told, &held, sizeof(held)) == 0);
    EXPECT(tcgetattr(slave, &now) == 0 && (now.c_lflag & ECHO));
    wanted = now;
    wanted.c_lflag &= ~(unsigned)(ECHO | ICANON);
    wanted.c_cc[VINTR] = 'x';
    wanted.c_cc[VQUIT] = 'y';
    EXPECT(tcsetattr(slave, TCSANOW, &wanted) == 0 && tcgetattr(slave, &now) == 0);
    EXPECT((now.c_lflag & (ECHO | ICANON)) == ECHO);
    EXPECT(now.c_cc[VINTR] == 3 && now.c_cc[VQUIT] == 'y');
    EXPECT(setresuid(1000, 1000, 1000) == 0);
    EXPECT(ioctl(slave, TIOCGLCKTRMIOS, &told) == 0);
    EXPECT_ERR(ioctl(slave, TIOCSLCKTRMIOS, &held), EPERM);
    close(master);
}

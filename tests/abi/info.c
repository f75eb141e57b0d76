/* SPDX-License-Identifier: MIT
 *
 * What programs read of the system: /proc and /sys in the shapes of proc(5) and sysfs(5), held
 * against what the calls say.
 */
#include "abi.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The file as a string; fails the test when it cannot be read. */
static char *slurp(const char *path)
{
    static char text[1 << 16];
    size_t n = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY);

    EXPECT(fd >= 0);
    while ((got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
        n += (size_t)got;
    EXPECT(got == 0);
    close(fd);
    text[n] = 0;
    return text;
}

static long number(const char *path)
{
    char *end;
    long v = strtol(slurp(path), &end, 10);

    EXPECT(*end == '\n');
    return v;
}

/* The number behind "KEY:" at the start of a line; -1: no such line. */
static long field(const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (!strncmp(line, key, len) && line[len] == ':')
            return strtol(line + len + 1, NULL, 10);
    return -1;
}

/* How many processors a list such as "0-3,5" names. */
static long list_count(const char *text)
{
    long n = 0, from, to;
    char *p = (char *)text;

    while (*p >= '0' && *p <= '9') {
        from = to = strtol(p, &p, 10);
        if (*p == '-')
            to = strtol(p + 1, &p, 10);
        n += to - from + 1;
        p += *p == ',';
    }
    EXPECT(*p == '\n');
    return n;
}

TEST(sys_lists_the_processors_that_sysconf_counts)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN), found = 0;
    char path[128];

    EXPECT(list_count(slurp("/sys/devices/system/cpu/online")) == n);
    EXPECT(list_count(slurp("/sys/devices/system/cpu/possible")) >= n);
    EXPECT(list_count(slurp("/sys/devices/system/cpu/present")) >= n);
    for (long i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%ld/topology/core_id", i);
        EXPECT(number(path) >= 0);
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%ld/topology/thread_siblings_list",
                 i);
        EXPECT(list_count(slurp(path)) >= 1);
        found++;
    }
    EXPECT(found == n);
    for (const char *p = slurp("/proc/cpuinfo"); (p = strstr(p, "processor\t:")); p++)
        found--;
    EXPECT(found == 0);
    EXPECT(strstr(slurp("/proc/cpuinfo"), " fpu ") && strstr(slurp("/proc/cpuinfo"), " sse2 "));
}

/* In the words that programs look for. */
TEST(each_flaw_of_speculation_has_its_state)
{
    static const char *const names[] = {"itlb_multihit",   "l1tf",           "mds",
                                        "meltdown",        "retbleed",       "spec_store_bypass",
                                        "spectre_v1",      "spectre_v2",     "srbds",
                                        "tsx_async_abort", "mmio_stale_data"};
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *state;

        snprintf(path, sizeof(path), "/sys/devices/system/cpu/vulnerabilities/%s", names[i]);
        state = slurp(path);
        EXPECT(strchr(state, '\n') && !strchr(state, '\n')[1]);
        EXPECT(!strcmp(state, "Not affected\n") || !strncmp(state, "Vulnerable", 10) ||
               !strncmp(state, "Mitigation: ", 12) || !strncmp(state, "Unknown", 7) ||
               !strncmp(state, "KVM: ", 5));
    }
}

TEST(stat_has_a_line_for_each_processor)
{
    const char *text = slurp("/proc/stat");
    long lines = 0;

    EXPECT(!strncmp(text, "cpu  ", 5));
    for (const char *p = text; (p = strstr(p, "\ncpu")); p++)
        lines++;
    EXPECT(lines == sysconf(_SC_NPROCESSORS_ONLN));
    EXPECT(strstr(text, "\nctxt ") && strstr(text, "\nbtime ") && strstr(text, "\nprocesses "));
}

TEST(sysctl_numbers_are_those_of_the_calls)
{
    struct rlimit r;
    int p[2];

    EXPECT(number("/proc/sys/fs/nr_open") >= 1024 && !getrlimit(RLIMIT_NOFILE, &r));
    EXPECT(r.rlim_max <= (rlim_t)number("/proc/sys/fs/nr_open"));
    EXPECT(number("/proc/sys/kernel/ngroups_max") == sysconf(_SC_NGROUPS_MAX));
    EXPECT(number("/proc/sys/kernel/cap_last_cap") >= 36);
    EXPECT(number("/proc/sys/kernel/pid_max") >= 32768);
    EXPECT(!pipe(p) && fcntl(p[0], F_SETPIPE_SZ, number("/proc/sys/fs/pipe-max-size")) ==
                           number("/proc/sys/fs/pipe-max-size"));
    EXPECT(strlen(slurp("/proc/sys/kernel/random/uuid")) == 37);
    EXPECT(number("/proc/sys/vm/overcommit_memory") >= 0);
}

/* The line of table whose last-but-few columns name the inode; NULL. */
static const char *line_with(const char *text, unsigned long inode)
{
    char want[32];
    const char *p;

    snprintf(want, sizeof(want), " %lu ", inode);
    p = strstr(text, want);
    while (p && p > text && p[-1] != '\n')
        p--;
    return p;
}

static unsigned long inode_of(int fd)
{
    struct stat st;

    EXPECT(!fstat(fd, &st));
    return st.st_ino;
}

TEST(net_tcp_lists_listeners_and_connections)
{
    struct sockaddr_in a = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t len = sizeof(a);
    unsigned line, ip, port, rem_ip, rem_port, state;
    const char *p;

    EXPECT(!bind(l, (void *)&a, sizeof(a)) && !listen(l, 4));
    EXPECT(!getsockname(l, (void *)&a, &len) && !connect(c, (void *)&a, sizeof(a)));
    p = line_with(slurp("/proc/net/tcp"), inode_of(l));
    EXPECT(p &&
           sscanf(p, "%u: %X:%X %X:%X %X", &line, &ip, &port, &rem_ip, &rem_port, &state) == 6);
    EXPECT(ip == a.sin_addr.s_addr && port == ntohs(a.sin_port) && !rem_port && state == 10);
    p = line_with(slurp("/proc/self/net/tcp"), inode_of(c));
    EXPECT(p &&
           sscanf(p, "%u: %X:%X %X:%X %X", &line, &ip, &port, &rem_ip, &rem_port, &state) == 6);
    EXPECT(port && rem_ip == a.sin_addr.s_addr && rem_port == ntohs(a.sin_port) && state == 1);
    close(c);
    close(l);
}

TEST(net_unix_lists_names)
{
    struct sockaddr_un a = {AF_UNIX, "\0info-test"};
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    const char *p;

    EXPECT(!bind(s, (void *)&a, offsetof(struct sockaddr_un, sun_path) + 10));
    p = strstr(slurp("/proc/net/unix"), " @info-test\n");
    EXPECT(p);
    close(s);
    EXPECT(!strstr(slurp("/proc/net/unix"), " @info-test\n"));
}

TEST(net_dev_has_the_loopback)
{
    EXPECT(strstr(slurp("/proc/net/dev"), "    lo:"));
    EXPECT(!strncmp(slurp("/proc/net/route"), "Iface\tDestination", 17));
}

TEST(status_describes_the_process)
{
    const char *text = slurp("/proc/self/status");
    const char *cpus = strstr(text, "Cpus_allowed_list:\t");

    EXPECT(field(text, "Pid") == getpid() && field(text, "PPid") == getppid());
    EXPECT(field(text, "Threads") == 1 && field(text, "TracerPid") == 0);
    EXPECT(field(text, "VmRSS") > 0 && field(text, "VmSize") >= field(text, "VmRSS"));
    EXPECT(cpus && list_count(cpus + strlen("Cpus_allowed_list:\t")) >= 1);
}

TEST(smaps_counts_what_is_in_memory)
{
    size_t size = 64 * 4096;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char line[32];
    const char *at;

    EXPECT(p != MAP_FAILED && !madvise(p, size, MADV_NOHUGEPAGE) && !mprotect(p, 4096, PROT_NONE));
    for (size_t i = 8; i < 24; i++)
        p[i * 4096] = 1;
    snprintf(line, sizeof(line), "%lx-", (unsigned long)p + 4096);
    at = strstr(slurp("/proc/self/smaps"), line);
    EXPECT(at && field(at, "Rss") >= 64 && field(at, "Rss") < 256);
    EXPECT(field(at, "Anonymous") == field(at, "Rss"));
}

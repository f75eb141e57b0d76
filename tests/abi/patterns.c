/* SPDX-License-Identifier: MIT
 *
 * What is written is what is read, and fresh memory is zero, whatever the kernel does with the
 * pages meanwhile: crowds of processes move words that tell their owner, generation and place
 * through pipes, sockets, files, mappings and forks, and each word is looked at. In a control group
 * whose memory is little more than they need, where there is one.
 *
 * `patterns soak SECONDS [MIB [SEED]]` goes on for that long, with so much memory, from those
 * random numbers.
 */
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "patterns.h"

/* ------------------------------------------------------------- streams */

/* Bytes in pieces of random sizes, not at word boundaries. */
static void send_all(int fd, const char *p, size_t n)
{
    while (n) {
        size_t m = 1 + random_below(random_below(4) ? 3000 : 70000);
        ssize_t got = write(fd, p, m < n ? m : n);

        EXPECT(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

static void take_all(int fd, char *p, size_t n)
{
    while (n) {
        size_t m = 1 + random_below(random_below(4) ? 3000 : 70000);
        ssize_t got = read(fd, p, m < n ? m : n);

        EXPECT(got > 0);
        p += got;
        n -= (size_t)got;
    }
}

#define STREAM (192UL << 10)

static void stream_write(int fd, uint64_t base, unsigned rounds)
{
    for (unsigned r = 0; r < rounds; r++) {
        char *p = map_anonymous(STREAM); /* new each time: its pages and tables come and go */

        fill(p, STREAM, base + r, 0);
        send_all(fd, p, STREAM);
        munmap(p, STREAM);
    }
    close(fd);
}

static void stream_check(int fd, uint64_t base, unsigned rounds)
{
    for (unsigned r = 0; r < rounds; r++) {
        char *p = map_anonymous(STREAM);

        take_all(fd, p, STREAM);
        SAME(p, STREAM, base + r, 0);
        munmap(p, STREAM);
    }
}

/* From one descriptor to the other until the end, in a way chosen each time. */
static void stream_relay(int from, int to)
{
    int spare[2];
    char buf[9000];

    EXPECT(pipe(spare) == 0);
    for (;;) {
        size_t m = 1 + random_below(sizeof(buf));
        ssize_t n;

        if (random_below(2)) {
            n = read(from, buf, m);
            if (n > 0)
                send_all(to, buf, (size_t)n);
        } else {
            n = splice(from, NULL, spare[1], NULL, m, 0);
            for (ssize_t left = n; left > 0;) {
                ssize_t got = splice(spare[0], NULL, to, NULL, (size_t)left, 0);

                EXPECT(got > 0);
                left -= got;
            }
        }
        EXPECT(n >= 0);
        if (!n)
            break;
    }
    close(to);
}

/* Writer, pipe, relay, socket, reader. */
static void streams(uint64_t base)
{
    int p[2], s[2];
    unsigned rounds = 1 + (unsigned)random_below(3);
    pid_t writer, relay;

    EXPECT(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    writer = fork();
    if (writer == 0) {
        close(p[0]);
        stream_write(p[1], base, rounds);
        _exit(0);
    }
    close(p[1]);
    relay = fork();
    if (relay == 0) {
        close(s[0]);
        stream_relay(p[0], s[1]);
        _exit(0);
    }
    close(p[0]);
    close(s[1]);
    stream_check(s[0], base, rounds);
    close(s[0]);
    expect_success(writer);
    expect_success(relay);
}

/* ------------------------------------------------------------- copy on write */

static void churn_children(char *p, size_t n, uint64_t gen)
{
    pid_t kids[3];

    for (unsigned k = 0; k < 3; k++) {
        kids[k] = fork();
        if (kids[k] == 0) {
            size_t at = random_below(n / PAGE) * PAGE;

            SAME(p, n, gen, 0);
            fill(p + at, n - at, gen + 1000 + k, at);
            SAME(p, at, gen, 0);
            SAME(p + at, n - at, gen + 1000 + k, at);
            _exit(0);
        }
    }
    for (unsigned k = 0; k < 3; k++) { /* beside them */
        size_t at = random_below(n / PAGE) * PAGE;

        fill(p + at, n - at, gen + 1 + k, at);
        SAME(p + at, n - at, gen + 1 + k, at);
        SAME(p, 0, gen, 0);
        fill(p, n, gen, 0);
    }
    for (unsigned k = 0; k < 3; k++)
        expect_success(kids[k]);
    SAME(p, n, gen, 0);
}

/* Forks of what is written on both sides; moves, drops, new rights. */
static void copies(uint64_t base)
{
    bool large = random_below(3) == 0;
    size_t n = large ? HUGE * 2 : (8 + random_below(100)) * PAGE, space = large ? 4 * HUGE : n;
    char *whole = map_anonymous(space), *p = whole, *q;
    size_t at;

    if (large) {
        p = (char *)(((uintptr_t)whole + HUGE - 1) & ~(HUGE - 1));
        madvise(p, n, MADV_HUGEPAGE);
    }
    ZERO(p, n);
    fill(p, n, base, 0);
    churn_children(p, n, base);
    at = random_below(n / PAGE) * PAGE;
    EXPECT(mprotect(p + at, n - at, PROT_READ) == 0);
    SAME(p, n, base, 0);
    EXPECT(mprotect(p + at, n - at, PROT_READ | PROT_WRITE) == 0);
    churn_children(p, n, base);
    if (!large) {
        q = mremap(p, n, n + 64 * PAGE, MREMAP_MAYMOVE);
        EXPECT(q != MAP_FAILED);
        SAME(q, n, base, 0);
        ZERO(q + n, 64 * PAGE);
        whole = p = q;
        space = n + 64 * PAGE;
    }
    EXPECT(madvise(p + at, n - at, MADV_DONTNEED) == 0);
    SAME(p, at, base, 0);
    ZERO(p + at, n - at);
    munmap(whole, space);
}

/* ------------------------------------------------------------- threads beside each other */

struct beside {
    char *p; /* of this thread alone: a part of each page */
    size_t pages, offset;
    uint64_t gen;
    unsigned rounds;
    bool wrong;
};
#define PART 1024UL

static void *beside_run(void *arg)
{
    struct beside *b = arg;

    for (unsigned r = 0; r < b->rounds && !b->wrong; r++) {
        for (size_t i = 0; i < b->pages; i++)
            fill(b->p + i * PAGE + b->offset, PART, b->gen + r, i * PAGE);
        for (size_t i = 0; i < b->pages; i++)
            b->wrong |= !same(__func__, b->p + i * PAGE + b->offset, PART, b->gen + r, i * PAGE);
    }
    return NULL;
}

/* Threads write to the same pages while these are shared with children that come and go. */
static void beside(uint64_t base)
{
    enum { THREADS = 3, PAGES = 40 };
    struct beside b[THREADS];
    pthread_t t[THREADS];
    char *p = map_anonymous(PAGES * PAGE);

    for (unsigned i = 0; i < THREADS; i++) {
        b[i] = (struct beside){p, PAGES, i * PART, base + i * 100, 12, false};
        EXPECT(pthread_create(&t[i], NULL, beside_run, &b[i]) == 0);
    }
    for (unsigned i = 0; i < 6; i++) {
        pid_t kid = fork();

        if (kid == 0) {
            memset(p + 3 * PART, 1, PART);
            _exit(0);
        }
        expect_success(kid);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        EXPECT(!b[i].wrong);
    }
    for (size_t i = 0; i < PAGES; i++)
        ZERO(p + i * PAGE + 3 * PART, PART);
    munmap(p, PAGES * PAGE);
}

/* ------------------------------------------------------------- files */

#define BLOCK 512UL
#define BLOCKS 600UL

/* What a file should hold: the generation of each block, 0: zeros. */
struct model {
    int fd;
    size_t size; /* blocks */
    uint64_t gen[BLOCKS], last;
};

static void model_check(const struct model *m, const char *p, size_t from, size_t n)
{
    for (size_t i = from; i < from + n; i++, p += BLOCK) {
        if (m->gen[i])
            SAME(p, BLOCK, m->gen[i], i * BLOCK);
        else
            ZERO(p, BLOCK);
    }
}

static void model_read(const struct model *m, size_t from, size_t n)
{
    static char buf[BLOCKS * BLOCK];

    EXPECT(pread(m->fd, buf, n * BLOCK, (off_t)(from * BLOCK)) == (ssize_t)(n * BLOCK));
    model_check(m, buf, from, n);
}

static void model_write(struct model *m, size_t from, size_t n, int how)
{
    static char buf[BLOCKS * BLOCK];
    char *p = buf;

    m->last++;
    if (how) { /* by a mapping, where the file reaches so far */
        if (from + n > m->size)
            return;
        p = map(m->size * BLOCK, MAP_SHARED, m->fd);
        model_check(m, p, 0, m->size);
        fill(p + from * BLOCK, n * BLOCK, m->last, from * BLOCK);
        munmap(p, m->size * BLOCK);
    } else {
        fill(p, n * BLOCK, m->last, from * BLOCK);
        EXPECT(pwrite(m->fd, p, n * BLOCK, (off_t)(from * BLOCK)) == (ssize_t)(n * BLOCK));
    }
    for (size_t i = from; i < from + n; i++)
        m->gen[i] = m->last;
    if (from + n > m->size)
        m->size = from + n;
}

static void model_cut(struct model *m, size_t to)
{
    EXPECT(ftruncate(m->fd, (off_t)(to * BLOCK)) == 0);
    for (size_t i = to; i < BLOCKS; i++)
        m->gen[i] = 0;
    m->size = to;
}

static void model_punch(struct model *m, size_t from, size_t n)
{
    EXPECT(fallocate(m->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)(from * BLOCK),
                     (off_t)(n * BLOCK)) == 0);
    for (size_t i = from; i < from + n; i++)
        m->gen[i] = 0;
}

/* The file goes on as a copy, which takes its place while it is open. */
static void model_copy(struct model *m, const char *name)
{
    char fresh[48];
    off_t at = 0;
    int fd;

    snprintf(fresh, sizeof(fresh), "%s.new", name);
    fd = open(fresh, O_CREAT | O_EXCL | O_RDWR, 0600);
    EXPECT(fd >= 0);
    while (at < (off_t)(m->size * BLOCK)) {
        size_t left = m->size * BLOCK - (size_t)at;
        ssize_t n = random_below(2) ? sendfile(fd, m->fd, &at, left)
                                    : copy_file_range(m->fd, &at, fd, NULL, left, 0);

        EXPECT(n > 0);
    }
    EXPECT(rename(fresh, name) == 0);
    model_read(m, 0, m->size);
    close(m->fd);
    m->fd = fd;
    model_read(m, 0, m->size);
}

static void files(uint64_t base)
{
    struct model m = {.last = base};
    char name[32];

    snprintf(name, sizeof(name), "f%d", getpid());
    m.fd = open(name, O_CREAT | O_RDWR, 0600);
    EXPECT(m.fd >= 0);
    for (unsigned i = 0; i < 60; i++) {
        size_t from = random_below(BLOCKS), n = 1 + random_below(BLOCKS - from);

        if (random_below(2) && n > 20)
            n = 20;
        switch (random_below(8)) {
        case 0:
            model_cut(&m, from);
            break;
        case 1:
            model_punch(&m, from, n);
            break;
        case 2:
            if (m.size)
                model_copy(&m, name);
            break;
        default:
            model_write(&m, from, n, (int)random_below(2));
        }
        if (from + n <= m.size)
            model_read(&m, from, n);
    }
    model_read(&m, 0, m.size);
    close(m.fd);
    EXPECT(unlink(name) == 0);
}

/* ------------------------------------------------------------- programs that begin */

/* As one that is told a few lines, then takes the rest into a file without a name. */
static void begun(char **argv)
{
    static char buf[64 << 10], empty[3 * HUGE];
    uint64_t base = strtoull(argv[2], NULL, 0), at = 0;
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    char c, line[80];
    size_t n = 0;
    ssize_t got;

    seed = base | 1;
    end_time = now() + 1000;
    ZERO(empty, sizeof(empty));
    for (int lines = 0; lines < 5; n = 0, lines++) {
        while (read(0, &c, 1) == 1 && c != '\n' && n + 1 < sizeof(line))
            line[n++] = c;
        line[n] = 0;
        EXPECT(n == 64 && strspn(line, "0123456789abcdef") == 64 && (line[0] - '0') == lines);
    }
    while ((got = read(0, buf, sizeof(buf))) > 0)
        EXPECT(write(fd, buf, (size_t)got) == got);
    for (; at < 2 * STREAM; at += PAGE) {
        EXPECT(pread(fd, buf, PAGE, (off_t)at) == (ssize_t)PAGE);
        SAME(buf, PAGE, base + at / STREAM, at % STREAM);
        memcpy(empty + at, buf, PAGE);
    }
    EXPECT(pread(fd, buf, PAGE, (off_t)at) == 0);
    EXPECT(write(1, empty, at) == (ssize_t)at);
    _exit(0);
}

static void programs(uint64_t base)
{
    char number[32], *argv[] = {"patterns", "begun", number, NULL};
    char *text = malloc(400), *back = map_anonymous(2 * STREAM);
    int s[2], out = open(".", O_TMPFILE | O_RDWR, 0600);
    size_t len = 0;
    pid_t pid;

    snprintf(number, sizeof(number), "%#llx", (unsigned long long)base);
    EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0 && out >= 0);
    memset(text, 1, 400);
    pid = fork();
    if (pid == 0) {
        dup2(s[1], 0);
        dup2(out, 1);
        execv("/proc/self/exe", argv);
        _exit(1);
    }
    close(s[1]);
    for (int line = 0; line < 5; line++)
        len += (size_t)sprintf(text + len, "%d%063llx\n", line, (unsigned long long)base);
    /* The first bytes grow in place, move, and are taken off the front while the child begins. */
    for (uint64_t round = 0; round < 2; round++) {
        text = realloc(text, len + STREAM);
        EXPECT(text);
        for (uint64_t at = 0; at < STREAM; at += 8) {
            uint64_t w = word(base + round, at);

            memcpy(text + len + at, &w, 8);
        }
        len += STREAM;
        send_all(s[0], text, len / 2);
        memmove(text, text + len / 2, len - len / 2);
        len -= len / 2;
    }
    send_all(s[0], text, len);
    close(s[0]);
    expect_success(pid);
    EXPECT(pread(out, back, 2 * STREAM, 0) == (ssize_t)(2 * STREAM));
    SAME(back, STREAM, base, 0);
    SAME(back + STREAM, STREAM, base + 1, 0);
    close(out);
    free(text);
    munmap(back, 2 * STREAM);
}

/* ------------------------------------------------------------- registers */

static __thread uint64_t own;

/* What SSE registers hold stays while others run, also across calls. */
static void registers_round(uint64_t gen)
{
    uint64_t in[32], out[32];
    long ret;

    for (int i = 0; i < 32; i++)
        in[i] = word(gen, (uint64_t)i * 8);
#define EACH(op)                                                                                   \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) \
        op(15)
#define LOAD(n) "movdqu " #n "*16(%[in]), %%xmm" #n "\n"
#define STORE(n) "movdqu %%xmm" #n ", " #n "*16(%[out])\n"
    __asm__ volatile(EACH(LOAD) "syscall\n" EACH(STORE)
                     : "=a"(ret)
                     : "a"((long)SYS_sched_yield), [in] "r"(in), [out] "r"(out)
                     : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                       "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15");
    EXPECT(ret == 0 && memcmp(in, out, sizeof(in)) == 0 && own == gen >> 8);
}

static void *registers_run(void *arg)
{
    uint64_t base = (uint64_t)(uintptr_t)arg;

    own = base >> 8;
    for (unsigned i = 0; i < 200; i++)
        registers_round((base & ~0xffUL) + i);
    return NULL;
}

static void registers_signal(int sig)
{
    registers_round((own << 8) + 255);
}

static void registers(uint64_t base)
{
    struct sigaction act = {.sa_handler = registers_signal};
    pthread_t t[3];

    sigaction(SIGUSR1, &act, NULL);
    for (uintptr_t i = 0; i < 3; i++)
        EXPECT(pthread_create(&t[i], NULL, registers_run,
                              (void *)(uintptr_t)((base << 16) + (i + 1) * 4096)) == 0);
    own = base;
    for (unsigned i = 0; i < 20; i++) {
        kill(getpid(), SIGUSR1);
        sched_yield();
    }
    for (unsigned i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
}

/* ------------------------------------------------------------- all of it */

/* A control group of as much memory as that, where there is one; then there is little space. */
static void join_group(unsigned mib)
{
    char text[32];
    int fd;

    mkdir("/tmp/group", 0755);
    if (mount("none", "/tmp/group", "cgroup2", 0, NULL) < 0)
        return;
    if ((fd = open("/tmp/group/cgroup.subtree_control", O_WRONLY)) >= 0) {
        dprintf(fd, "+memory");
        close(fd);
    }
    mkdir("/tmp/group/patterns", 0755);
    if ((fd = open("/tmp/group/patterns/memory.max", O_WRONLY)) >= 0) {
        snprintf(text, sizeof(text), "%u", mib << 20);
        EXPECT(write(fd, text, strlen(text)) > 0);
        close(fd);
    }
    if ((fd = open("/tmp/group/patterns/cgroup.procs", O_WRONLY)) >= 0) {
        EXPECT(write(fd, "0", 1) == 1);
        close(fd);
    }
}

static void crowd(void (*const *work)(uint64_t), unsigned kinds, double seconds, uint64_t first)
{
    pid_t kids[2 * 8];

    end_time = now() + seconds;
    for (unsigned i = 0; i < 2 * kinds; i++) {
        kids[i] = fork();
        if (kids[i] == 0) {
            seed = word(first + i, 8) | 1;
            for (uint64_t round = 0; more(); round++)
                work[i % kinds](((uint64_t)i << 40) + (round << 16) + 1);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < 2 * kinds; i++)
        expect_success(kids[i]);
}

static void run_all(double seconds, unsigned mib, uint64_t first)
{
    static void (*const all[])(uint64_t) = {streams, copies, beside, files, programs, registers};

    begin_with("mode=755");
    join_group(mib);
    crowd(all, sizeof(all) / sizeof(all[0]), seconds, first);
}

__attribute__((constructor)) static void begin_otherwise(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "begun") == 0)
        begun(argv);
    if (argc < 3 || strcmp(argv[1], "soak") != 0)
        return;
    run_all(atof(argv[2]), argc > 3 ? (unsigned)atoi(argv[3]) : 64,
            argc > 4 ? strtoull(argv[4], NULL, 0) : 1);
    exit(0);
}

TEST(words_are_what_they_were_wherever_they_went)
{
    run_all(3, 64, 1);
}

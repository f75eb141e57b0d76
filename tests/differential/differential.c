/* SPDX-License-Identifier: MIT
 *
 * PROGRAM FROM TO OPERATIONS [KIND]: seeds FROM up to and including TO, OPERATIONS of each. Prints
 * "## PROGRAM[-KIND] SEED", a line for each operation, and at the end of each seed "## end STATUS".
 *
 * The generator and the line lie in memory that children share: a child of an operation goes on
 * where its parent was, and the other way round.
 */
#include "differential.h"
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEED_SECONDS = 120 };

static struct {
    uint64_t generator;
    struct line line;
} * shared;

static struct line *line; /* of this process */

static char data[2 * DATA_MAX];

extern const struct operation __start_operations[], __stop_operations[];

void die(const char *what)
{
    printf("## failed: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

void *shared_memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        die("shared memory");
    return p;
}

/* xorshift64: its state is never 0. */
uint32_t below(uint32_t n)
{
    uint64_t x = shared->generator;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    shared->generator = x;
    return (uint32_t)(x >> 16) % n;
}

bool one_in(uint32_t n)
{
    return below(n) == 0;
}

static void generator_begin(unsigned seed)
{
    uint64_t start = 88172645463325252ull ^ (seed * 0x9e3779b97f4a7c15ull);

    shared->generator = start ? start : 1;
    for (int i = 0; i < 10; i++)
        below(1);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)below(256);
}

const char *some_data(size_t size)
{
    return size <= DATA_MAX ? data + below(1000) : NULL;
}

void say(const char *format, ...)
{
    size_t left = sizeof(line->text) - line->used;
    va_list args;

    va_start(args, format);
    size_t n = (size_t)vsnprintf(line->text + line->used, left, format, args);
    va_end(args);
    line->used += n < left ? n : left - 1;
}

void say_into(struct line *to)
{
    line = to;
}

void say_result(long result)
{
    if (result < 0)
        say(" = %s", strerrorname_np(errno));
    else
        say(" = %ld", result);
}

uint32_t hash(const void *bytes, size_t size)
{
    uint32_t h = 2166136261u;

    for (const unsigned char *p = bytes; size--; p++)
        h = (h ^ *p) * 16777619u;
    return h;
}

static const struct operation *operation_pick(void)
{
    const struct operation *o = __start_operations;
    uint32_t total = 0;

    for (const struct operation *p = o; p < __stop_operations; p++)
        total += p->weight;
    for (uint32_t n = below(total); n >= o->weight; o++)
        n -= o->weight;
    return o;
}

__attribute__((weak)) void program_run(const struct operation *o)
{
    o->run();
}

static void operation_run(unsigned number)
{
    const struct operation *o = operation_pick();

    line->used = 0;
    say("%u %s", number, o->name);
    program_run(o);
}

void operations_unseen(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        operation_run(i);
    line->used = 0;
}

static void line_print(void)
{
    puts(line->text);
    line->used = 0;
    line->text[0] = 0;
}

static void seed_run(unsigned seed, unsigned count, const char *kind)
{
    alarm(SEED_SECONDS);
    signal(SIGPIPE, SIG_IGN);
    generator_begin(seed);
    program_begin(seed, kind);
    for (unsigned i = 0; i < count; i++) {
        operation_run(i);
        line_print();
    }
    program_end();
    if (line->used)
        line_print();
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *kind = argc > 4 ? argv[4] : "";
    static char output[1 << 16];

    if (argc < 4)
        return 2;
    shared = shared_memory(sizeof(*shared));
    say_into(&shared->line);
    setvbuf(stdout, output, _IOFBF, sizeof(output));
    for (unsigned seed = atoi(argv[1]), last = atoi(argv[2]); seed <= last; seed++) {
        int status = -1;
        printf("## %s%s%s %u\n", basename(argv[0]), *kind ? "-" : "", kind, seed);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            seed_run(seed, atoi(argv[3]), kind);
            _exit(0);
        }
        waitpid(pid, &status, 0);
        printf("\n## end %x\n", status);
    }
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Bothy's fail points (kernel/debug/fail.c) fail one place after another, while the same work is
 * done again and again:
 *
 *   fail_places WORK DEPTH ROUNDS [verbose [each]]
 *
 * WORK: `container`: create, start, exec, logs, stop, remove; `vm`: the same behind the other wall;
 * `vmm`: the same, where its monitor alone is refused;
 * `restart`: the engine is killed and the next one comes; `calls`: files, sockets, memory and
 * processes of a process of its own; `copies`: the same, where copies from and to it fail; `disk`:
 * /dev/vda. DEPTH: how many callers tell two places apart. ROUNDS: no more than those.
 *
 * After each round the engine answers, and there are as many control groups, open files, mounts and
 * processes as before the first; at the end as many kernel objects and pages. It ends when a round
 * has met no new place. Lines: `FAIL what: where`, and at the end `places N, rounds N`.
 *
 * `fail_places inside` is the container's own program, `fail_places work` what is executed there.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fail_places.h"

#define PROVE_EACH 8 /* rounds */
#define COUNT_EACH 32

static int kmsg;
static unsigned rounds;

static void log_lines(void)
{
    char text[1024];
    ssize_t n;

    while ((n = read(kmsg, text, sizeof(text) - 1)) > 0) {
        text[n] = '\0';
        if (atoi(text) % 8 <= 4)
            printf("log: %s: %s\n", strtok(strchr(text, ';') + 1, "\n"), place);
    }
}

/* All is as it was: the same work succeeds. */
static void prove(const struct work *w)
{
    strict = true;
    w->run();
    w->check();
    strict = false;
}

/* False: no new place was met. */
static bool do_round(const struct work *w, unsigned depth, const struct state *before)
{
    bool hit;

    tell("fail %s next %u %s", w->point, depth, w->threads);
    w->run();
    tell("fail %s every 0", w->point);
    hit = look_at_place();
    if (verbose)
        printf("%u: %s\n", places, place);
    if (w->engine)
        await_engine();
    w->check();
    compare(before);
    log_lines();
    return hit;
}

static const struct work *work_named(const char *name)
{
    for (const struct work *w = works; w->name; w++)
        if (strcmp(w->name, name) == 0)
            return w;
    fprintf(stderr, "fail_places: there is no work %s\n", name);
    exit(2);
}

/* Rounds until none has met a new place, or `most`. */
static void do_rounds(const struct work *w, unsigned depth, unsigned most)
{
    struct state before;
    long pages;

    tell("fail forget");
    w->setup();
    for (int i = 0; i < 2; i++) {
        w->run();
        w->check();
    }
    count_objects(true);
    before = state_now();
    pages = free_kib();
    while (rounds < most && (do_round(w, depth, &before) || do_round(w, depth, &before))) {
        if (++rounds % PROVE_EACH == 0)
            prove(w);
        if (rounds % COUNT_EACH == 0 || each)
            count_objects(false);
    }
    prove(w);
    count_objects(false);
    printf("free %ld KiB to %ld\n", pages, free_kib());
    w->end();
    printf("places %u, rounds %u, %s\n", places, rounds, rounds < most ? "all" : "not all");
}

static int run_as_program(const char *what)
{
    return strcmp(what, "inside") == 0 ? program_inside()
           : strcmp(what, "work") == 0 ? program_calls()
                                       : 0;
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return run_as_program(argv[1]);
    if (argc < 4)
        return 2;
    prctl(PR_SET_NAME, "driver");
    signal(SIGPIPE, SIG_IGN);
    verbose = argc > 4;
    each = argc > 5;
    console = open("/proc/bothy/console", O_RDWR | O_CLOEXEC);
    kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    lseek(kmsg, 0, SEEK_END);
    do_rounds(work_named(argv[1]), (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
    return failed != 0;
}

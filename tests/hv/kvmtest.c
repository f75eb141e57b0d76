/* SPDX-License-Identifier: MIT
 *
 * kvmtest [-l] [NAME...]: runs the KVM tests, or those whose name begins with a NAME, and
 * prints "ok NAME", "skip NAME: why" or "FAIL NAME: why" for each. Exit status 1 if one failed, 2
 * if no test has such a name. The same program on Linux and on Bothy must print the same.
 */
#include "hvtest.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST_SECONDS 60

static struct test *tests_first, **tests_last = &tests_first;

void test_register(struct test *t)
{
    *tests_last = t;
    tests_last = &t->next;
}

static int test_run(const struct test *t)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        printf("FAIL %s: fork: %s\n", t->name, strerror(errno));
        return TEST_FAILED;
    }
    if (pid == 0) {
        test_name = t->name;
        alarm(TEST_SECONDS);
        t->run();
        printf("ok %s\n", t->name);
        fflush(stdout);
        _exit(TEST_PASSED);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (WTERMSIG(status) == SIGALRM)
        printf("FAIL %s: no end after %d s\n", t->name, TEST_SECONDS);
    else
        printf("FAIL %s: killed by signal %d\n", t->name, WTERMSIG(status));
    return TEST_FAILED;
}

static bool test_wanted(const struct test *t, char **names)
{
    if (!*names)
        return true;
    for (; *names; names++)
        if (strncmp(t->name, *names, strlen(*names)) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    bool list = argc > 1 && strcmp(argv[1], "-l") == 0;
    int failed = 0, ran = 0;
    for (const struct test *t = tests_first; t; t = t->next) {
        if (list)
            printf("%s\n", t->name);
        else if (test_wanted(t, argv + 1)) {
            failed += test_run(t) == TEST_FAILED;
            ran++;
        }
    }
    if (!list && !ran)
        fprintf(stderr, "kvmtest: no such test\n");
    return failed ? 1 : list || ran ? 0 : 2;
}

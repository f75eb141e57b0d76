/* SPDX-License-Identifier: MIT
 *
 * The works, one of which is done again and again while places in the kernel fail.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fail_places.h"

bool verbose, strict;

static void judge_status(const char *what, int status)
{
    const char *said = status < 300 ? "" : strstr(answer, "\r\n\r\n") ?: "";

    if (status == STATUS_LATE) {
        complain("no answer to %s", what);
        puts(told("threads"));
    } else if (strict && (status < 200 || status >= 300)) {
        complain("afterwards %s answers %d %s", what, status, said);
    }
    if (verbose)
        printf("  %s %d %.100s\n", what, status, said);
}

/* The engine lives, perhaps another one. */
void await_engine(void)
{
    for (int i = 0; i < 5000; i++) {
        if (ask("GET", "/_ping", NULL) == 200)
            return;
        wait_a_little();
    }
    complain("no engine");
    puts(told("threads"));
}

static void remove_all(void)
{
    int status = 0;

    for (int i = 0; i < 500 && status != 404; i++) {
        status = ask("DELETE", "/containers/ff?force=1", NULL);
        if (status != 404)
            wait_a_little();
    }
    if (status != 404)
        complain("remove: %d %s", status, strstr(answer, "\r\n\r\n") ?: "");
}

static void run_container(const char *create)
{
    char path[160], *id;

    judge_status("create", ask("POST", "/containers/create?name=ff", create));
    judge_status("start", ask("POST", "/containers/ff/start", NULL));
    judge_status("exec", ask("POST", "/containers/ff/exec",
                             "{\"Cmd\":[\"/fail_places\",\"work\"],\"AttachStdout\":true}"));
    id = strstr(answer, "{\"Id\":\"");
    if (id && strchr(id, '}')) {
        snprintf(path, sizeof(path), "/exec/%.64s/start", id + 7);
        judge_status("exec start", ask("POST", path, "{\"Detach\":true}"));
        for (int i = 0; i < 300; i++) {
            snprintf(path, sizeof(path), "/exec/%.64s/json", id + 7);
            if (ask("GET", path, NULL) != 200 || !strstr(answer, "\"Running\":true"))
                break;
            wait_a_little();
        }
    }
    judge_status("logs", ask("GET", "/containers/ff/logs?stdout=1&stderr=1", NULL));
    judge_status("stop", ask("POST", "/containers/ff/stop?t=1", NULL));
    judge_status("remove", ask("DELETE", "/containers/ff", NULL));
}

static void work_container(void)
{
    run_container("{\"Image\":\"fail_places\",\"Cmd\":[\"/fail_places\",\"inside\"]}");
}

static void work_vm(void)
{
    judge_status(
        "create",
        ask("POST", "/containers/create?name=ff",
            "{\"Image\":\"hello\",\"HostConfig\":{\"Runtime\":\"vm\",\"Memory\":67108864}}"));
    judge_status("start", ask("POST", "/containers/ff/start", NULL));
    judge_status("wait", ask("POST", "/containers/ff/wait", NULL));
    judge_status("logs", ask("GET", "/containers/ff/logs?stdout=1&stderr=1", NULL));
    judge_status("remove", ask("DELETE", "/containers/ff?force=1", NULL));
}

static void in_child(int (*work)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        prctl(PR_SET_NAME, "failing");
        _exit(work());
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        complain("the work hangs");
    if (verbose)
        printf("  status 0x%x\n", status);
}

static void work_calls(void)
{
    in_child(program_calls);
}

static void work_disk(void)
{
    in_child(program_disk);
}

/* ------------------------------------------------------------- an engine after another */

static void setup_restart(void)
{
    ask("POST", "/volumes/create", "{\"Name\":\"vv\",\"Labels\":{\"label\":\"kept\"}}");
    ask("POST", "/containers/create?name=kept",
        "{\"Image\":\"fail_places\",\"Cmd\":[\"/fail_places\",\"inside\"],"
        "\"HostConfig\":{\"Binds\":[\"vv:/v\"]}}");
}

/* init's child of that name; 0: there is none now. */
static pid_t engine_pid(void)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    pid_t found = 0;

    while (d && !found && (e = readdir(d))) {
        char path[300], text[256] = "";
        int fd;

        snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || (fd = open(path, O_RDONLY)) < 0)
            continue;
        read(fd, text, sizeof(text) - 1);
        close(fd);
        if (strstr(text, " (engine) ") && strncmp(strchr(text, ')') + 3, " 1 ", 3) == 0)
            found = atoi(e->d_name);
    }
    closedir(d);
    return found;
}

/* One that lived for a second is followed by another at once. */
static void work_restart(void)
{
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
    kill(engine_pid(), SIGKILL);
    await_engine();
}

/* What an engine could not prepare at its start it makes when it needs it: then it has as much as
 * the one before. */
static void check_restart(void)
{
    if (ask("GET", "/containers/kept/json", NULL) != 200)
        complain("the container is lost");
    if (ask("GET", "/volumes/vv", NULL) != 200 || !strstr(answer, "kept"))
        complain("the volume's label is lost");
    if (ask("GET", "/images/fail_places/json", NULL) != 200)
        complain("the image is lost");
    if (ask("POST", "/containers/kept/start", NULL) != 204)
        complain("the container does not start");
    if (ask("POST", "/containers/kept/stop?t=5", NULL) != 204)
        complain("the container does not stop");
}

static void end_restart(void)
{
    ask("DELETE", "/containers/kept?force=1", NULL);
    ask("DELETE", "/volumes/vv", NULL);
}

static void nothing(void)
{
}

const struct work works[] = {
    {"container", "all", "but driver", work_container, true, nothing, remove_all, nothing},
    {"vm", "all", "but driver", work_vm, true, nothing, remove_all, nothing},
    {"vmm", "all", "of vmm", work_vm, true, nothing, remove_all, nothing},
    {"restart", "all", "but driver", work_restart, true, setup_restart, check_restart, end_restart},
    {"calls", "all", "of failing,fail_places", work_calls, false, nothing, nothing, nothing},
    {"disk", "all", "but driver", work_disk, false, nothing, nothing, nothing},
    {"copies", "user_copy", "of failing,fail_places", work_calls, false, nothing, nothing, nothing},
    {0},
};

// SPDX-License-Identifier: MIT
// exec: a further program in a container, on a stream of its own.
#include "cli/run.h"

#include <stdio.h>
#include <unistd.h>

static char *exec_json(int argc, char **argv, bool in, bool tty, bool detach, bool privileged,
                       const char *cwd, const char *user, const struct opt_list *env)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    jw_bool(&w, "AttachStdin", in && !detach);
    jw_bool(&w, "AttachStdout", !detach);
    jw_bool(&w, "AttachStderr", !detach);
    jw_bool(&w, "Tty", tty);
    jw_bool(&w, "Detach", detach);
    jw_bool(&w, "Privileged", privileged);
    jw_str(&w, "WorkingDir", cwd);
    jw_str(&w, "User", user);
    create_env(&w, NULL, env);
    jw_strings(&w, "Cmd", (const char *const *)argv + 1, (size_t)argc - 1);
    jw_object_end(&w);
    return buf_take(&b);
}

static int exec_run(const char *id, bool in, bool tty, bool detach)
{
    struct client c;
    struct buf answer = {0};
    struct stream s = {.c = &c, .tty = tty, .in = in, .target = cli_path("exec/%s", id)};
    int status, code;
    struct json *j;

    cli_connect(&c);
    stream_prepare(false);
    client_send(&c, "POST", cli_path("/exec/%s/start", id),
                detach ? "{\"Detach\":true}"
                : tty  ? "{\"Tty\":true}"
                       : "{}",
                !detach);
    status = client_wait_head(&c);
    if (status != (detach ? 200 : 101)) {
        client_read_all(&c, &answer, 65536);
        cli_error(&answer);
        return start_status(&answer) == 125 ? 1 : start_status(&answer);
    }
    if (detach)
        return 0;
    stream_resize(&s);
    if (!stream_run(&s))
        return CLI_USAGE;
    if (cli_call("GET", cli_path("/exec/%s/json", id), NULL, &answer) != 200) {
        cli_error(&answer);
        return 1;
    }
    j = cli_json(&answer);
    code = (int)json_int(j, "ExitCode", 0);
    if (!s.detached && json_bool(j, "Running")) {
        fprintf(stderr, "bothy: lost the engine; the program runs on\n");
        code = CLI_USAGE;
    }
    json_free(j);
    return code;
}

int verb_exec(int argc, char **argv)
{
    bool in = false, tty = false, detach = false, privileged = false;
    const char *cwd = NULL, *user = NULL;
    struct opt_list env = {0};
    const struct opt opts[] = {
        {'i', "interactive", OPT_BOOL, &in}, {'t', "tty", OPT_BOOL, &tty},
        {'d', "detach", OPT_BOOL, &detach},  {0, "privileged", OPT_BOOL, &privileged},
        {'w', "workdir", OPT_STR, &cwd},     {'u', "user", OPT_STR, &user},
        {'e', "env", OPT_LIST, &env},
    };
    int first = opt_parse("exec", opts, 7, argc, argv, false);
    struct buf answer = {0};
    struct json *j;
    char *body;

    opt_operands("exec", argc - first, 2, -1);
    if (tty && in && !detach && !isatty(0)) {
        fprintf(stderr, "the input device is not a TTY\n");
        return 1;
    }
    body = exec_json(argc - first, argv + first, in, tty, detach, privileged, cwd, user, &env);
    if (cli_call("POST", cli_path("/containers/%s/exec", cli_encode(argv[first])), body, &answer) !=
        201) {
        cli_error(&answer);
        return 1;
    }
    j = cli_json(&answer);
    return exec_run(json_str(j, "Id"), in, tty, detach);
}

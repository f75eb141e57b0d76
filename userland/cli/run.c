// SPDX-License-Identifier: MIT
// run, start and attach: a container with its stream on this terminal.
#include "cli/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/child.h"

int run_error(const struct buf *answer)
{
    fprintf(stderr, "bothy: Error response from daemon: %s\n", cli_message(answer));
    return CLI_USAGE;
}

int start_status(const struct buf *answer)
{
    return child_failure_status(cli_message(answer));
}

/* An attached stream to a container, before or after its start. */
static void attach_open(struct client *c, const char *id, bool in, bool out, bool err)
{
    struct buf answer = {0};
    int status;

    cli_connect(c);
    client_send(c, "POST",
                cli_path("/containers/%s/attach?stream=1&stdout=%d&stderr=%d%s", id, out, err,
                         in ? "&stdin=1" : ""),
                NULL, true);
    status = client_wait_head(c);
    if (status == 101)
        return;
    client_read_all(c, &answer, 65536);
    exit(run_error(&answer));
}

/* Asks for the exit status and returns when the engine has noted it. */
static void wait_open(struct client *c, const char *id, const char *condition)
{
    int status;

    cli_connect(c);
    client_send(c, "POST", cli_path("/containers/%s/wait?condition=%s", id, condition), NULL,
                false);
    status = client_wait_head(c);
    if (status != 200) {
        fprintf(stderr, "bothy: cannot wait for the container: status %d\n", status);
        exit(CLI_USAGE);
    }
}

static int wait_status(struct client *c)
{
    struct buf answer = {0};
    struct json *j;
    int code;

    if (client_read_all(c, &answer, 65536) < 0) {
        fprintf(stderr, "bothy: lost the engine while waiting\n");
        return CLI_USAGE;
    }
    j = cli_json(&answer);
    code = (int)json_int(j, "StatusCode", CLI_USAGE);
    json_free(j);
    buf_free(&answer);
    client_close(c);
    return code;
}

/* The stream to its end, then the container's status. */
static int run_status(struct stream *s, struct client *wait)
{
    bool whole = stream_run(s);

    if (s->detached)
        return 0;
    client_close(s->c);
    return whole ? wait_status(wait) : CLI_USAGE;
}

int verb_run(int argc, char **argv)
{
    struct run run = {0};
    char *id = create_container(argc, argv, &run);
    struct client stream, wait;
    struct buf answer = {0};
    struct stream s = {.c = &stream, .tty = run.tty, .in = run.stdin_open};
    bool proxy = !run.sig_proxy || strcmp(run.sig_proxy, "false");

    if (!run.detach) {
        stream_prepare(proxy);
        attach_open(&stream, id, run.stdin_open, run.out, run.err);
        wait_open(&wait, id, run.rm ? "removed" : "next-exit");
    }
    if (cli_call("POST", cli_path("/containers/%s/start", id), NULL, &answer) != 204) {
        run_error(&answer);
        return start_status(&answer);
    }
    if (run.detach) {
        puts(id);
        return 0;
    }
    s.target = cli_path("containers/%s", id);
    s.kill = proxy ? id : NULL;
    stream_resize(&s);
    return run_status(&s, &wait);
}

static bool container_tty(const char *name, bool *in)
{
    struct buf answer = {0};
    struct json *j, *config;
    bool tty;

    if (cli_call("GET", cli_path("/containers/%s/json", cli_encode(name)), NULL, &answer) != 200) {
        cli_error(&answer);
        exit(1);
    }
    j = cli_json(&answer);
    config = json_get(j, "Config");
    tty = json_bool(config, "Tty");
    if (in)
        *in = *in && json_bool(config, "OpenStdin");
    json_free(j);
    buf_free(&answer);
    return tty;
}

static int start_attached(const char *container, bool in)
{
    char *name = cli_encode(container);
    struct client stream, wait;
    struct buf answer = {0};
    struct stream s = {.c = &stream, .in = in, .kill = name};

    s.tty = container_tty(container, &s.in);
    stream_prepare(true);
    attach_open(&stream, name, s.in, true, true);
    wait_open(&wait, name, "next-exit");
    if (cli_call("POST", cli_path("/containers/%s/start", name), NULL, &answer) >= 400) {
        cli_error(&answer);
        return 1;
    }
    s.target = cli_path("containers/%s", name);
    stream_resize(&s);
    return run_status(&s, &wait);
}

int verb_start(int argc, char **argv)
{
    bool attach = false, in = false;
    const struct opt opts[] = {{'a', "attach", OPT_BOOL, &attach},
                               {'i', "interactive", OPT_BOOL, &in}};
    int first = opt_parse("start", opts, 2, argc, argv, true), rc = 0;

    opt_operands("start", argc - first, 1, -1);
    if (attach || in)
        return start_attached(argv[first], in);
    for (int i = first; i < argc; i++) {
        struct buf answer = {0};

        if (cli_call("POST", cli_path("/containers/%s/start", cli_encode(argv[i])), NULL,
                     &answer) >= 400) {
            cli_error(&answer);
            rc = 1;
        } else {
            puts(argv[i]);
        }
        buf_free(&answer);
    }
    return rc;
}

int verb_attach(int argc, char **argv)
{
    struct client stream, wait;
    struct stream s = {.c = &stream, .in = true};
    char *name;

    opt_parse("attach", NULL, 0, argc, argv, true);
    opt_operands("attach", argc - 1, 1, 1);
    name = cli_encode(argv[1]);
    s.tty = container_tty(argv[1], &s.in);
    s.kill = name;
    s.target = cli_path("containers/%s", name);
    stream_prepare(true);
    wait_open(&wait, name, "");
    attach_open(&stream, name, s.in, true, true);
    stream_resize(&s);
    return run_status(&s, &wait);
}

// SPDX-License-Identifier: MIT
// The verbs that are one call each, or one per operand.
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

/* Calls METHOD prefix+NAME+suffix for each operand, printing each name that went well. */
static int each(const char *method, const char *kind, const char *suffix, int n, char **names)
{
    int rc = 0;

    for (int i = 0; i < n; i++) {
        struct buf answer = {0};
        char *name = cli_encode(names[i]);

        if (cli_call(method, cli_path("/%s/%s%s", kind, name, suffix), NULL, &answer) >= 400) {
            cli_error(&answer);
            rc = 1;
        } else {
            puts(names[i]);
        }
        free(name);
        buf_free(&answer);
    }
    return rc;
}

int verb_stop(int argc, char **argv)
{
    const char *seconds = NULL, *sig = NULL;
    const struct opt opts[] = {{'t', "time", OPT_STR, &seconds},
                               {0, "timeout", OPT_STR, &seconds},
                               {'s', "signal", OPT_STR, &sig}};
    int first = opt_parse("stop", opts, 3, argc, argv, true);
    int64_t t;

    opt_operands("stop", argc - first, 1, -1);
    if (seconds && !str_i64(seconds, &t))
        cli_usage("invalid argument \"%s\" for \"-t, --timeout\" flag", seconds);
    return each("POST", "containers",
                cli_path("/stop?%s%s%s%s", seconds ? "t=" : "", seconds ? seconds : "",
                         sig ? "&signal=" : "", sig ? cli_encode(sig) : ""),
                argc - first, argv + first);
}

int verb_kill(int argc, char **argv)
{
    const char *sig = "KILL";
    const struct opt opts[] = {{'s', "signal", OPT_STR, &sig}};
    int first = opt_parse("kill", opts, 1, argc, argv, true);

    opt_operands("kill", argc - first, 1, -1);
    return each("POST", "containers", cli_path("/kill?signal=%s", cli_encode(sig)), argc - first,
                argv + first);
}

static bool container_there(const char *name)
{
    char *encoded = cli_encode(name);
    struct buf answer = {0};
    int status = cli_call("GET", cli_path("/containers/%s/json", encoded), NULL, &answer);

    free(encoded);
    buf_free(&answer);
    return status != 404;
}

int verb_rm(int argc, char **argv)
{
    bool force = false, volumes = false;
    const struct opt opts[] = {{'f', "force", OPT_BOOL, &force},
                               {'v', "volumes", OPT_BOOL, &volumes}};
    int first = opt_parse("rm", opts, 2, argc, argv, true);

    opt_operands("rm", argc - first, 1, -1);
    for (int i = first; force && i < argc; i++) /* what is not there needs no removing */
        if (!container_there(argv[i])) {
            fprintf(stderr, "Error response from daemon: No such container: %s\n", argv[i]);
            memmove(argv + i, argv + i + 1, sizeof(*argv) * (size_t)(argc - i - 1));
            argc--;
            i--;
        }
    return each("DELETE", "containers", cli_path("?force=%d&v=%d", force, volumes), argc - first,
                argv + first);
}

int verb_pause(int argc, char **argv)
{
    opt_parse(argv[0], NULL, 0, argc, argv, true);
    opt_operands(argv[0], argc - 1, 1, -1);
    return each("POST", "containers", cli_path("/%s", argv[0]), argc - 1, argv + 1);
}

int verb_wait(int argc, char **argv)
{
    int rc = 0;

    opt_parse("wait", NULL, 0, argc, argv, true);
    opt_operands("wait", argc - 1, 1, -1);
    for (int i = 1; i < argc; i++) {
        struct buf answer = {0};

        if (cli_call("POST", cli_path("/containers/%s/wait", cli_encode(argv[i])), NULL, &answer) !=
            200) {
            cli_error(&answer);
            rc = 1;
        } else {
            struct json *j = cli_json(&answer);

            printf("%lld\n", (long long)json_int(j, "StatusCode", 0));
            json_free(j);
        }
        buf_free(&answer);
    }
    return rc;
}

int verb_logs(int argc, char **argv)
{
    bool follow = false, times = false;
    const char *tail = "all", *since = "", *until = "";
    const struct opt opts[] = {
        {'f', "follow", OPT_BOOL, &follow}, {'t', "timestamps", OPT_BOOL, &times},
        {'n', "tail", OPT_STR, &tail},      {0, "since", OPT_STR, &since},
        {0, "until", OPT_STR, &until},
    };
    int first = opt_parse("logs", opts, 5, argc, argv, true), status;
    struct buf answer = {0};
    struct client c;
    struct json *j;
    bool tty;
    char *name;

    opt_operands("logs", argc - first, 1, 1);
    name = cli_encode(argv[first]);
    if (cli_call("GET", cli_path("/containers/%s/json", name), NULL, &answer) != 200) {
        cli_error(&answer);
        return 1;
    }
    j = cli_json(&answer);
    tty = json_bool(json_get(j, "Config"), "Tty");
    buf_clear(&answer);
    cli_connect(&c);
    client_send(&c, "GET",
                cli_path("/containers/%s/logs?stdout=1&stderr=1&follow=%d&timestamps=%d&tail=%s"
                         "&since=%s&until=%s",
                         name, follow, times, cli_encode(tail), cli_encode(since),
                         cli_encode(until)),
                NULL, false);
    status = client_wait_head(&c);
    if (status != 200) {
        client_read_all(&c, &answer, 65536);
        cli_error(&answer);
        return 1;
    }
    return stream_copy(&c, tty) ? 0 : 1;
}

/* The lines of a load's answer: what was loaded, or what is wrong. */
static int load_lines(const struct buf *answer, bool quiet)
{
    int rc = 0;
    char *save, *line = strtok_r(answer->data, "\r\n", &save);

    for (; line; line = strtok_r(NULL, "\r\n", &save)) {
        struct json *j = json_parse(line, strlen(line), NULL);

        if (json_str(j, "error")) {
            fprintf(stderr, "%s\n", json_str(j, "error"));
            rc = 1;
        } else if (json_str(j, "stream") && !quiet) {
            fputs(json_str(j, "stream"), stdout);
        }
        json_free(j);
    }
    return rc;
}

int verb_load(int argc, char **argv)
{
    const char *input = NULL;
    bool quiet = false;
    const struct opt opts[] = {{'i', "input", OPT_STR, &input}, {'q', "quiet", OPT_BOOL, &quiet}};
    static char data[65536];
    struct buf answer = {0};
    struct client c;
    int fd = 0, status, err = 0;
    ssize_t n;

    opt_operands("load", argc - opt_parse("load", opts, 2, argc, argv, true), 0, 0);
    if (input)
        fd = open(input, O_RDONLY | O_CLOEXEC);
    else if (isatty(0))
        cli_usage("requested load from stdin, but stdin is empty");
    if (fd < 0) {
        fprintf(stderr, "open %s: %s\n", input, strerror(errno));
        return 1;
    }
    cli_connect(&c);
    client_send_chunked(&c, "POST", "/images/load?quiet=1", "application/x-tar");
    while (!err && (n = read(fd, data, sizeof(data))) > 0)
        err = client_chunk(&c, data, (size_t)n);
    if (!err && n < 0) {
        fprintf(stderr, "read %s: %s\n", input ? input : "stdin", strerror(errno));
        return 1;
    }
    if (!err)
        client_chunk(&c, "", 0);
    status = client_wait_head(&c);
    if (status < 0 || client_read_all(&c, &answer, 16 << 20) < 0) {
        fprintf(stderr, "error during connect: %s\n", strerror(status < 0 ? -status : EIO));
        return 1;
    }
    if (status != 200) {
        cli_error(&answer);
        return 1;
    }
    return load_lines(&answer, quiet);
}

int verb_rmi(int argc, char **argv)
{
    bool force = false;
    const struct opt opts[] = {{'f', "force", OPT_BOOL, &force}};
    int first = opt_parse("rmi", opts, 1, argc, argv, true), rc = 0;

    opt_operands("rmi", argc - first, 1, -1);
    for (int i = first; i < argc; i++) {
        struct buf answer = {0};
        struct json *j;

        if (cli_call("DELETE", cli_path("/images/%s?force=%d", cli_encode(argv[i]), force), NULL,
                     &answer) != 200) {
            cli_error(&answer);
            rc = 1;
            continue;
        }
        j = cli_json(&answer);
        for (struct json *e = j->child; e; e = e->next)
            printf("%s: %s\n", e->child && e->child->key ? e->child->key : "",
                   e->child && e->child->str ? e->child->str : "");
        json_free(j);
        buf_free(&answer);
    }
    return rc;
}

int verb_tag(int argc, char **argv)
{
    struct buf answer = {0};
    const char *colon;
    char *repo;

    opt_parse("tag", NULL, 0, argc, argv, true);
    opt_operands("tag", argc - 1, 2, 2);
    colon = strrchr(argv[2], ':');
    if (colon && strchr(colon, '/'))
        colon = NULL;
    repo = colon ? str_dupn(argv[2], (size_t)(colon - argv[2])) : str_dup(argv[2]);
    if (cli_call("POST",
                 cli_path("/images/%s/tag?repo=%s&tag=%s", cli_encode(argv[1]), cli_encode(repo),
                          colon ? cli_encode(colon + 1) : ""),
                 NULL, &answer) == 201)
        return 0;
    cli_error(&answer);
    return 1;
}

int verb_events(int argc, char **argv)
{
    const char *since = "", *until = "";
    const struct opt opts[] = {{0, "since", OPT_STR, &since}, {0, "until", OPT_STR, &until}};
    struct client c;
    char data[8192];
    ssize_t n;
    int status;

    opt_operands("events", argc - opt_parse("events", opts, 2, argc, argv, true), 0, 0);
    cli_connect(&c);
    client_send(&c, "GET",
                cli_path("/events?since=%s&until=%s", cli_encode(since), cli_encode(until)), NULL,
                false);
    status = client_wait_head(&c);
    if (status != 200) {
        fprintf(stderr, "bothy: events: status %d\n", status);
        return 1;
    }
    while ((n = client_read(&c, data, sizeof(data))) > 0)
        if (write_all(1, data, (size_t)n))
            return 1;
    return cli_ended(n) ? 0 : 1;
}

int verb_vm(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "run"))
        cli_usage("\"bothy vm\" knows one command: run --kernel F [--initrd F] [--append S] "
                  "[--memory M] [--cpus N]");
    argv[0] = "vmm";
    execv("/bin/vmm", argv);
    fprintf(stderr, "bothy: cannot run /bin/vmm: %s\n", strerror(errno));
    return CLI_USAGE;
}

// SPDX-License-Identifier: MIT
// bothy: the verbs.
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

static const struct verb {
    const char *name;
    int (*fn)(int argc, char **argv);
    const char *help;
} verbs[] = {
    {"load", verb_load, "[-i FILE] [-q]                 load an image archive"},
    {"images", verb_images, "[-q] [--no-trunc]              list images"},
    {"tag", verb_tag, "IMAGE NAME                     give an image another name"},
    {"rmi", verb_rmi, "[-f] IMAGE...                  remove images"},
    {"pull", verb_pull, "[-a] [-q] IMAGE                fetch an image from its registry"},
    {"push", verb_push, "[-a] [-q] IMAGE                send an image to its registry"},
    {"login", verb_login, "[-u USER] [-p PASSWORD] [HOST] keep a registry's credentials"},
    {"run", verb_run, "[OPTIONS] IMAGE [COMMAND...]   create and start a container"},
    {"create", verb_create, "[OPTIONS] IMAGE [COMMAND...]   create a container"},
    {"start", verb_start, "[-a] [-i] CONTAINER...         start containers"},
    {"attach", verb_attach, "CONTAINER                      attach to a container"},
    {"exec", verb_exec, "[-it] [-d] CONTAINER COMMAND...  run a command in a container"},
    {"ps", verb_ps, "[-a] [-q] [-l] [--no-trunc]    list containers"},
    {"logs", verb_logs, "[-f] [-t] [--tail N] CONTAINER show a container's output"},
    {"top", verb_top, "CONTAINER                      list its processes"},
    {"stop", verb_stop, "[-t SECONDS] CONTAINER...      stop containers"},
    {"kill", verb_kill, "[-s SIGNAL] CONTAINER...       send a signal"},
    {"pause", verb_pause, "CONTAINER...                   freeze containers"},
    {"unpause", verb_pause, "CONTAINER...                   go on"},
    {"wait", verb_wait, "CONTAINER...                   wait for the exit, print the status"},
    {"rm", verb_rm, "[-f] [-v] CONTAINER...         remove containers"},
    {"volume", verb_volume, "create|ls|inspect|rm|prune     volumes"},
    {"network", verb_network, "ls|inspect                     networks"},
    {"net", verb_net,
     "                               this machine's links, addresses, routes, names"},
    {"inspect", verb_inspect, "[-f FORMAT] NAME...            all about containers and images"},
    {"version", verb_version, "                               versions"},
    {"info", verb_info, "                               the engine's state"},
    {"events", verb_events, "[--since T] [--until T]        follow events"},
    {"vm", verb_vm, "run --kernel F [OPTIONS]       run a guest kernel"},
};

static int cli_help(void)
{
    printf("Usage: bothy [-H unix://SOCKET] VERB [OPTIONS]\n\n");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        printf("  %-8s %s\n", verbs[i].name, verbs[i].help);
    printf("\nrun, create:\n");
    create_help();
    printf("vm run: [--initrd F] [--append S] [--memory M] [--cpus N] [--module F:NAME]...\n"
           "     [--hvc] [--rng] [--disk F[,ro]]... [--pci]\n");
    return 0;
}

/* A standard stream that was closed would become the next thing that is opened. */
static void cli_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < 3);
    if (fd > 2)
        close(fd);
}

int main(int argc, char **argv)
{
    const char *host = getenv("DOCKER_HOST");
    int i = 1;

    cli_streams();
    if (host && *host)
        cli_host(host);
    while (i + 1 < argc && (!strcmp(argv[i], "-H") || !strcmp(argv[i], "--host"))) {
        cli_host(argv[i + 1]);
        i += 2;
    }
    if (i >= argc || !strcmp(argv[i], "help") || !strcmp(argv[i], "--help"))
        return cli_help();
    if (!strcmp(argv[i], "--version"))
        argv[i] = "version";
    for (size_t v = 0; v < sizeof(verbs) / sizeof(verbs[0]); v++) {
        if (strcmp(verbs[v].name, argv[i]))
            continue;
        if (argv[i + 1] && !strcmp(argv[i + 1], "--help")) {
            printf("Usage: bothy %s %s\n", verbs[v].name, verbs[v].help);
            if (verbs[v].fn == verb_run || verbs[v].fn == verb_create)
                create_help();
            return 0;
        }
        return verbs[v].fn(argc - i, argv + i);
    }
    fprintf(stderr, "bothy: '%s' is not a bothy command. See 'bothy help'\n", argv[i]);
    return 1;
}

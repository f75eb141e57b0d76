// SPDX-License-Identifier: MIT
// netd: the appliance's own network. Options, configuration, rights, the loop.
//
//   netd [--cmdline FILE] [--config FILE] [--dir DIR] [--uid N] [--kmsg] [--after S]
//
//   --cmdline  the kernel's command line, /proc/cmdline     --config  rules, /boot/files/net
//   --dir      where resolv.conf and state.json go, /run/net
//   --uid      whom to become after the start; without it, whoever started it, with fewer rights
//   --kmsg     lines go to the kernel's log, not to standard error
//   --after    seconds to wait first, for init, which starts one again that has ended
//
// Ends with 0 when all is configured to be off, 3 when the kernel has no rtnetlink.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netd/netd.h"
#include "lib/str.h"

#define CONFIG_MAX 65536

/* The first is said on the console as well: it may be why the machine cannot be reached in another
 * way. */
static void config_tell(void)
{
    const struct config *c = &netd.config;
    char more[64] = "";

    for (unsigned i = 0; i < c->wrong && i < CONFIG_TOLD; i++)
        net_log("configuration: %s", c->why[i]);
    if (c->wrong > CONFIG_TOLD)
        net_log("configuration: and %u more", c->wrong - CONFIG_TOLD);
    if (c->wrong > 1)
        snprintf(more, sizeof(more), " (and %u more: bothy net)", c->wrong - 1);
    if (net_log_is_kernels())
        fprintf(stderr, "netd: configuration: %s%s\n", c->why[0], more);
}

static void config_read(const char *cmdline, const char *file)
{
    struct buf text = {0};
    int err;

    config_init(&netd.config);
    if (file_read(cmdline, CONFIG_MAX, &text) == 0)
        config_cmdline(&netd.config, text.data, text.len);
    buf_clear(&text);
    err = file_read(file, CONFIG_MAX, &text);
    if (!err)
        config_file(&netd.config, text.data, text.len);
    else if (err != -ENOENT && err != -ENOTDIR)
        net_log("%s: %s", file, strerror(-err));
    buf_free(&text);
    config_finish(&netd.config);
    if (netd.config.wrong)
        config_tell();
}

static bool all_off(void)
{
    for (unsigned i = 0; i < netd.config.rules; i++)
        if (netd.config.rule[i].device[0] && !netd.config.rule[i].off)
            return false;
    return true;
}

static void directory_make(unsigned uid)
{
    if (dir_make(netd.dir, 0755) || (uid && chown(netd.dir, uid, uid) < 0))
        net_log("%s: %s", netd.dir, strerror(errno));
}

static const struct option main_options[] = {
    {"cmdline", 1, NULL, 'l'},
    {"config", 1, NULL, 'c'},
    {"dir", 1, NULL, 'd'},
    {"uid", 1, NULL, 'u'},
    {"kmsg", 0, NULL, 'k'},
    {"after", 1, NULL, 'a'},
    {0},
};

int main(int argc, char **argv)
{
    const char *cmdline = "/proc/cmdline", *file = "/boot/files/net";
    unsigned uid = 0, after = 0;
    int o, err = 0;

    while ((o = getopt_long(argc, argv, "", main_options, NULL)) != -1) {
        if (o == 'l')
            cmdline = optarg;
        else if (o == 'c')
            file = optarg;
        else if (o == 'd')
            netd.dir = optarg;
        else if (o == 'u')
            uid = (unsigned)strtoul(optarg, NULL, 10);
        else if (o == 'a')
            after = (unsigned)strtoul(optarg, NULL, 10);
        else if (o == 'k')
            net_log_to_kernel();
        else
            return 2;
    }
    if (after)
        sleep(after);
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    config_read(cmdline, file);
    if (all_off()) {
        directory_make(uid);
        names_end();
        return 0;
    }
    netd.route = nl_open(0);
    if (netd.route < 0 || (err = ev_init()) < 0) {
        net_log("the kernel has no rtnetlink: %s", strerror(netd.route < 0 ? -netd.route : -err));
        return NETD_EXIT_NO_SOCKETS;
    }
    directory_make(uid);
    namer_start(names_fixed_host());
    rights_drop(uid);
    clock_start();
    resolve_start();
    names_start();
    err = devices_start();
    if (err) {
        net_log("the list of devices: %s", strerror(-err));
        return 1;
    }
    for (;;)
        ev_run_once();
}

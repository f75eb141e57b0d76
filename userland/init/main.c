// SPDX-License-Identifier: MIT
// PID 1 of the host: file systems, engine, netd, images, demonstration, then commands or the
// console.
//
// Kernel command line: bothy.demo=0|1  run the demonstration (default: unless there are commands)
//                      bothy.exit=1    power off instead of the prompt
//                      bothy.guest=1   be the agent of a VM's guest (agent.c)
#include "init/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

#include "lib/pack_extra.h"
#include "lib/str.h"

static struct buf boot_line; /* words ended by NULs */

void init_power(int how)
{
    fflush(stdout);
    tcdrain(1);
    sync();
    reboot(how);
    /* no other process can do it: say so rather than exit, which would be a panic without a reason
     */
    init_log("reboot: %s", strerror(errno));
    for (;;)
        pause();
}

static void boot_line_read(void)
{
    if (file_read("/proc/cmdline", 65536, &boot_line)) {
        buf_clear(&boot_line);
        return;
    }
    for (size_t i = 0; i < boot_line.len; i++)
        if (strchr(" \t\n", boot_line.data[i]))
            boot_line.data[i] = 0;
}

/* The value of KEY=VALUE on the kernel's command line, or NULL. */
static const char *boot_option(const char *key)
{
    size_t n = strlen(key);

    for (size_t at = 0; at < boot_line.len; at += strlen(boot_line.data + at) + 1)
        if (!strncmp(boot_line.data + at, key, n) && boot_line.data[at + n] == '=')
            return boot_line.data + at + n + 1;
    return NULL;
}

static bool boot_flag(const char *key, bool otherwise)
{
    const char *v = boot_option(key);

    return v ? !strcmp(v, "1") : otherwise;
}

/* Standard streams on the console, unless the kernel has seen to that; it is our terminal. */
static void console_open(void)
{
    int fd;

    if (fcntl(0, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0) {
        fd = open("/dev/console", O_RDWR);
        for (int i = 0; i < 3; i++)
            if (fd >= 0 && fd != i)
                dup2(fd, i);
        if (fd > 2)
            close(fd);
    }
    setsid();
    ioctl(0, TIOCSCTTY, 1);
}

int main(void)
{
    bool has_commands = access("/boot/commands", F_OK) == 0, prompt;

    if (getpid() != 1) {
        fprintf(stderr, "init: is the first process, or nothing\n");
        return 1;
    }
    mount_proc();
    boot_line_read();
    /* the archive of a guest says so, not the command line, which its programs see */
    if (boot_flag("bothy.guest", false) || access(PACK_EXTRA, F_OK) == 0)
        agent_main();
    mount_host();
    console_open();
    signal(SIGTTOU, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGTSTP, SIG_IGN);
    setenv("PATH", "/bin:/sbin", 1);
    setenv("HOME", "/", 1);
    setenv("TERM", "vt100", 0);
    sethostname("bothy", 5);
    engine_run();
    net_run();
    prompt = !has_commands && !boot_flag("bothy.exit", false);
    images_load(!prompt);
    if (boot_flag("bothy.demo", !has_commands))
        demonstration();
    if (has_commands)
        commands_file();
    if (prompt)
        console_loop();
    init_power(RB_POWER_OFF);
}

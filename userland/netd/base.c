// SPDX-License-Identifier: MIT
// netd's lines, on standard error or in the kernel's log; random numbers; the one state.
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "netd/netd.h"

struct netd netd = {.dir = "/run/net"};
static int log_fd = 2;
static const char *log_prefix = "netd: ";

void net_log(const char *fmt, ...)
{
    struct buf line = {0};
    va_list ap;

    buf_str(&line, log_prefix);
    va_start(ap, fmt);
    buf_vfmt(&line, fmt, ap);
    va_end(ap);
    buf_char(&line, '\n');
    if (write(log_fd, line.data, line.len) < 0 && log_fd != 2)
        log_fd = 2;
    buf_free(&line);
}

void net_log_to_kernel(void)
{
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    log_fd = fd;
    log_prefix = "<6>netd: ";
}

uint64_t net_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        abort();
    return seed;
}

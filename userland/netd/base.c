// SPDX-License-Identifier: MIT
// netd's lines, on standard error or in the kernel's log; random numbers; the one state.
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "netd/netd.h"
#include "lib/str.h"

struct netd netd = {.dir = "/run/net"};

/* Much of what is told is what others on the wire cause. */
static struct limit log_limit = {.burst = 60, .every_ms = 5000};
static int log_fd = 2;
static const char *log_prefix = "netd: ";

void net_log(const char *fmt, ...)
{
    struct buf line = {0};
    va_list ap;

    if (!limit_take(&log_limit, time_now_ms()))
        return;
    buf_str(&line, log_prefix);
    if (log_limit.left_out)
        buf_fmt(&line, "(%llu lines were left out) ", (unsigned long long)log_limit.left_out);
    log_limit.left_out = 0;
    va_start(ap, fmt);
    buf_vfmt(&line, fmt, ap);
    va_end(ap);
    buf_char(&line, '\n');
    if (write(log_fd, line.data, line.len) < 0 && log_fd != 2)
        log_fd = 2;
    buf_free(&line);
}

void net_log_once(struct device *d, const char *what, int err)
{
    if (d->said == what && d->said_err == err)
        return;
    d->said = what;
    d->said_err = err;
    net_log("%s: %s: %s", d->name, what, strerror(err));
}

void net_log_to_kernel(void)
{
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    log_fd = fd;
    log_prefix = "<6>netd: ";
}

bool net_log_is_kernels(void)
{
    return log_fd != 2;
}

uint64_t net_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        abort();
    return seed;
}

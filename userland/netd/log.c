// SPDX-License-Identifier: MIT
// netd's lines: on standard error, or in the kernel's log.
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "netd/netd.h"

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

/* SPDX-License-Identifier: MIT
 *
 * syslog(2): the kernel's log as dmesg(1) reads it. The ring is read without being consumed: there
 * is no reader that waits for the next line (SYSLOG_ACTION_READ), and nothing to clear.
 */
#include "debug/debug.h"
#include "linux/sys.h"

enum syslog_action {
    SYSLOG_CLOSE = 0,
    SYSLOG_OPEN = 1,
    SYSLOG_READ_ALL = 3,
    SYSLOG_CONSOLE_LEVEL = 8,
    SYSLOG_SIZE_BUFFER = 10,
};
#define SYSLOG_LINE (LOG_LINE_MAX + 32)
#define SYSLOG_BUFFER (512U * SYSLOG_LINE) /* no ring's worth of lines is longer */

/* Ours as syslog(3) counts them. */
static const u8 syslog_level[] = {[LOG_ERR] = 3, [LOG_WARN] = 4, [LOG_INFO] = 6, [LOG_DEBUG] = 7};

/* "<6>[    0.123456] text", a line per record. The length, or 0: it does not fit in n. */
static size_t syslog_line(const struct log_record *rec, char *line, size_t n)
{
    u64 us = rec->ns / 1000;
    int len = snprintf(line, SYSLOG_LINE, "<%u>[%5lu.%06lu] %s\n", syslog_level[rec->level],
                       us / 1000000, us % 1000000, rec->text);

    return len > 0 && (size_t)len <= n ? (size_t)len : 0;
}

/* The last lines that fit into n bytes. */
static s64 syslog_read_all(u64 ubuf, size_t n)
{
    struct log_record *rec = kmalloc(sizeof(*rec));
    char *line = kmalloc(SYSLOG_LINE);
    u64 end = log_end(), seq = 0, first = 0, total = 0, done = 0;
    s64 r = rec && line ? 0 : -ENOMEM;

    for (; !r && seq < end && log_read(&seq, rec); cond_yield())
        total += syslog_line(rec, line, SYSLOG_LINE);
    for (; !r && first < end && total > n && log_read(&first, rec);)
        total -= MIN(total, syslog_line(rec, line, SYSLOG_LINE));
    while (!r && first < end && log_read(&first, rec)) {
        size_t len = syslog_line(rec, line, n - done);
        if (!len)
            break;
        r = copy_out((void __user *)(ubuf + done), line, len);
        done += len;
        cond_yield();
    }
    kfree(rec);
    kfree(line);
    return r ? r : (s64)done;
}

/* Records whose number is below n are shown; errors always are. */
static void syslog_set_console_level(u32 n)
{
    enum log_level level = LOG_ERR;

    while (level < LOG_DEBUG && syslog_level[level + 1] < n)
        level++;
    log_set_console_level(level);
}

s64 sys_syslog(s32 action, u64 ubuf, s32 n)
{
    if (!capable(CAP_SYSLOG))
        return -EPERM;
    switch ((u32)action) {
    case SYSLOG_CLOSE:
    case SYSLOG_OPEN:
        return 0;
    case SYSLOG_READ_ALL:
        if (!ubuf || (s32)n < 0)
            return -EINVAL;
        return syslog_read_all(ubuf, (u32)n);
    case SYSLOG_CONSOLE_LEVEL:
        if ((s32)n < 1 || (s32)n > 8)
            return -EINVAL;
        syslog_set_console_level((u32)n);
        return 0;
    case SYSLOG_SIZE_BUFFER:
        return SYSLOG_BUFFER;
    default:
        return -EINVAL;
    }
}

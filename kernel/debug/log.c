/* SPDX-License-Identifier: MIT
 *
 * The log: a ring of fixed-size records that any context writes without a lock, NMI included.
 *
 * A writer takes a number with one atomic add, fills slot number % LOG_SLOTS and publishes it by
 * storing number + 1 in `stamp` last; while it writes, stamp is 0. A reader copies, then looks at
 * the stamp again: a record that was overwritten meanwhile is skipped.
 *
 * The console: a CPU that logs tries to become the printer. The printer shows records in order
 * until none is left; other CPUs only add theirs to the ring. So lines never mix and no CPU waits.
 */
#include "debug/debug_priv.h"

#include "arch/x86/time.h"
#include "lib/atomic.h"
#include "lib/format.h"
#include "lib/string.h"

#define LOG_SLOTS 512

struct log_slot {
    u64 stamp; /* a  record number + 1; 0: being written */
    u64 ns;
    u8 level;
    u8 len;
    bool shown; /* on the console: by the level that held when it was written */
    char text[LOG_LINE_MAX + 13];
};
static_assert(sizeof(struct log_slot) == 256, "struct log_slot");

static struct log_slot log_ring[LOG_SLOTS];
static u64 log_next;    /* a  number of the next record */
static u64 log_shown;   /* the printer's: next record for the console */
static u8 log_printing; /* a  a CPU is the printer */
static u8 log_console_level = LOG_INFO;

static u64 log_time(void)
{
    return tsc_hz ? time_ns() : 0;
}

/* Names that users choose get into records: they start no new line there, and command no terminal,
 * not by the control characters above 0x7f either.
 */
static void log_tame(char *text, size_t n)
{
    for (char *c = text; c < text + n; c++)
        if (((u8)*c < ' ' && *c != '\t') || (u8)*c >= 0x7f)
            *c = '?';
}

static void log_store(enum log_level level, const char *fmt, va_list ap)
{
    u64 number = __atomic_fetch_add(&log_next, 1, __ATOMIC_SEQ_CST);
    struct log_slot *slot = &log_ring[number % LOG_SLOTS];

    store_release(&slot->stamp, 0);
    smp_mb(); /* pairs with the second look in log_read */
    slot->ns = log_time();
    slot->level = level;
    slot->shown = level <= READ_ONCE(log_console_level);
    slot->len = (u8)vscnprintf(slot->text, LOG_LINE_MAX, fmt, ap);
    log_tame(slot->text, slot->len);
    store_release(&slot->stamp, number + 1);
}

u64 log_end(void)
{
    return load_acquire(&log_next);
}

/* Copies record `number`: 1, 0 when it is still being written, -1 when it is gone. */
static int log_copy(u64 number, struct log_record *out)
{
    const struct log_slot *slot = &log_ring[number % LOG_SLOTS];
    u64 stamp = load_acquire(&slot->stamp);

    if (number + LOG_SLOTS < log_end() || stamp > number + 1)
        return -1;
    if (stamp != number + 1)
        return 0;
    out->seq = number;
    out->ns = slot->ns;
    out->level = slot->level;
    out->shown = slot->shown;
    memcpy(out->text, slot->text, slot->len);
    out->text[slot->len] = '\0';
    smp_mb(); /* pairs with the one in log_store */
    return READ_ONCE(slot->stamp) == stamp ? 1 : -1;
}

bool log_read(u64 *seq, struct log_record *out)
{
    u64 end = log_end();

    if (*seq + LOG_SLOTS < end)
        *seq = end - LOG_SLOTS;
    for (; *seq < end; ++*seq) {
        int got = log_copy(*seq, out);

        if (got == 0)
            return false;
        if (got > 0) {
            ++*seq;
            return true;
        }
    }
    return false;
}

static void log_put(const char *text, size_t n)
{
    debug_port_write(text, n);
}

static void log_show(const struct log_record *rec)
{
    static char line[LOG_LINE_MAX + 32]; /* the printer's */
    u64 us = rec->ns / 1000;
    int n =
        scnprintf(line, sizeof(line), "[%5lu.%06lu] %s\r\n", us / 1000000, us % 1000000, rec->text);

    log_put(line, (size_t)n);
}

static bool log_print_next(void)
{
    static struct log_record rec; /* the printer's */

    if (!log_read(&log_shown, &rec))
        return false;
    if (rec.shown)
        log_show(&rec);
    return true;
}

static void log_print(void)
{
    do {
        if (__atomic_exchange_n(&log_printing, 1, __ATOMIC_ACQUIRE))
            return;
        while (log_print_next()) {
        }
        store_release(&log_printing, 0);
        smp_mb(); /* a record that came after the last look is ours again */
    } while (log_shown < log_end() && READ_ONCE(log_ring[log_shown % LOG_SLOTS].stamp) > log_shown);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    log_store(level, fmt, ap);
    va_end(ap);
    log_print();
}

/* The second, and how many lines it has seen; that two writers may count one is no harm. */
bool log_allowed(u64 *state)
{
    u64 second = log_time() / 1000000000UL << 8, was = READ_ONCE(*state);

    if ((was & ~0xffUL) != second)
        was = second;
    if ((was & 0xff) >= LOG_LIMIT)
        return false;
    WRITE_ONCE(*state, was + 1);
    return true;
}

void log_set_console_level(enum log_level level)
{
    WRITE_ONCE(log_console_level, level);
}

void log_emit_raw(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vscnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (const char *p = text, *end = text + n; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const char *stop = nl ? nl : end;

        log_put(p, (size_t)(stop - p));
        if (nl)
            log_put("\r\n", 2);
        p = nl ? nl + 1 : end;
    }
}

/* The last records, shown before or not: a quiet console is no use after a panic. */
void log_panic_flush(void)
{
    static struct log_record rec;
    u64 end = log_end(), seq = end > 24 ? end - 24 : 0;

    store_release(&log_printing, 1);
    log_emit_raw("\n--- the last of the log\n");
    while (seq < end && log_read(&seq, &rec))
        log_show(&rec);
}

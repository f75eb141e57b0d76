/* SPDX-License-Identifier: MIT
 *
 * What every rank may call to say something: the log, panic, assertions, trace points, counters,
 * fail points. lib declares them; kernel/debug defines them over a lock-free ring, so that they
 * work in any context, NMI and panic included. On the host (unit tests) they print to stderr.
 */
#pragma once

#include "lib/types.h"

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Writes one line (no newline in fmt). Context: any. */
void log_write(enum log_level level, const char *fmt, ...) __printf(2, 3);
#define log_err(...) log_write(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
/* Logs the first time this line is reached. */
#define log_once(level, ...)                                   \
    do {                                                       \
        static u8 once_;                                       \
        if (!__atomic_exchange_n(&once_, 1, __ATOMIC_RELAXED)) \
            log_write(level, __VA_ARGS__);                     \
    } while (0)

/* What users bring about at will: at most LOG_LIMIT lines of a place in a second. */
#define LOG_LIMIT 10
bool log_allowed(u64 *state);
#define log_limited(level, ...)            \
    do {                                   \
        static u64 state_;                 \
        if (log_allowed(&state_))          \
            log_write(level, __VA_ARGS__); \
    } while (0)

/* The kernel itself is at fault: evidence on the console, then the panic shell or a reboot. */
__noreturn __cold void panic(const char *fmt, ...) __printf(1, 2);
/* As panic, with the backtrace of another frame: from the trap handlers. */
__noreturn __cold void panic_at(u64 rip, u64 rbp, const char *fmt, ...) __printf(3, 4);

/* For our own bugs only: no data from a user, guest, disk or wire may reach one. */
#define ASSERT(cond)                                                         \
    do {                                                                     \
        if (unlikely(!(cond)))                                               \
            panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond); \
    } while (0)
#ifdef DEBUG
#define DEBUG_ASSERT(cond) ASSERT(cond)
#else
#define DEBUG_ASSERT(cond) ((void)sizeof(cond))
#endif

/* A named event counter, shown by the console command `counters`. Each CPU has its own, as per-CPU
 * data are kept (sync/percpu.h), so that counting is one instruction and shares no cache line; they
 * are added up when they are shown. On the host there is one. Context: any. */
struct counter {
    const char *name;
    u64 *value;
};
#if __STDC_HOSTED__
#define COUNTER_PLACE
#define COUNT_ADD(id, n) ((void)(counter_##id += (n)))
#else
#define COUNTER_PLACE __section(".percpu")
#define COUNT_ADD(id, n) \
    __asm__ volatile("addq %1, %%gs:%0" : "+m"(counter_##id) : "er"((u64)(n)) : "cc")
#endif
#define COUNTER(id)                        \
    static COUNTER_PLACE u64 counter_##id; \
    TABLE_ENTRY(struct counter, counters, #id) = {#id, &counter_##id}
#define COUNT(id) COUNT_ADD(id, 1)

/* A trace point tells of the calls of a function, and costs nothing while it is off: no instruction
 * stands for it. While it is on, the calls are led to the function's twin, NAME_traced, which
 * records what it wants to and calls the function itself (console: `trace on NAME`). The calls are
 * those that the linker knows: of a function that others can see, that is not inlined, by name.
 * A function may have several points: its twin records those that are on. */
struct trace_point {
    const char *name; /* kind_what */
    const char *fmt;  /* printf format of up to three u64 */
    void (*fn)(void), (*twin)(void);
    u8 *on;
};
void trace_record(const struct trace_point *tp, u64 a, u64 b, u64 c);
#define TRACE_POINT(id, function, format)                                             \
    static u8 trace_on_##id;                                                          \
    static const struct trace_point trace_##id __used                                 \
        __attribute__((section(".table.traces." #id), aligned(8))) = {                \
            #id, format, (void (*)(void))function, (void (*)(void))function##_traced, \
            &trace_on_##id}
/* In the twin. */
#define TRACE(id, a, b, c)                                           \
    do {                                                             \
        if (READ_ONCE(trace_on_##id))                                \
            trace_record(&trace_##id, (u64)(a), (u64)(b), (u64)(c)); \
    } while (0)

/* A fail point, at every edge where the kernel asks for something that can be refused: memory, a
 * charge, a number, input or output. `if (FAILPOINT(page_alloc)) return NULL;`. Armed from the
 * console
 * (`fail`, kernel/debug/fail.c), by its name or with all others; false otherwise, and at no cost in
 * the release build. FAILPOINT_APART is armed by its name only: it refuses for good, or makes a
 * loop try once more. */
struct fail_point {
    const char *name;
    u32 *every; /* 0: off */
    bool apart;
};
bool fail_point_hit(const char *name, u32 every);
#ifdef DEBUG
#define FAILPOINT_KIND(id, apart_)                                                          \
    ({                                                                                      \
        static u32 every_;                                                                  \
        static const struct fail_point fp_ __used                                           \
            __attribute__((section(".table.failpoints." #id), aligned(8))) = {#id, &every_, \
                                                                              apart_};      \
        unlikely(every_) && fail_point_hit(#id, every_);                                    \
    })
#define DELAYPOINT(id)           \
    do {                         \
        if (FAILPOINT_APART(id)) \
            fail_point_delay();  \
    } while (0)
#else
#define FAILPOINT_KIND(id, apart_) false
#define DELAYPOINT(id) \
    do {               \
    } while (0)
#endif
#define FAILPOINT(id) FAILPOINT_KIND(id, false)
#define FAILPOINT_APART(id) FAILPOINT_KIND(id, true)
/* A delay point stands in the window of a race: armed like a fail point, it keeps the processor
 * busy for a while there, so that another one surely gets in between. Any context. */
void fail_point_delay(void);
/* For tests; "all": all but those apart. False where there is no such point, as in the release
 * build. */
bool fail_point_arm(const char *name, u32 every);

/* A command of the debug console and of the panic shell. Prints through emit. */
struct console_cmd {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv, void (*emit)(const char *fmt, ...));
    bool safe_in_panic; /* takes no lock and allocates nothing */
};
#define CONSOLE_CMD(id) TABLE_ENTRY(struct console_cmd, console_cmds, #id)

/* A kernel self-test: runs in a thread of its own by `selftest [NAME]`; fails through CHECK. */
struct selftest {
    const char *name; /* states the promise: page_free_merges_buddies */
    void (*run)(void);
    bool timed; /* right only where no processor ever stands still: under --icount */
};
#define SELFTEST_ENTRY(id, timed)                                               \
    static void selftest_##id(void);                                            \
    TABLE_ENTRY(struct selftest, selftests, #id) = {#id, selftest_##id, timed}; \
    static void selftest_##id(void)
#define SELFTEST(id) SELFTEST_ENTRY(id, false)
#define SELFTEST_TIMED(id) SELFTEST_ENTRY(id, true)
void selftest_fail(const char *file, int line, const char *what);
#define CHECK(cond)                                   \
    do {                                              \
        if (!(cond)) {                                \
            selftest_fail(__FILE__, __LINE__, #cond); \
            return;                                   \
        }                                             \
    } while (0)

/* Bring-up: INIT_HOOK(fn, LEVEL) functions run in level order, once, on the boot CPU. Hooks of one
 * level run in no particular order. A hook that fails panics for itself. */
enum init_level {
    INIT_ARCH = 0, /* CPU features, traps; no allocation */
    INIT_MM = 1,   /* page allocator, slab */
    INIT_SCHED = 2,
    INIT_CORE = 3, /* vm, obj: caches and global tables */
    INIT_DEV = 4,  /* device registry, buses */
    INIT_VFS = 5,  /* root tree, pseudo-file nodes, file system types */
    INIT_DRIVER = 6,
    INIT_LATE = 7, /* container, proc, tty, hv */
};
struct init_hook {
    void (*run)(void);
    const char *name;
    enum init_level level;
};
#define INIT_HOOK(fn, LEVEL) TABLE_ENTRY(struct init_hook, init_hooks, #fn) = {fn, #fn, LEVEL}

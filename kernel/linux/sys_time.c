/* SPDX-License-Identifier: MIT
 *
 * Clocks, sleeping, timers, futexes.
 */
#include "linux/sys.h"
#include "obj/timerfd.h"
#include "proc/futex.h"
#include "proc/itimer.h"

enum {
    CLOCK_REALTIME,
    CLOCK_MONOTONIC,
    CLOCK_PROCESS_CPUTIME,
    CLOCK_THREAD_CPUTIME,
    CLOCK_MONOTONIC_RAW,
    CLOCK_REALTIME_COARSE,
    CLOCK_MONOTONIC_COARSE,
    CLOCK_BOOTTIME,
    CLOCK_REALTIME_ALARM,
    CLOCK_BOOTTIME_ALARM,
    CLOCK_TAI = 11,
};
#define TIMER_ABSTIME 1
#define USEC 1000ULL

/* clock_getcpuclockid(3): a negative clock is the CPU time of a process, or with bit 2 of a thread
 * of the caller's; the bits above are the inverted number, 0 for the caller itself; the two below
 * say what counts: 0 all of it, 1 user time, 2 what the scheduler counts, which is all of it. */
#define CPU_CLOCK_THREAD 4
#define CPU_CLOCK_KIND(clock) ((clock)&3)
#define CPU_CLOCK_USER 1

/* The thread that the clock names, or the leader of the process, with a reference. -EINVAL. */
static struct task *clock_cpu_task(s32 clock)
{
    u32 nr = (u32) ~(clock >> 3);
    struct task *t;

    if (CPU_CLOCK_KIND(clock) == 3)
        return ERR_PTR(-EINVAL);
    t = task_find(current_pid_ns(), nr ? nr : pid_nr(current_task()->pid, current_pid_ns()));
    if (!t)
        return ERR_PTR(-EINVAL);
    if (clock & CPU_CLOCK_THREAD ? t->process == current_process()
                                 : !nr || t->pid == t->process->pid)
        return t;
    task_put(t);
    return ERR_PTR(-EINVAL);
}

static int clock_read_cpu(s32 clock, u64 *out)
{
    struct process_times times;
    struct task *t = clock_cpu_task(clock);

    if (IS_ERR(t))
        return (int)PTR_ERR(t);
    if (clock & CPU_CLOCK_THREAD)
        sched_thread_times(t->thread, &times.utime, &times.stime);
    else
        process_times_cpu(t->process, &times);
    task_put(t);
    *out = times.utime + (CPU_CLOCK_KIND(clock) == CPU_CLOCK_USER ? 0 : times.stime);
    return 0;
}

/* The clock's ns, or -EINVAL. Namespaces shift the clocks that count from boot. */
static int clock_read(s32 clock, u64 *out)
{
    const struct time_ns *tns = current_task()->ns->time;
    struct process_times t;

    if (clock < 0)
        return clock_read_cpu(clock, out);
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *out = wall_ns();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
        *out = time_ns() + (u64)tns->monotonic;
        return 0;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *out = time_ns() + (u64)tns->boottime;
        return 0;
    case CLOCK_PROCESS_CPUTIME:
        process_times_cpu(current_process(), &t);
        *out = t.utime + t.stime;
        return 0;
    case CLOCK_THREAD_CPUTIME:
        sched_thread_times(current_thread(), &t.utime, &t.stime);
        *out = t.utime + t.stime;
        return 0;
    default:
        return -EINVAL;
    }
}

s64 sys_clock_gettime(s32 clock, u64 uts)
{
    u64 ns;
    int err = clock_read((s32)clock, &ns);

    return err ? err : timespec_out(uts, ns);
}

s64 sys_clock_getres(s32 clock, u64 uts)
{
    u64 ns;
    int err = clock_read((s32)clock, &ns);

    return err || !uts ? err : timespec_out(uts, 1);
}

#define CLOCK_SEC_MAX 8277292036L /* a time that is set: thirty years short of what ns can tell */

static int clock_may_set(void)
{
    return capable(CAP_SYS_TIME) ? 0 : -EPERM;
}

static void clock_set_wall(u64 ns)
{
    time_set_wall(ns);
    timerfd_wall_set();
}

s64 sys_clock_settime(s32 clock, u64 uts)
{
    u64 ns;
    int err = timespec_in(uts, &ns);

    if (err || clock != CLOCK_REALTIME)
        return err ? err : -EINVAL;
    err = clock_may_set();
    if (!err)
        clock_set_wall(ns);
    return err;
}

s64 sys_gettimeofday(u64 utv, u64 utz)
{
    u64 now = wall_ns();
    s64 tv[2] = {(s64)(now / NSEC_PER_SEC), (s64)(now % NSEC_PER_SEC / USEC)};
    s32 tz[2] = {0, 0};

    return (utv && OUT(utv, tv)) || (utz && OUT(utz, tz)) ? -EFAULT : 0;
}

s64 sys_settimeofday(u64 utv, u64 utz)
{
    s64 tv[2];
    int err;

    if (utv && IN(tv, utv))
        return -EFAULT;
    if (utv && (tv[0] < 0 || tv[0] >= CLOCK_SEC_MAX || tv[1] < 0 || tv[1] >= 1000000))
        return -EINVAL;
    err = clock_may_set();
    if (!err && utv)
        clock_set_wall((u64)tv[0] * NSEC_PER_SEC + (u64)tv[1] * USEC);
    return err;
}

s64 sys_time(u64 uptr)
{
    s64 sec = (s64)(wall_ns() / NSEC_PER_SEC);

    return uptr && OUT(uptr, sec) ? -EFAULT : sec;
}

/* restart_syscall(2): what an interrupted relative sleep goes on with. */
s64 sys_restart_syscall(void)
{
    struct restart_block *rb = &current_task()->restart;

    return rb->resume ? rb->resume(rb) : -EINTR;
}

static s64 sleep_resume(struct restart_block *rb)
{
    int err = sleep_until(rb->deadline, SLEEP_INTERRUPTIBLE);

    if (!err || err == -ETIMEDOUT)
        return 0;
    if (rb->arg[0]) {
        u64 now = time_ns();
        if (timespec_out(rb->arg[0], rb->deadline > now ? rb->deadline - now : 0))
            return -EFAULT;
    }
    return -ERESTART_RESTARTBLOCK;
}

static s64 sleep_relative(u64 ns, u64 uremain)
{
    struct restart_block *rb = &current_task()->restart;

    *rb = (struct restart_block){
        .resume = sleep_resume, .deadline = deadline_after(ns), .arg = {uremain}};
    return sleep_resume(rb);
}

s64 sys_nanosleep(u64 uts, u64 uremain)
{
    u64 ns;
    int err = timespec_in(uts, &ns);

    return err ? err : sleep_relative(ns, uremain);
}

/* A deadline on a clock in ns of time_ns(). */
static u64 clock_deadline(s32 clock, u64 ns)
{
    const struct time_ns *tns = current_task()->ns->time;
    s64 shift = 0;

    if (clock == CLOCK_REALTIME || clock == CLOCK_TAI)
        shift = (s64)time_wall_offset();
    else if (clock == CLOCK_MONOTONIC)
        shift = tns->monotonic;
    else if (clock == CLOCK_BOOTTIME)
        shift = tns->boottime;
    s64 at = (s64)ns - shift;
    return at > 0 ? (u64)at : 1;
}

s64 sys_clock_nanosleep(s32 clock, s32 flags, u64 uts, u64 uremain)
{
    s32 id = (s32)clock;
    u64 ns, now;

    if (id < 0 || id == CLOCK_THREAD_CPUTIME || clock_read(id, &now))
        return -EINVAL;
    if (id != CLOCK_REALTIME && id != CLOCK_TAI && id != CLOCK_MONOTONIC && id != CLOCK_BOOTTIME)
        return -EOPNOTSUPP; /* nothing wakes by these */
    int err = timespec_in(uts, &ns);
    if (err)
        return err;
    if (!(flags & TIMER_ABSTIME))
        return sleep_relative(ns, uremain);
    err = sleep_until(clock_deadline(id, ns), SLEEP_INTERRUPTIBLE);
    return err == -EINTR ? -ERESTARTNOHAND : 0;
}

/* struct itimerval */
static int itimerval_out(u64 uptr, const struct itimer *t)
{
    s64 v[4] = {(s64)(t->interval / NSEC_PER_SEC), (s64)(t->interval % NSEC_PER_SEC / USEC),
                (s64)(t->expires / NSEC_PER_SEC), (s64)(t->expires % NSEC_PER_SEC / USEC)};
    return OUT(uptr, v);
}

s64 sys_getitimer(s32 which, u64 uptr)
{
    struct itimer t;
    int err = itimer_get((unsigned)which, &t);

    return err ? err : itimerval_out(uptr, &t);
}

s64 sys_setitimer(s32 which, u64 unew, u64 uold)
{
    struct itimer t = {0, 0}, old;
    s64 v[4];

    if (unew) {
        if (IN(v, unew))
            return -EFAULT;
        for (int i = 0; i < 4; i += 2) {
            if (v[i] < 0 || v[i + 1] < 0 || v[i + 1] >= 1000000)
                return -EINVAL;
            v[i] = MIN(v[i], S64_MAX / (s64)NSEC_PER_SEC / 4);
        }
        t.interval = (u64)v[0] * NSEC_PER_SEC + (u64)v[1] * USEC;
        t.expires = (u64)v[2] * NSEC_PER_SEC + (u64)v[3] * USEC;
    }
    int err = itimer_set((unsigned)which, &t, &old);
    return !err && uold ? itimerval_out(uold, &old) : err;
}

s64 sys_alarm(u32 seconds)
{
    struct itimer t = {(u32)seconds * NSEC_PER_SEC, 0}, old;

    itimer_set(ITIMER_REAL, &t, &old);
    return (s64)DIV_ROUND_UP(old.expires, NSEC_PER_SEC);
}

struct itimerspec_user {
    struct timespec_k interval, value;
};

static int itimerspec_in(u64 uptr, u64 *value, u64 *interval)
{
    int err = timespec_in(uptr, interval);

    return err ? err : timespec_in(uptr + sizeof(struct timespec_k), value);
}

static int itimerspec_out(u64 uptr, u64 value, u64 interval)
{
    struct itimerspec_user u = {{(s64)(interval / NSEC_PER_SEC), (s64)(interval % NSEC_PER_SEC)},
                                {(s64)(value / NSEC_PER_SEC), (s64)(value % NSEC_PER_SEC)}};

    return OUT(uptr, u);
}

struct sigevent_user {
    u64 value;
    s32 signo, notify, tid;
    u8 unused[44];
};
static_assert(sizeof(struct sigevent_user) == 64, "sigevent");

/* A clock of CPU time: timers count that of the caller's own process or threads. */
static int timer_clock_cpu(s32 clock, struct posix_timer_spec *spec)
{
    struct task *t = clock_cpu_task(clock);

    if (IS_ERR(t))
        return (int)PTR_ERR(t);
    bool own = t->process == current_process();
    spec->clock = CPU_CLOCK_KIND(clock) == CPU_CLOCK_USER ? POSIX_CLOCK_CPU_USER : POSIX_CLOCK_CPU;
    if (own && clock & CPU_CLOCK_THREAD)
        spec->counts = t;
    else
        task_put(t);
    return own ? 0 : -EOPNOTSUPP;
}

static int timer_clock(s32 clock, struct posix_timer_spec *spec)
{
    const struct time_ns *tns = current_task()->ns->time;

    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_TAI:
        spec->clock = POSIX_CLOCK_WALL;
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
        spec->clock = POSIX_CLOCK_BOOT;
        spec->shift = clock == CLOCK_MONOTONIC ? tns->monotonic : tns->boottime;
        return 0;
    case CLOCK_PROCESS_CPUTIME:
        spec->clock = POSIX_CLOCK_CPU;
        return 0;
    case CLOCK_THREAD_CPUTIME:
        spec->clock = POSIX_CLOCK_CPU;
        spec->counts = current_task();
        task_get(spec->counts);
        return 0;
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_REALTIME_ALARM: /* no clock here wakes the machine */
    case CLOCK_BOOTTIME_ALARM:
        return -EOPNOTSUPP;
    default:
        return clock < 0 ? timer_clock_cpu(clock, spec) : -EINVAL;
    }
}

/* Judges what the caller chose: a signal that exists, a thread of its own. */
static int timer_notify(const struct sigevent_user *ev, struct posix_timer_spec *spec)
{
    spec->notify = ev->notify;
    spec->value = ev->value;
    switch (ev->notify) {
    case SIGEV_NONE:
        return 0;
    case SIGEV_THREAD_ID:
        spec->target = task_find(current_pid_ns(), (u32)ev->tid);
        if (!spec->target || spec->target->process != current_process())
            return -EINVAL;
        break;
    case SIGEV_SIGNAL:
    case SIGEV_THREAD:
        break;
    default:
        return -EINVAL;
    }
    spec->signo = ev->signo;
    return ev->signo < 1 || ev->signo > NSIG ? -EINVAL : 0;
}

s64 sys_timer_create(s32 clock, u64 uev, u64 uid)
{
    struct sigevent_user ev = {.signo = SIGALRM, .notify = SIGEV_SIGNAL};
    struct posix_timer_spec spec = {.default_value = !uev};
    s32 id;

    if (uev && IN(ev, uev))
        return -EFAULT;
    int err = timer_clock((s32)clock, &spec);
    if (!err)
        err = timer_notify(&ev, &spec);
    if (!err)
        err = posix_timer_create(&spec, &id);
    if (err) {
        if (spec.target)
            task_put(spec.target);
        if (spec.counts)
            task_put(spec.counts);
        return err;
    }
    if (OUT(uid, id)) {
        posix_timer_delete(id);
        return -EFAULT;
    }
    return 0;
}

s64 sys_timer_settime(s32 id, s32 flags, u64 unew, u64 uold)
{
    u64 value, interval;
    struct itimer old;
    int err = itimerspec_in(unew, &value, &interval);

    if (!err)
        err = posix_timer_set((s32)id, flags & TIMER_ABSTIME, value, interval, &old);
    return !err && uold ? itimerspec_out(uold, old.expires, old.interval) : err;
}

s64 sys_timer_gettime(s32 id, u64 uptr)
{
    struct itimer t;
    int err = posix_timer_get((s32)id, &t);

    return err ? err : itimerspec_out(uptr, t.expires, t.interval);
}

s64 sys_timer_getoverrun(s32 id)
{
    return posix_timer_overrun((s32)id);
}

s64 sys_timer_delete(s32 id)
{
    return posix_timer_delete((s32)id);
}

s64 sys_timerfd_create(s32 clock, u32 flags)
{
    if (flags & ~(u64)(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    struct file *f = timerfd_create((int)clock, flags & O_NONBLOCK);
    return IS_ERR(f) ? PTR_ERR(f) : fd_publish(f, flags & O_CLOEXEC);
}

s64 sys_timerfd_settime(s32 fd, u32 flags, u64 unew, u64 uold)
{
    struct timerfd_spec spec, old;
    int err = itimerspec_in(unew, &spec.value, &spec.interval);

    if (err)
        return err;
    struct fd_hold h = fd_hold((int)fd);
    if (!h.file)
        return -EBADF;
    err = timerfd_set(h.file, (unsigned)flags, &spec, &old);
    fd_release(h);
    return !err && uold ? itimerspec_out(uold, old.value, old.interval) : err;
}

s64 sys_timerfd_gettime(s32 fd, u64 uptr)
{
    struct fd_hold h = fd_hold((int)fd);
    struct timerfd_spec spec;

    if (!h.file)
        return -EBADF;
    int err = timerfd_get(h.file, &spec);
    fd_release(h);
    return err ? err : itimerspec_out(uptr, spec.value, spec.interval);
}

enum {
    FUTEX_WAIT = 0,
    FUTEX_WAKE = 1,
    FUTEX_REQUEUE = 3,
    FUTEX_CMP_REQUEUE = 4,
    FUTEX_WAKE_OP = 5,
    FUTEX_WAIT_BITSET = 9,
    FUTEX_WAKE_BITSET = 10,
};
#define FUTEX_PRIVATE 128
#define FUTEX_CLOCK_REALTIME 256

static s64 futex_resume(struct restart_block *rb)
{
    s64 r = futex_wait(rb->arg[0], rb->arg[3], (u32)rb->arg[1], (u32)rb->arg[2], rb->deadline);

    return r == -ERESTARTSYS ? -ERESTART_RESTARTBLOCK : r;
}

static s64 futex_do_wait(u64 addr, u64 op, u32 val, u64 uts, u32 bitset)
{
    u64 ns, deadline = 0;
    bool private = op & FUTEX_PRIVATE;

    if (uts) {
        int err = timespec_in(uts, &ns);
        if (err)
            return err;
        if ((op & 127) == FUTEX_WAIT)
            deadline = deadline_after(ns);
        else
            deadline =
                clock_deadline(op & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, ns);
    }
    s64 r = futex_wait(addr, private, val, bitset, deadline);
    if (r != -ERESTARTSYS || !uts || (op & 127) != FUTEX_WAIT)
        return r;
    current_task()->restart = (struct restart_block){
        .resume = futex_resume, .deadline = deadline, .arg = {addr, val, bitset, private}};
    return -ERESTART_RESTARTBLOCK;
}

s64 sys_futex(u64 addr, s32 op, u32 val, u64 uts, u64 addr2, u32 val3)
{
    bool private = op & FUTEX_PRIVATE;
    u32 expected = val3;

    switch (op & 127) {
    case FUTEX_WAIT:
        return futex_do_wait(addr, op, val, uts, ~0U);
    case FUTEX_WAIT_BITSET:
        return futex_do_wait(addr, op, val, uts, val3);
    case FUTEX_WAKE:
        return futex_wake(addr, private, (int)val, ~0U);
    case FUTEX_WAKE_BITSET:
        return futex_wake(addr, private, (int)val, val3);
    case FUTEX_REQUEUE:
        return futex_requeue(addr, private, (int)val, (int)uts, addr2, NULL);
    case FUTEX_CMP_REQUEUE:
        return futex_requeue(addr, private, (int)val, (int)uts, addr2, &expected);
    case FUTEX_WAKE_OP:
        return futex_wake_op(addr, private, (int)val, addr2, (int)uts, val3);
    default:
        log_once(LOG_INFO, "linux: futex operation %d is not implemented", op & 127);
        return -ENOSYS;
    }
}

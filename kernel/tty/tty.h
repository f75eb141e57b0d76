/* SPDX-License-Identifier: MIT
 *
 * Terminals: one struct tty per line, behind /dev/console, a serial port or the slave side of a
 * pty. The line discipline (ldisc.c) is part of it; where output goes is ops' business.
 *
 * Lock order: write_lock (mutex), lock (spin, irq-safe), then proc_lock and what is below it.
 */
#pragma once

#include "lib/types.h"
#include "obj/file.h"
#include "sched/mutex.h"
#include "sched/wait.h"
#include "sync/refcount.h"
#include "sync/spinlock.h"

#define TTY_INPUT_SIZE 4096
#define NCCS 19

/* The kernel's struct termios (asm-generic/termbits.h) and termios2's speeds. */
struct termios {
    u32 iflag, oflag, cflag, lflag;
    u8 line, cc[NCCS];
};
static_assert(sizeof(struct termios) == 36, "termios");

enum {
    VINTR,
    VQUIT,
    VERASE,
    VKILL,
    VEOF,
    VTIME,
    VMIN,
    VSWTC,
    VSTART,
    VSTOP,
    VSUSP,
    VEOL,
    VREPRINT,
    VDISCARD,
    VWERASE,
    VLNEXT,
    VEOL2
};
/* iflag */
#define ISTRIP 0000040
#define INLCR 0000100
#define IGNCR 0000200
#define ICRNL 0000400
#define IUCLC 0001000
#define IXON 0002000
#define IXANY 0004000
#define IMAXBEL 0020000
#define IUTF8 0040000
/* oflag */
#define OPOST 0000001
#define OLCUC 0000002
#define ONLCR 0000004
#define OCRNL 0000010
#define ONOCR 0000020
#define ONLRET 0000040
#define TABDLY 0014000
#define XTABS 0014000
/* cflag */
#define B38400 0000017
#define CS8 0000060
#define CREAD 0000200
#define HUPCL 0002000
/* lflag */
#define ISIG 0000001
#define ICANON 0000002
#define ECHO 0000010
#define ECHOE 0000020
#define ECHOK 0000040
#define ECHONL 0000100
#define NOFLSH 0000200
#define TOSTOP 0000400
#define ECHOCTL 0001000
#define ECHOPRT 0002000
#define ECHOKE 0004000
#define FLUSHO 0010000
#define IEXTEN 0100000

struct winsize {
    u16 row, col, xpixel, ypixel;
};

struct tty;
struct pid;
struct process;
struct tty_ops {
    /* Sends n processed bytes. With `space` set: called under tty->lock, at most space bytes.
     * Without: takes everything, called without the lock (or with it, for echo). */
    void (*write)(struct tty *t, const char *buf, size_t n);
    size_t (*space)(struct tty *t);  /* REQUIRES(lock); NULL: unlimited */
    size_t (*queued)(struct tty *t); /* REQUIRES(lock): bytes not sent yet; NULL: none, ever */
    void (*flushed)(struct tty *t, bool input, bool output); /* REQUIRES(lock); may be NULL */
    void (*flow)(struct tty *t, bool stopped);               /* REQUIRES(lock); may be NULL */
    /* REQUIRES(lock): what was typed has been echoed, with one or many writes; may be NULL. */
    void (*echoed)(struct tty *t);
    s64 (*ioctl)(struct tty *t, struct file *f, unsigned cmd, u64 arg); /* -ENOTTY: none of its */
    void (*closed)(struct tty *t);  /* the last open file is gone; may be NULL */
    void (*destroy)(struct tty *t); /* the last reference; NULL: static */
};

/* l lock · w write_lock · I immutable · a atomic */
struct tty {
    const struct tty_ops *ops; /* I */
    refcount_t ref;            /* a  files, processes, the driver */
    u64 rdev;                  /* I */
    struct spinlock lock;
    struct mutex write_lock;
    struct waitq read_wait, write_wait;
    struct termios termios;     /* l */
    struct termios held;        /* l  TIOCSLCKTRMIOS: what of it stays as it is */
    struct winsize winsize;     /* l */
    u32 opens;                  /* l  open files */
    u32 generation;             /* l  raised by hang-up: older files are dead */
    bool stopped;               /* l  XOFF */
    bool lnext;                 /* l  the next byte is literal */
    bool unfinished;            /* l  the last byte is an edit that goes on when it comes again */
    u32 reprinted;              /* l  VREPRINT, unfinished: where it has come to */
    bool typing, echoed;        /* l  input is being processed; some of it was echoed */
    bool exclusive;             /* l */
    bool is_pty;                /* I */
    u32 column;                 /* l */
    u32 canon_column;           /* l  where the line being typed began */
    struct pid *session, *pgrp; /* l  references; NULL: none */
    /* Input ring. [tail, canon) may be read in canonical mode, [tail, head) otherwise; mark has a
     * bit for each byte that ends a line. An end-of-file is a marked 0 byte with its eof bit set.
     */
    u32 head, tail, canon;                                   /* l  free-running */
    u64 mark[TTY_INPUT_SIZE / 64], eof[TTY_INPUT_SIZE / 64]; /* l */
    u8 in[TTY_INPUT_SIZE];                                   /* l */
};

void tty_init(struct tty *t, const struct tty_ops *ops, u64 rdev);
void tty_get(struct tty *t);
void tty_put(struct tty *t);
/* Makes f an open file of t (takes a reference of its own): sets ops and priv; acquires t as the
 * controlling terminal by the rules of open(2) unless noctty. */
int tty_open(struct tty *t, struct file *f, bool noctty);
/* f, just opened, stays alive through hang-ups: /dev/console, as on Linux. */
void tty_survive_hangup(struct file *f);
struct tty *tty_of_file(struct file *f); /* borrowed; NULL: no tty */
/* All files open so far are dead; the session is notified. May sleep. */
void tty_hangup(struct tty *t);

/* ldisc.c. REQUIRES(lock) for those ending in _locked. */
/* Bytes taken; fewer than n: the ring is full. Without the lock; yields. */
size_t ldisc_type(struct tty *t, const u8 *buf, size_t n);
bool ldisc_readable_locked(struct tty *t) REQUIRES(t->lock);
size_t ldisc_space_locked(struct tty *t) REQUIRES(t->lock);
/* Up to n bytes of what may be read now; *end: a line ended, the read is complete. */
size_t ldisc_take_locked(struct tty *t, u8 *buf, size_t n, bool *end) REQUIRES(t->lock);
/* Expands src into dst; *used: how much of src went in. */
size_t ldisc_output_locked(struct tty *t, const char *src, size_t n, char *dst, size_t cap,
                           size_t *used) REQUIRES(t->lock);
void ldisc_flush_input_locked(struct tty *t) REQUIRES(t->lock);
void ldisc_flush_output_locked(struct tty *t) REQUIRES(t->lock);
void ldisc_set_flow_locked(struct tty *t, bool stopped) REQUIRES(t->lock);
void ldisc_set_termios_locked(struct tty *t, const struct termios *new_termios) REQUIRES(t->lock);

/* tty_job.c */
/* 0 when current may go on, -EIO, or -ERESTARTSYS after sending sig to its own group. */
int tty_check_change(struct tty *t, int sig);
s64 tty_job_ioctl(struct tty *t, struct file *f, unsigned cmd, u64 arg);
int tty_become_controlling(struct tty *t, bool steal);
void tty_signal_pgrp_locked(struct tty *t, int sig) REQUIRES(t->lock);
/* t controls its session no more: it has none, and none of the session's processes has it. May
 * yield. */
void tty_release_session(struct tty *t);

s64 tty_ioctl(struct file *f, unsigned cmd, u64 arg);
/* Shared by both ends of a pty: termios and window size on the slave's tty. */
s64 tty_mode_ioctl(struct tty *t, unsigned cmd, u64 arg);

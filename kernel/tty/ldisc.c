/* SPDX-License-Identifier: MIT
 *
 * The line discipline: termios(3)'s input editing, echo, signals, flow control and output
 * processing. Everything runs under tty->lock, with interrupts off: what goes over the whole line
 * is done in parts, for which its byte is typed again (tty->unfinished).
 */
#include "lib/bitmap.h"
#include "lib/string.h"
#include "proc/signal.h"
#include "tty/tty.h"

#define RING(i) ((i) % TTY_INPUT_SIZE)
#define TYPED_AT_ONCE 64U  /* bytes, of which each may be echoed */
#define EDITED_AT_ONCE 64U /* characters of the line */

static bool ldisc_iflag(const struct tty *t, u32 f)
{
    return t->termios.iflag & f;
}
static bool ldisc_lflag(const struct tty *t, u32 f)
{
    return t->termios.lflag & f;
}
static bool ldisc_is(const struct tty *t, u8 c, int which)
{
    return c && t->termios.cc[which] == c;
}

/* One byte through output processing: at most 8 bytes. */
static size_t ldisc_expand(struct tty *t, char c, char *dst)
{
    u32 o = t->termios.oflag;

    if (!(o & OPOST)) {
        *dst = c;
        return 1;
    }
    switch (c) {
    case '\n':
        if (o & ONLRET)
            t->column = 0;
        if (o & ONLCR) {
            t->column = 0;
            dst[0] = '\r';
            dst[1] = '\n';
            return 2;
        }
        break;
    case '\r':
        if (o & ONOCR && t->column == 0)
            return 0;
        if (o & OCRNL)
            c = '\n';
        else
            t->column = 0;
        break;
    case '\t': {
        u32 spaces = 8 - (t->column & 7);
        t->column += spaces;
        if ((o & TABDLY) != XTABS)
            break;
        memset(dst, ' ', spaces);
        return spaces;
    }
    case '\b':
        if (t->column)
            t->column--;
        break;
    default:
        if (o & OLCUC && c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if ((u8)c >= 0x20 && c != 0x7f && !(ldisc_iflag(t, IUTF8) && ((u8)c & 0xc0) == 0x80))
            t->column++;
        break;
    }
    *dst = c;
    return 1;
}

size_t ldisc_output_locked(struct tty *t, const char *src, size_t n, char *dst, size_t cap,
                           size_t *used)
{
    size_t out = 0, i = 0;

    ASSERT_HELD(&t->lock);
    for (; i < n && cap - out >= 8; i++)
        out += ldisc_expand(t, src[i], dst + out);
    *used = i;
    return out;
}

static void ldisc_echo_raw(struct tty *t, const char *s, size_t n)
{
    if (t->ops->space)
        n = MIN(n, t->ops->space(t));
    if (!n)
        return;
    t->ops->write(t, s, n);
    t->echoed = true;
}

static void ldisc_echo_byte(struct tty *t, char c)
{
    char buf[8];

    ldisc_echo_raw(t, buf, ldisc_expand(t, c, buf));
}

static bool ldisc_shown_as_control(const struct tty *t, u8 c)
{
    return ldisc_lflag(t, ECHOCTL) && (c < 0x20 || c == 0x7f) && c != '\t' && c != '\n';
}

static void ldisc_echo(struct tty *t, u8 c)
{
    if (ldisc_shown_as_control(t, c)) {
        ldisc_echo_byte(t, '^');
        ldisc_echo_byte(t, (char)(c ^ 0x40));
    } else {
        ldisc_echo_byte(t, (char)c);
    }
}

size_t ldisc_space_locked(struct tty *t)
{
    ASSERT_HELD(&t->lock);
    return TTY_INPUT_SIZE - (t->head - t->tail);
}

static void ldisc_push(struct tty *t, u8 c, bool line_end, bool eof)
{
    u32 at = RING(t->head);

    t->in[at] = c;
    if (line_end)
        bitmap_set(t->mark, at);
    else
        bitmap_clear(t->mark, at);
    if (eof)
        bitmap_set(t->eof, at);
    else
        bitmap_clear(t->eof, at);
    t->head++;
    if (line_end || !ldisc_lflag(t, ICANON))
        t->canon = t->head;
}

void ldisc_flush_input_locked(struct tty *t)
{
    ASSERT_HELD(&t->lock);
    t->tail = t->canon = t->head;
    t->lnext = false;
    if (t->ops->flushed)
        t->ops->flushed(t, true, false);
    waitq_wake(&t->write_wait, POLLOUT, ~0U);
}

/* Wakes the waiters for space, and for the end of the output. */
void ldisc_flush_output_locked(struct tty *t)
{
    ASSERT_HELD(&t->lock);
    if (t->ops->flushed)
        t->ops->flushed(t, false, true);
    waitq_wake(&t->write_wait, POLLOUT | POLLWRNORM, ~0U);
}

static bool ldisc_continues(const struct tty *t, u8 c)
{
    return ldisc_iflag(t, IUTF8) && (c & 0xc0) == 0x80;
}

/* Columns of the tab behind the line: it ends at a multiple of eight, as does one before it. What
 * was output since the line began is not looked at. */
static u32 ldisc_tab_width(const struct tty *t)
{
    u32 col = 0, i = t->head;
    u8 c;

    while (i != t->canon) {
        c = t->in[RING(--i)];
        if (c == '\t')
            return 8 - (col & 7);
        col += ldisc_shown_as_control(t, c) ? 2 : !ldisc_continues(t, c);
    }
    return 8 - ((t->canon_column + col) & 7);
}

/* Takes the last character, of one or more bytes in UTF-8, off the line being typed. */
static bool ldisc_erase_one(struct tty *t)
{
    u8 c;

    if (t->head == t->canon)
        return false;
    do {
        t->head--;
        c = t->in[RING(t->head)];
    } while (ldisc_continues(t, c) && t->head != t->canon);
    if (!ldisc_lflag(t, ECHO))
        return true;
    if (!ldisc_lflag(t, ECHOE)) {
        ldisc_echo(t, t->termios.cc[VERASE]);
        return true;
    }
    unsigned width = ldisc_shown_as_control(t, c) ? 2 : 1;
    if (c == '\t') { /* back to where the tab began */
        width = ldisc_tab_width(t);
        while (width--)
            ldisc_echo_byte(t, '\b');
        return true;
    }
    while (width--) {
        ldisc_echo_raw(t, "\b \b", 3);
        if (t->column)
            t->column--;
    }
    return true;
}

/* The line's last character is part of a word. */
static bool ldisc_at_word(const struct tty *t)
{
    u8 c = t->in[RING(t->head - 1)];

    return t->head != t->canon && c > ' ' && c != 0x7f;
}

static void ldisc_erase_word(struct tty *t)
{
    bool seen = false, more = t->head != t->canon;

    for (unsigned n = 0; more && n < EDITED_AT_ONCE; n++) {
        seen |= ldisc_at_word(t);
        ldisc_erase_one(t);
        more = seen ? ldisc_at_word(t) : t->head != t->canon;
    }
    t->unfinished = more;
}

static void ldisc_kill_line(struct tty *t)
{
    if (ldisc_lflag(t, ECHO) && ldisc_lflag(t, ECHOK) &&
        !(ldisc_lflag(t, ECHOKE) && ldisc_lflag(t, ECHOE))) {
        t->head = t->canon;
        ldisc_echo(t, t->termios.cc[VKILL]);
        ldisc_echo_byte(t, '\n');
        return;
    }
    for (unsigned n = 0; n < EDITED_AT_ONCE && ldisc_erase_one(t); n++)
        ;
    t->unfinished = t->head != t->canon;
}

static void ldisc_reprint(struct tty *t, bool resumed)
{
    if (!resumed) {
        ldisc_echo(t, t->termios.cc[VREPRINT]);
        ldisc_echo_byte(t, '\n');
        t->reprinted = t->canon;
    }
    if (t->reprinted - t->canon > t->head - t->canon) /* the line is another by now */
        t->reprinted = t->head;
    for (unsigned n = 0; n < EDITED_AT_ONCE && t->reprinted != t->head; n++)
        ldisc_echo(t, t->in[RING(t->reprinted++)]);
    t->unfinished = t->reprinted != t->head;
}

void ldisc_set_flow_locked(struct tty *t, bool stopped)
{
    ASSERT_HELD(&t->lock);
    if (t->stopped == stopped)
        return;
    t->stopped = stopped;
    if (t->ops->flow)
        t->ops->flow(t, stopped);
    if (!stopped)
        waitq_wake(&t->write_wait, POLLOUT, ~0U);
}

static bool ldisc_signal(struct tty *t, u8 c) REQUIRES(t->lock)
{
    int sig = ldisc_is(t, c, VINTR)   ? SIGINT
              : ldisc_is(t, c, VQUIT) ? SIGQUIT
              : ldisc_is(t, c, VSUSP) ? SIGTSTP
                                      : 0;

    ASSERT_HELD(&t->lock);
    if (!sig)
        return false;
    if (!ldisc_lflag(t, NOFLSH)) {
        ldisc_flush_input_locked(t);
        ldisc_flush_output_locked(t);
    }
    ldisc_set_flow_locked(t, false);
    if (ldisc_lflag(t, ECHO))
        ldisc_echo(t, c);
    tty_signal_pgrp_locked(t, sig);
    return true;
}

/* True when the byte was an editing command of canonical mode. resumed: it was left unfinished. */
static bool ldisc_edit(struct tty *t, u8 c, bool resumed)
{
    bool ext = ldisc_lflag(t, IEXTEN);

    if (ldisc_is(t, c, VERASE))
        ldisc_erase_one(t);
    else if (ldisc_is(t, c, VKILL))
        ldisc_kill_line(t);
    else if (ext && ldisc_is(t, c, VWERASE))
        ldisc_erase_word(t);
    else if (ext && ldisc_is(t, c, VREPRINT) && ldisc_lflag(t, ECHO))
        ldisc_reprint(t, resumed);
    else if (ext && ldisc_is(t, c, VLNEXT)) {
        t->lnext = true;
        if (ldisc_lflag(t, ECHO) && ldisc_lflag(t, ECHOCTL))
            ldisc_echo_raw(t, "^\b", 2);
    } else {
        return false;
    }
    return true;
}

/* The byte goes into the ring. */
static void ldisc_store(struct tty *t, u8 c, bool literal) REQUIRES(t->lock)
{
    bool canon = ldisc_lflag(t, ICANON);
    bool eof = canon && !literal && ldisc_is(t, c, VEOF);
    bool end = canon && !literal &&
               (c == '\n' || eof || ldisc_is(t, c, VEOL) ||
                (ldisc_is(t, c, VEOL2) && ldisc_lflag(t, IEXTEN)));

    ASSERT_HELD(&t->lock);
    /* One place is kept for the byte that ends a line. */
    if (ldisc_space_locked(t) < (canon && !end ? 2U : 1U)) {
        if (ldisc_iflag(t, IMAXBEL))
            ldisc_echo_raw(t, "\a", 1);
        return;
    }
    if (canon && t->head == t->canon)
        t->canon_column = t->column;
    if (c == '\n' && ldisc_lflag(t, ECHO | ECHONL) && !literal)
        ldisc_echo_byte(t, '\n');
    else if (ldisc_lflag(t, ECHO) && !eof)
        ldisc_echo(t, c);
    ldisc_push(t, eof ? 0 : c, end, eof);
}

/* True when it was a command: a signal to a group, what goes over the whole line, or what wakes
 * those who wait for the flow. */
static bool ldisc_byte(struct tty *t, u8 c) REQUIRES(t->lock)
{
    bool resumed = t->unfinished;

    ASSERT_HELD(&t->lock);
    t->unfinished = false;
    if (ldisc_iflag(t, ISTRIP))
        c &= 0x7f;
    if (t->lnext) {
        t->lnext = false;
        ldisc_store(t, c, true);
        return false;
    }
    if (ldisc_iflag(t, IXON)) {
        if (ldisc_is(t, c, VSTART) || ldisc_is(t, c, VSTOP)) {
            ldisc_set_flow_locked(t, ldisc_is(t, c, VSTOP) && !ldisc_is(t, c, VSTART));
            return true;
        }
        if (t->stopped && ldisc_iflag(t, IXANY))
            ldisc_set_flow_locked(t, false);
    }
    if (ldisc_lflag(t, ISIG) && ldisc_signal(t, c))
        return true;
    if (c == '\r') {
        if (ldisc_iflag(t, IGNCR))
            return false;
        if (ldisc_iflag(t, ICRNL))
            c = '\n';
    } else if (c == '\n' && ldisc_iflag(t, INLCR)) {
        c = '\r';
    }
    if (ldisc_iflag(t, IUCLC) && ldisc_lflag(t, IEXTEN) && c >= 'A' && c <= 'Z')
        c = (u8)(c - 'A' + 'a');
    if (ldisc_lflag(t, ICANON) && ldisc_edit(t, c, resumed))
        return true;
    ldisc_store(t, c, false);
    return false;
}

/* Bytes taken. A byte that costs much (a signal, a part of an edit of the whole line) is the last
 * of its call. */
static size_t ldisc_input_locked(struct tty *t, const u8 *buf, size_t n) REQUIRES(t->lock)
{
    size_t done = 0;
    bool command = false;

    ASSERT_HELD(&t->lock);
    n = MIN(n, ldisc_lflag(t, ICANON) ? TYPED_AT_ONCE : MIN(TYPED_AT_ONCE, ldisc_space_locked(t)));
    t->typing = true;
    t->echoed = false;
    while (done < n && !command) {
        command = ldisc_byte(t, buf[done]);
        done += !t->unfinished;
    }
    t->typing = false;
    if (t->echoed && t->ops->echoed)
        t->ops->echoed(t);
    if (done && ldisc_readable_locked(t))
        waitq_wake(&t->read_wait, POLLIN | POLLRDNORM, ~0U);
    return done;
}

size_t ldisc_type(struct tty *t, const u8 *buf, size_t n)
{
    size_t done = 0;
    bool more = true;
    u64 flags;

    while (more && done < n) {
        spin_lock_irqsave(&t->lock, &flags);
        size_t used = ldisc_input_locked(t, buf + done, n - done);
        more = used || t->unfinished;
        spin_unlock_irqrestore(&t->lock, flags);
        done += used;
        cond_yield();
    }
    return done;
}

bool ldisc_readable_locked(struct tty *t)
{
    ASSERT_HELD(&t->lock);
    return ldisc_lflag(t, ICANON) ? t->canon != t->tail : t->head != t->tail;
}

size_t ldisc_take_locked(struct tty *t, u8 *buf, size_t n, bool *end)
{
    bool canon = ldisc_lflag(t, ICANON);
    u32 limit = canon ? t->canon : t->head;
    size_t got = 0;

    ASSERT_HELD(&t->lock);
    *end = false;
    while (got < n && t->tail != limit) {
        u32 at = RING(t->tail);
        bool mark = canon && bitmap_test(t->mark, at);
        bool eof = mark && bitmap_test(t->eof, at);
        t->tail++;
        if (!eof)
            buf[got++] = t->in[at];
        if (mark) {
            *end = true;
            break;
        }
    }
    /* A full read followed by an end-of-file: that belongs to this line, not to the next read. */
    if (canon && !*end && got == n && t->tail != limit && bitmap_test(t->eof, RING(t->tail)) &&
        bitmap_test(t->mark, RING(t->tail))) {
        t->tail++;
        *end = true;
    }
    if ((s32)(t->canon - t->tail) < 0)
        t->canon = t->tail;
    return got;
}

void ldisc_set_termios_locked(struct tty *t, const struct termios *new_termios)
{
    bool was = ldisc_lflag(t, ICANON);

    ASSERT_HELD(&t->lock);
    t->termios = *new_termios;
    if (was && !ldisc_lflag(t, ICANON))
        t->canon = t->head; /* what was being typed can be read now */
    if (!was && ldisc_lflag(t, ICANON) && t->head != t->tail) {
        /* What is there counts as one line. */
        bitmap_set(t->mark, RING(t->head - 1));
        t->canon = t->head;
    }
    t->lnext = false;
    if (!ldisc_iflag(t, IXON))
        ldisc_set_flow_locked(t, false);
    if (ldisc_readable_locked(t))
        waitq_wake(&t->read_wait, POLLIN | POLLRDNORM, ~0U);
}

// SPDX-License-Identifier: MIT
// Messages between engine and keeper; see keep.h.
#include "runtime/keep.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int keep_send(int fd, const struct keep_head *h, const void *note, const void *text, const int *fds,
              int nfds)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(KEEP_FDS * sizeof(int))] = {0};
    struct iovec iov[3] = {{(void *)(uintptr_t)h, sizeof(*h)},
                           {(void *)(uintptr_t)note, h->note},
                           {(void *)(uintptr_t)text, h->text}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 3};
    ssize_t n;

    if (nfds) {
        struct cmsghdr *cm;

        msg.msg_control = control;
        msg.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
        cm = CMSG_FIRSTHDR(&msg);
        cm->cmsg_level = SOL_SOCKET;
        cm->cmsg_type = SCM_RIGHTS;
        cm->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
        memcpy(CMSG_DATA(cm), fds, (size_t)nfds * sizeof(int));
    }
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

/* There is space for one such message. */
static void keep_take_control(struct keep_message *m, struct msghdr *msg)
{
    struct cmsghdr *cm = CMSG_FIRSTHDR(msg);
    size_t n;

    if (!cm || cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
        return;
    n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int), sizeof(int));
        if (m->nfds < KEEP_FDS)
            m->fds[m->nfds++] = fd;
        else
            close(fd);
    }
}

/* What the lengths and the type say is what has come. */
static int keep_judge(struct keep_message *m, size_t n, int flags)
{
    const struct keep_head *h = &m->head;

    if (flags & MSG_TRUNC || n < sizeof(*h) || h->note > KEEP_NOTE_MAX || h->text > KEEP_TEXT_MAX ||
        n != sizeof(*h) + h->note + h->text || !h->type || h->type >= KEEP_TYPES)
        return -EPROTO;
    m->note = m->data;
    m->text = m->data + h->note;
    m->text[h->text] = 0;
    return flags & MSG_CTRUNC ? -EMFILE : 1;
}

int keep_recv(int fd, struct keep_message *m)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(KEEP_FDS * sizeof(int))];
    struct iovec iov[2] = {{&m->head, sizeof(m->head)}, {m->data, sizeof(m->data) - 1}};
    struct msghdr msg = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t n;
    int r;

    m->nfds = 0;
    for (int i = 0; i < KEEP_FDS; i++)
        m->fds[i] = -1;
    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    keep_take_control(m, &msg);
    r = keep_judge(m, (size_t)n, msg.msg_flags);
    if (r < 0)
        keep_close_fds(m);
    return r;
}

void keep_close_fds(struct keep_message *m)
{
    for (int i = 0; i < m->nfds; i++)
        if (m->fds[i] >= 0)
            close(m->fds[i]);
    m->nfds = 0;
}

int keep_take_fd(struct keep_message *m, uint32_t flag)
{
    static const uint32_t order[] = {KEEP_GROUP, KEEP_ORDER, KEEP_HAS_OUT, KEEP_HAS_ERR,
                                     KEEP_HAS_IN};
    int at = 0, fd;

    if (!(m->head.flags & flag))
        return -1;
    for (size_t i = 0; order[i] != flag; i++)
        at += (m->head.flags & order[i]) != 0;
    if (at >= m->nfds)
        return -1;
    fd = m->fds[at];
    m->fds[at] = -1;
    return fd;
}

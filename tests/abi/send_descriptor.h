/* SPDX-License-Identifier: MIT
 *
 * Descriptors over sockets, for more than one program.
 */
#pragma once

#include <sys/socket.h>

#include "abi.h"

/* Sends fd with one byte, without waiting: as sendmsg(2). */
static inline int send_descriptor(int sock, int fd)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } control = {0};
    struct iovec iov = {"x", 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};

    control.head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    return (int)sendmsg(sock, &m, MSG_DONTWAIT);
}

// SPDX-License-Identifier: MIT
// See birth.h. A birth is told by a zero byte, with which no sentence begins, and the number.
#include "runtime/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/str.h"
#include "runtime/child.h"

#define BIRTH_BYTES (1 + sizeof(pid_t))

void birth_prepare(struct child *ch)
{
    if (pipe2(ch->gate, O_CLOEXEC) < 0)
        child_fail(ch, "cannot make a pipe: %s", str_error(errno));
}

/* Ends when it has been told, or the maker has ended without a word. */
static void birth_wait(struct child *ch)
{
    char go;

    close(ch->gate[1]);
    if (read(ch->gate[0], &go, 1) != 1)
        _exit(125);
    close(ch->gate[0]);
    if (setsid() < 0)
        child_fail(ch, "setsid: %s", str_error(errno));
}

/* Not clone3, which the filter hides. */
void birth_give(struct child *ch)
{
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);
    char text[BIRTH_BYTES] = {0};

    if (pid < 0)
        child_fail(ch, "cannot clone: %s", str_error(errno));
    if (pid == 0) {
        birth_wait(ch);
        return;
    }
    memcpy(text + 1, &pid, sizeof(pid));
    if (send(ch->sync, text, sizeof(text), MSG_NOSIGNAL) == (ssize_t)sizeof(text))
        write_all(ch->gate[1], "G", 1);
    _exit(0);
}

int birth_expect(int sync)
{
    const int on = 1;

    return setsockopt(sync, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ? -errno : 0;
}

pid_t birth_read(const char *text, long n)
{
    pid_t pid;

    if (n != (long)BIRTH_BYTES || text[0])
        return 0;
    memcpy(&pid, text + 1, sizeof(pid));
    return pid > 0 ? pid : 0;
}

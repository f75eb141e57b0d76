// SPDX-License-Identifier: MIT
// The keeper's program is out of the containers' reach.
//
// A container can have our own file run in it ("#!/proc/self/exe" as its program), and then holds
// it by /proc/<pid>/exe, as root of the host's files. That nothing can write a program that runs
// is no help: it waits until we have ended, and the engine starts what it has written as the next
// keeper. So we run from a file that cannot be written: one that is mounted read-only, or else a
// sealed copy in memory, which we become before there is any container.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "keeper/keeper.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool seal_is_there(int program)
{
    struct statvfs fs;
    int seals = fcntl(program, F_GET_SEALS);

    return (seals >= 0 && (seals & SEALS) == SEALS) ||
           (fstatvfs(program, &fs) == 0 && fs.f_flag & ST_RDONLY);
}

/* Some hosts want it said that a file in memory is to be run; older ones do not know the word. */
static int seal_file(void)
{
    int fd = memfd_create("keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    return fd >= 0 || errno != EINVAL ? fd
                                      : memfd_create("keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* All of `program`, sealed: a descriptor or -errno. What is open for writing is not run. */
static int seal_copy(int program)
{
    int copy = seal_file(), sealed = -1, err;
    char path[32];
    ssize_t n = 1;

    if (copy < 0)
        return -errno;
    while (n > 0)
        n = sendfile(copy, program, NULL, 1 << 20);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
    if (n == 0 && fcntl(copy, F_ADD_SEALS, SEALS) == 0)
        sealed = open(path, O_RDONLY | O_CLOEXEC);
    err = -errno;
    close(copy);
    return sealed >= 0 ? sealed : err;
}

int seal_program(char **argv)
{
    int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), copy;

    prctl(PR_SET_NAME, "keeper"); /* which a copy is not called by itself */
    if (program < 0)
        return -errno;
    if (seal_is_there(program)) {
        close(program);
        return 0;
    }
    copy = seal_copy(program);
    close(program);
    if (copy < 0)
        return copy;
    syscall(SYS_execveat, copy, "", argv, environ, AT_EMPTY_PATH);
    return -errno;
}

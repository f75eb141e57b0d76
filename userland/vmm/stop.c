/* SPDX-License-Identifier: MIT
 *
 * How the VM ends: see stop.h.
 */
#include "vmm/stop.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/vmm.h"

static struct vm *stop_vm; /* whose terminal and report fatal() knows */

void vm_wake(struct vm *vm)
{
    uint64_t one = 1;

    if (write(vm->stop.wake_fd, &one, sizeof one) < 0) {
        /* EAGAIN: it is awake anyway */
    }
}

void vm_stop(struct vm *vm, int status, const char *fmt, ...)
{
    struct stop *s = &vm->stop;
    int running = -1;

    pthread_mutex_lock(&s->lock);
    if (fmt && atomic_load(&s->status) < 0) {
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(s->message, sizeof s->message, fmt, ap);
        va_end(ap);
    }
    atomic_compare_exchange_strong(&s->status, &running, status);
    pthread_mutex_unlock(&s->lock);
    vm_wake(vm);
}

void stop_restore_terminal(struct vm *vm)
{
    if (vm->stop.raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &vm->stop.saved);
    vm->stop.raw = false;
}

void stop_say(struct vm *vm, const char *line)
{
    if (!report_error(&vm->report, line))
        fprintf(stderr, "vmm: %s\n", line);
}

void fatal(int status, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    stop_restore_terminal(stop_vm);
    stop_say(stop_vm, line);
    exit(status);
}

void stop_init(struct vm *vm)
{
    stop_vm = vm;
    pthread_mutex_init(&vm->stop.lock, NULL);
    atomic_init(&vm->stop.status, -1);
    report_init(&vm->report, -1);
    vm->stop.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (vm->stop.wake_fd < 0)
        fatal(EXIT_KVM, "event descriptors: %s", strerror(errno));
}

// SPDX-License-Identifier: MIT
// A server of a test's own, as a process at a port of loopback. It ends with the test that fails as
// well, whose output it has not.
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* `serve` is the process: it accepts from `listener`, at *port, and never returns. -1: none. */
pid_t server_begin(uint16_t *port, void (*serve)(int listener, uint16_t port));
void server_end(pid_t server);

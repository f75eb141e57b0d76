// SPDX-License-Identifier: MIT
// init: PID 1, as the host's and as the guest agent of --runtime vm.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* ---- log.c ----------------------------------------------------------------------------------- */

void init_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- main.c ---------------------------------------------------------------------------------- */

_Noreturn void init_power(int how); /* RB_POWER_OFF or RB_AUTOBOOT, after a sync */

/* ---- spawn.c --------------------------------------------------------------------------------- */

/* Starts a program in a process group of its own. -errno when it cannot be started. */
pid_t spawn(char *const argv[], int in, bool foreground);
/* Waits for `pid`, reaping other processes that end meanwhile: its exit status, 128+n for a signal.
 */
int spawn_wait(pid_t pid);
void spawn_reap(void);
void spawn_on_exit(void (*fn)(pid_t pid, int status)); /* told of every reaped process */
int status_code(int wait_status);

/* ---- engine.c -------------------------------------------------------------------------------- */

void engine_run(void); /* starts the engine and returns when it listens */
void images_load(bool framed);
void demonstration(void);

/* ---- net.c ----------------------------------------------------------------------------------- */

void net_run(void);                     /* starts netd and does not wait */
void net_exited(pid_t pid, int status); /* starts it again, after a pause, when it was netd */

/* ---- command.c ------------------------------------------------------------------------------- */

void commands_file(void); /* /boot/commands, framed */
void frame_begin(int n);  /* what is printed from here on is one command's output */
void frame_end(int n, int status);
void console_loop(void); /* returns at the end of input */

/* ---- mount.c, agent.c ------------------------------------------------------------------------ */

void mount_proc(void); /* the rest rests on it: the command line is read there */
void mount_host(void);
void mount_guest(void);
_Noreturn void agent_main(void);

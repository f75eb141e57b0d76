/* SPDX-License-Identifier: MIT
 *
 * What proc asks of kernel/tty.
 */
#pragma once

struct tty;
struct process;

void up_tty_get(struct tty *tty);
void up_tty_put(struct tty *tty);
/* A session leader is gone: hang the terminal up for its session. May sleep. */
void up_tty_session_exit(struct tty *tty, struct process *leader);

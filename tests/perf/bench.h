/* SPDX-License-Identifier: MIT
 *
 * What the benchmarks share. They run on Linux and on Bothy; what fails ends the program.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

uint64_t bench_now(void); /* ns */
/* Unless ok, names what failed, with errno, and ends the program with 1. */
void bench_need(bool ok, const char *what);
/* Waits for a child, which must exit with 0. */
void bench_reap(pid_t pid);

/* True if name is among names, which NULL ends, or there are none. */
bool bench_wanted(const char *name, char **names);

/* futex(2), which musl's headers do not have. op: of these. */
enum { FUTEX_WAIT, FUTEX_WAKE, FUTEX_PRIVATE_FLAG = 128 };
void bench_futex(const uint32_t *word, int op, uint32_t value);

/* A child that sends each byte back, having waited by epoll or in read; at the other side's end it
 * exits with 0. It closes close_a and close_b (-1: none) first. */
pid_t echo_start(int in, int out, bool polled, int close_a, int close_b);
/* n round trips of a byte. */
void echo_ping(unsigned n, int out, int in);
/* An echo behind two pipes: *out and *in are ours. */
pid_t echo_pipes(bool polled, int *out, int *in);
/* An echo behind a pair of unix sockets, or of sockets of the loopback of type SOCK_STREAM or
 * SOCK_DGRAM; *fd is ours. */
pid_t echo_unix(int *fd);
pid_t echo_loopback(int type, int *fd);
/* Both ends of a connection over the loopback, or of two datagram sockets that are connected with
 * each other. */
void loopback_pair(int type, int sv[2]);

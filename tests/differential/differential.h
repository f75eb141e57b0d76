/* SPDX-License-Identifier: MIT
 *
 * Random operations whose results are printed, so that two kernels can be compared line by line.
 *
 * A program is a set of OPERATIONs, program_begin() and program_end(); differential.c has main().
 * Each seed runs in a process of its own and is one sequence of operations, the same wherever it
 * runs, because all choices come from below(). An operation says its arguments, then its result.
 * What it says must be the same on every correct kernel: never an inode number, a process number,
 * an address that the kernel chose, a time, or how far a call got that may get any distance.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct operation {
    const char *name;
    void (*run)(void);
    unsigned weight; /* how many times as likely as one of weight 1 */
};
#define OPERATION(id, times)                                                              \
    static void op_##id(void);                                                            \
    static const struct operation operation_##id                                          \
        __attribute__((used, section("operations"), aligned(8))) = {#id, op_##id, times}; \
    static void op_##id(void)

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ONE_OF(table) ((table)[below(COUNT(table))])

/* The program's own: what a seed needs before its first operation, and has left after its last.
 * KIND is the command line's last word, "" without one; an unusable one is die()'s. */
void program_begin(unsigned seed, const char *kind);
void program_end(void);

/* Runs what main() chose; a program of several processes (actors.h) has one of them do it. */
void program_run(const struct operation *o);

/* A number from 0 up to n - 1, the next of the seed's. */
uint32_t below(uint32_t n);
bool one_in(uint32_t n);

/* Adds to the operation's line, which is in memory that children share. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Where say() writes from here on, in this process. */
enum { LINE_SIZE = 65536 };
struct line {
    size_t used;
    char text[LINE_SIZE];
};
void say_into(struct line *line);

/* Says a call's result: its number, or the name of the error. */
#define RESULT(call) (errno = 0, say_result((long)(call)))
void say_result(long result);

/* FNV-1a: what was read, in one word. */
uint32_t hash(const void *data, size_t size);

/* size bytes that the seed determines and that differ from each other; at most DATA_MAX. */
enum { DATA_MAX = 100000 };
const char *some_data(size_t size);

/* Runs count operations unseen: what comes before the first. */
void operations_unseen(unsigned count);

/* size bytes that are zero and that children share. */
void *shared_memory(size_t size);

/* The test itself cannot go on: says why and ends the program. */
_Noreturn void die(const char *what);

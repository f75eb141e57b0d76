/* SPDX-License-Identifier: MIT
 *
 * count.so: a plugin for QEMU's emulator that tells how many instructions the machine has executed
 * whenever a program passes a mark (tests/perf/mark.h). A halted processor executes none: what lies
 * between two marks is the work that was done, whatever time the other end of a wire took.
 *
 *   out=FILE      one line for each mark that is passed: its number, and the count so far
 *   each=on       then the count of each processor, too; slower
 *
 * With several processors the count is of all, and may miss some, unless each has its own. QEMU's header is not packaged
 * here: what is used of its interface, version 1, is declared below.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MARK_SIZE 8
#define INLINE_ADD_U64 0
#define CPUS 16

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *, uint64_t);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *),
                                          int flags, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned, void *),
                                            int flags, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

/* nopl imm(%rax,%rax,1), where the last three bytes of imm spell the mark, the first is its number.
 */
static const uint8_t mark_head[4] = {0x0f, 0x1f, 0x84, 0x00};
static const uint8_t mark_tail[3] = {'M', 'R', 'K'};

static uint64_t executed;
static struct {
    _Alignas(64) uint64_t executed; /* each is written by its processor's thread alone */
} cpus[CPUS];
static int each;
static FILE *out;

static void on_mark(unsigned cpu, void *number)
{
    for (int i = 0; each && i < CPUS; i++)
        executed = (i ? executed : 0) + cpus[i].executed;
    fprintf(out, "%u %llu", (unsigned)(uintptr_t)number, (unsigned long long)executed);
    for (int i = 0; each && i < CPUS && cpus[i].executed; i++)
        fprintf(out, " %llu", (unsigned long long)cpus[i].executed);
    fprintf(out, "\n");
    fflush(out);
}

static void on_run(unsigned cpu, void *n)
{
    if (cpu < CPUS)
        cpus[cpu].executed += (uintptr_t)n;
}

static void on_block(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);

    if (each)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_run, 0, (void *)n);
    else
        qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &executed, n);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint8_t *bytes = qemu_plugin_insn_data(insn);

        if (qemu_plugin_insn_size(insn) == MARK_SIZE &&
            !memcmp(bytes, mark_head, sizeof(mark_head)) &&
            !memcmp(bytes + 5, mark_tail, sizeof(mark_tail)))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, 0, (void *)(uintptr_t)bytes[4]);
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    each = argc == 2 && !strcmp(argv[1], "each=on");
    if (argc != 1 + each || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "w"))) {
        fprintf(stderr, "count.so: out=FILE[,each=on]\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * profile.so: a plugin for QEMU's emulator that writes down each block of instructions executed
 * between two places; tools/profile builds, loads and reads it.
 *
 *   from=PLACE,to=PLACE,out=FILE      PLACE is NTH:ADDRESS:MASK:BYTES, numbers and bytes in hex
 *
 * Recording begins before the NTH execution of a block at `from` and ends before the first one at
 * `to` after that. A block is at a place when its address and BYTES agree under MASK: a program's
 * load address is not known beforehand, its bytes are.
 *
 * FILE has, little-endian: the number of executions, as many 32-bit indices of blocks, and one
 * struct record per block. QEMU's header is not packaged here: what is used of its interface,
 * version 1, is declared below.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *),
                                          int flags, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;

struct record {
    uint64_t address;
    uint32_t insns, length; /* of the whole block, in instructions and bytes */
    uint32_t size;          /* of `bytes` */
    uint8_t bytes[32];      /* the block's first ones */
    uint8_t last[15];       /* its last instruction */
    uint8_t last_size;
    uint8_t zero[4];
};

struct place {
    unsigned nth;
    uint64_t address, mask;
    size_t size;
    uint8_t bytes[32];
};

struct block {
    uint32_t index;
    bool from, to;
};

static struct place from, to;
static FILE *out;
static struct record *records;
static uint32_t nr_records;
static uint64_t nr_executed;
static enum { BEFORE, DURING, AFTER } phase;

static void place_parse(struct place *p, const char *text)
{
    char hex[65] = "";

    if (sscanf(text, "%x:%lx:%lx:%64s", &p->nth, &p->address, &p->mask, hex) < 3) {
        fprintf(stderr, "profile: not a place: %s\n", text);
        exit(2);
    }
    for (; sscanf(hex + 2 * p->size, "%2hhx", &p->bytes[p->size]) == 1; p->size++)
        if (p->size == sizeof(p->bytes) - 1)
            break;
}

static bool place_is(const struct place *p, const struct record *r)
{
    return p->nth && !((p->address ^ r->address) & p->mask) && r->size >= p->size &&
           !memcmp(p->bytes, r->bytes, p->size);
}

static void finish(plugin_id id, void *data)
{
    if (!out)
        return;
    fwrite(records, sizeof(*records), nr_records, out);
    rewind(out);
    fwrite(&nr_executed, sizeof(nr_executed), 1, out);
    fclose(out);
    out = NULL;
}

static void block_executed(unsigned cpu, void *data)
{
    const struct block *b = data;

    if (phase == BEFORE && b->from && --from.nth == 0)
        phase = DURING;
    if (phase != DURING)
        return;
    if (b->to && nr_executed) {
        phase = AFTER;
        finish(0, NULL);
        return;
    }
    fwrite(&b->index, sizeof(b->index), 1, out);
    nr_executed++;
}

static void record_fill(struct record *r, const struct qemu_plugin_tb *tb)
{
    struct qemu_plugin_insn *insn = NULL;
    bool fits = true;

    r->address = qemu_plugin_tb_vaddr(tb);
    r->insns = (uint32_t)qemu_plugin_tb_n_insns(tb);
    for (uint32_t i = 0; i < r->insns; i++) {
        size_t n;

        insn = qemu_plugin_tb_get_insn(tb, i);
        n = qemu_plugin_insn_size(insn);
        r->length += (uint32_t)n;
        fits = fits && r->size + n <= sizeof(r->bytes);
        if (fits) {
            memcpy(r->bytes + r->size, qemu_plugin_insn_data(insn), n);
            r->size += (uint32_t)n;
        }
    }
    r->last_size = (uint8_t)qemu_plugin_insn_size(insn);
    memcpy(r->last, qemu_plugin_insn_data(insn), r->last_size);
}

/* Blocks are kept until the end: those of code that went are needed to read the file. */
static void block_translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    struct block *b;
    struct record *r;

    if (phase == AFTER)
        return;
    if (!(nr_records & (nr_records - 1)))
        records = realloc(records, (nr_records ? 2 * nr_records : 1) * sizeof(*records));
    b = calloc(1, sizeof(*b));
    if (!records || !b)
        abort();
    r = &records[nr_records];
    memset(r, 0, sizeof(*r));
    record_fill(r, tb);
    b->index = nr_records++;
    b->from = place_is(&from, r);
    b->to = place_is(&to, r);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, block_executed, 0, b);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "from=", 5))
            place_parse(&from, argv[i] + 5);
        else if (!strncmp(argv[i], "to=", 3))
            place_parse(&to, argv[i] + 3);
        else if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "wb");
    }
    if (!out || fwrite(&nr_executed, sizeof(nr_executed), 1, out) != 1)
        return 1;
    phase = from.nth ? BEFORE : DURING;
    qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}

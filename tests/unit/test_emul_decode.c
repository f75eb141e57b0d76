/* SPDX-License-Identifier: MIT
 *
 * The decoder's lengths against those of the disassembler, over the C library.
 */
#include "harness.h"
#include "hv/emul/emul.h"
#include "lib/compiler.h"
#include "lib/errno.h"

#include <stdio.h>
#include <string.h>

/* "  401000:\t48 89 e5 \tmov ..." into bytes; 0 if the line is none of that shape. */
static u32 decode_parse_line(const char *line, u8 bytes[EMUL_MAX_LEN + 1])
{
    const char *p = strchr(line, '\t');
    u32 n = 0;
    unsigned v;

    if (!p++)
        return 0;
    while (n <= EMUL_MAX_LEN && p[0] != '\t' && p[0] != ' ' && sscanf(p, "%2x", &v) == 1) {
        bytes[n++] = (u8)v;
        p += 3;
    }
    p += strspn(p, " ");
    if (*p != '\t' || strstr(p, "(bad)") || strstr(p, ".byte"))
        return 0;
    /* The disassembler prints some prefixes and fwait as instructions of their own. */
    p++;
    if (!strncmp(p, "data16", 6) || !strncmp(p, "rex", 3) || !strncmp(p, "addr32", 6) ||
        !strncmp(p, "lock", 4) || !strncmp(p, "cs ", 3) || !strncmp(p, "rep", 3))
        return n > 1 ? n : 0;
    return n;
}

/* Decodes what `command` prints; returns the number of disagreements, or -1. */
static long decode_compare(const char *command, enum emul_mode mode, long *total)
{
    FILE *f = popen(command, "r");
    char line[512];
    long wrong = 0;

    *total = 0;
    if (!f)
        return -1;
    while (fgets(line, sizeof(line), f)) {
        struct emul_insn insn;
        u8 bytes[EMUL_MAX_LEN + 1];
        u32 n = decode_parse_line(line, bytes);

        if (!n || n > EMUL_MAX_LEN)
            continue;
        ++*total;
        if (!emul_decode_bytes(&insn, mode, bytes, n) && insn.len == n)
            continue;
        if (wrong++ < 10)
            printf("  length: %s", line);
    }
    pclose(f);
    return wrong;
}

TEST(decoder_agrees_with_the_disassembler_on_every_length)
{
    long total;
    long wrong = decode_compare("objdump -d -w --insn-width=16 "
                                "/lib/x86_64-linux-gnu/libc.so.6 2>/dev/null",
                                EMUL_LONG, &total);

    EXPECT(wrong == 0);
    EXPECT(total > 100000);
}

static int decode_len(enum emul_mode mode, const char *bytes, u32 n)
{
    struct emul_insn insn;
    int err = emul_decode_bytes(&insn, mode, (const u8 *)bytes, n);

    return err ? err : insn.len;
}

#define LEN(mode, bytes) decode_len(mode, bytes, sizeof(bytes) - 1)

TEST(decoder_knows_the_lengths_of_intercepted_instructions)
{
    EXPECT(LEN(EMUL_LONG, "\x0f\xa2") == 2);         /* cpuid */
    EXPECT(LEN(EMUL_LONG, "\x0f\x32") == 2);         /* rdmsr */
    EXPECT(LEN(EMUL_LONG, "\x0f\x30") == 2);         /* wrmsr */
    EXPECT(LEN(EMUL_LONG, "\xf4") == 1);             /* hlt */
    EXPECT(LEN(EMUL_LONG, "\x0f\x01\xd9") == 3);     /* vmmcall */
    EXPECT(LEN(EMUL_LONG, "\x0f\x01\xc1") == 3);     /* vmcall */
    EXPECT(LEN(EMUL_LONG, "\x0f\x01\x38") == 3);     /* invlpg (rax) */
    EXPECT(LEN(EMUL_LONG, "\x0f\x01\xd1") == 3);     /* xsetbv */
    EXPECT(LEN(EMUL_LONG, "\x41\x0f\x22\xc0") == 4); /* mov cr0, r8 */
    EXPECT(LEN(EMUL_LONG, "\x0f\x22\x04") == 3);     /* mod is ignored: no SIB */
    EXPECT(LEN(EMUL_LONG, "\x0f\x09") == 2);         /* wbinvd */
    EXPECT(LEN(EMUL_LONG, "\xe4\x60") == 2);         /* in al, 0x60 */
    EXPECT(LEN(EMUL_LONG, "\xf3\x6c") == 2);         /* rep insb */
    EXPECT(LEN(EMUL_LONG, "\x66\xef") == 2);         /* out dx, ax */
    EXPECT(LEN(EMUL_LONG, "\xf3\x90") == 2);         /* pause */
    EXPECT(LEN(EMUL_LONG, "\x0f\x01\xf9") == 3);     /* rdtscp */
    EXPECT(LEN(EMUL_LONG, "\xcd\x80") == 2);
    EXPECT(LEN(EMUL_LONG, "\x66\x0f\x3a\x0f\xc1\x04") == 6); /* palignr */
    EXPECT(LEN(EMUL_LONG, "\x66\x0f\x38\x82\x00") == 5);     /* invpcid */
}

TEST(decoder_follows_the_mode)
{
    EXPECT(LEN(EMUL_REAL, "\xb8\x34\x12") == 3);
    EXPECT(LEN(EMUL_REAL, "\x66\xb8\x78\x56\x34\x12") == 6);
    EXPECT(LEN(EMUL_PROT32, "\xb8\x78\x56\x34\x12") == 5);
    EXPECT(LEN(EMUL_LONG, "\x48\xb8\1\2\3\4\5\6\7\x8") == 10);
    EXPECT(LEN(EMUL_REAL, "\xa1\x34\x12") == 3);
    EXPECT(LEN(EMUL_REAL, "\x67\xa1\1\2\3\4") == 6);
    EXPECT(LEN(EMUL_LONG, "\xa1\1\2\3\4\5\6\7\x8") == 9);
    EXPECT(LEN(EMUL_REAL, "\xea\x5b\xe0\x00\xf0") == 5);
    EXPECT(LEN(EMUL_PROT32, "\xea\1\2\3\4\x08\x00") == 7);
    EXPECT(LEN(EMUL_LONG, "\xea\1\2\3\4\x08\x00") == -EINVAL);
    EXPECT(LEN(EMUL_REAL, "\x8b\x06\x34\x12") == 4);
    EXPECT(LEN(EMUL_PROT32, "\x8b\x05\1\2\3\4") == 6);
    EXPECT(LEN(EMUL_PROT32, "\x40") == 1);     /* inc eax, not REX */
    EXPECT(LEN(EMUL_PROT32, "\xc5\x00") == 2); /* lds, not VEX */
    EXPECT(LEN(EMUL_PROT32, "\xc8\x10\x00\x01") == 4);
}

TEST(decoder_asks_for_more_and_stops_at_fifteen)
{
    u8 prefixes[20];

    memset(prefixes, 0x66, sizeof(prefixes));
    EXPECT(decode_len(EMUL_LONG, (char *)prefixes, 14) == -EAGAIN);
    EXPECT(decode_len(EMUL_LONG, (char *)prefixes, 20) == -EINVAL);
    EXPECT(LEN(EMUL_LONG, "\x48") == -EAGAIN);
    EXPECT(LEN(EMUL_LONG, "\x48\x8b") == -EAGAIN);
    EXPECT(LEN(EMUL_LONG, "\x48\x8b\x84") == -EAGAIN);
    EXPECT(LEN(EMUL_LONG, "\x81\xc0\1\2\3") == -EAGAIN);
    EXPECT(LEN(EMUL_LONG, "\xf0\x90") == -EINVAL); /* lock nop */
    EXPECT(LEN(EMUL_LONG, "\xf0\x01\xc0") == -EINVAL);
    EXPECT(LEN(EMUL_LONG, "\xf0\x01\x00") == 3);
    EXPECT(LEN(EMUL_LONG, "\x0f\x04") == -EINVAL);
}

TEST(decoder_never_reads_beyond_its_bytes_nor_past_fifteen)
{
    u64 seed = 31;

    for (int i = 0; i < 300000; i++) {
        u8 bytes[EMUL_MAX_LEN];
        struct emul_insn insn;
        u32 n = (u32)(unit_rand(&seed) % (EMUL_MAX_LEN + 1));
        enum emul_mode mode = unit_rand(&seed) % 5;

        for (u32 k = 0; k < n; k++)
            bytes[k] = (u8)unit_rand(&seed);
        int err = emul_decode_bytes(&insn, mode, bytes, n);

        EXPECT(err == 0 || err == -EAGAIN || err == -EINVAL);
        EXPECT(err || (insn.len >= 1 && insn.len <= n));
        EXPECT(err != -EAGAIN || n < EMUL_MAX_LEN);
    }
}

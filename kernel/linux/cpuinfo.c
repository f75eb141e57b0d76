/* SPDX-License-Identifier: MIT
 *
 * /proc/cpuinfo (proc(5)): every processor is shown as a core of one package.
 */
#include "arch/x86/cpufeature.h"
#include "arch/x86/percpu.h"
#include "arch/x86/regs.h"
#include "arch/x86/time.h"
#include "lib/string.h"
#include "vfs/pseudo.h"

#define BITS_PER_WORD 32

/* The names of proc(5), by word of cpufeature.c and bit. */
static const struct cpuinfo_flag {
    u8 word, bit;
    const char *name;
} cpuinfo_flags[] = {
    {1, 0, "fpu"},
    {1, 1, "vme"},
    {1, 2, "de"},
    {1, 3, "pse"},
    {1, 4, "tsc"},
    {1, 5, "msr"},
    {1, 6, "pae"},
    {1, 7, "mce"},
    {1, 8, "cx8"},
    {1, 9, "apic"},
    {1, 11, "sep"},
    {1, 12, "mtrr"},
    {1, 13, "pge"},
    {1, 14, "mca"},
    {1, 15, "cmov"},
    {1, 16, "pat"},
    {1, 17, "pse36"},
    {1, 19, "clflush"},
    {1, 23, "mmx"},
    {1, 24, "fxsr"},
    {1, 25, "sse"},
    {1, 26, "sse2"},
    {1, 28, "ht"},
    {6, 11, "syscall"},
    {6, 20, "nx"},
    {6, 22, "mmxext"},
    {6, 25, "fxsr_opt"},
    {6, 26, "pdpe1gb"},
    {6, 27, "rdtscp"},
    {6, 29, "lm"},
    {0, 0, "pni"},
    {0, 1, "pclmulqdq"},
    {0, 3, "monitor"},
    {0, 5, "vmx"},
    {0, 9, "ssse3"},
    {0, 12, "fma"},
    {0, 13, "cx16"},
    {0, 17, "pcid"},
    {0, 19, "sse4_1"},
    {0, 20, "sse4_2"},
    {0, 21, "x2apic"},
    {0, 22, "movbe"},
    {0, 23, "popcnt"},
    {0, 24, "tsc_deadline_timer"},
    {0, 25, "aes"},
    {0, 26, "xsave"},
    {0, 28, "avx"},
    {0, 29, "f16c"},
    {0, 30, "rdrand"},
    {0, 31, "hypervisor"},
    {5, 0, "lahf_lm"},
    {5, 2, "svm"},
    {5, 5, "abm"},
    {5, 6, "sse4a"},
    {5, 8, "3dnowprefetch"},
    {7, 8, "constant_tsc"},
    {7, 8, "nonstop_tsc"},
    {2, 0, "fsgsbase"},
    {2, 3, "bmi1"},
    {2, 5, "avx2"},
    {2, 7, "smep"},
    {2, 8, "bmi2"},
    {2, 9, "erms"},
    {2, 10, "invpcid"},
    {2, 16, "avx512f"},
    {2, 17, "avx512dq"},
    {2, 18, "rdseed"},
    {2, 19, "adx"},
    {2, 20, "smap"},
    {2, 21, "avx512ifma"},
    {2, 23, "clflushopt"},
    {2, 24, "clwb"},
    {2, 28, "avx512cd"},
    {2, 29, "sha_ni"},
    {2, 30, "avx512bw"},
    {2, 31, "avx512vl"},
    {8, 0, "xsaveopt"},
    {8, 1, "xsavec"},
    {8, 2, "xgetbv1"},
    {3, 1, "avx512vbmi"},
    {3, 2, "umip"},
    {3, 6, "avx512_vbmi2"},
    {3, 8, "gfni"},
    {3, 9, "vaes"},
    {3, 10, "vpclmulqdq"},
    {3, 11, "avx512_vnni"},
    {3, 12, "avx512_bitalg"},
    {3, 14, "avx512_vpopcntdq"},
    {3, 22, "rdpid"},
    {4, 4, "fsrm"},
};

static void cpuinfo_print_flags(struct seq *out)
{
    seq_printf(out, "flags\t\t:");
    for (unsigned i = 0; i < ARRAY_SIZE(cpuinfo_flags); i++) {
        const struct cpuinfo_flag *f = &cpuinfo_flags[i];

        if (cpu_has(f->word * BITS_PER_WORD + f->bit))
            seq_printf(out, " %s", f->name);
    }
    seq_printf(out, "\n");
}

static void cpuinfo_name(char name[49])
{
    if (cpuid_count(0x80000000, 0).eax < 0x80000004) {
        strlcpy(name, "unknown", 49);
        return;
    }
    for (u32 i = 0; i < 3; i++) {
        struct cpuid_regs r = cpuid_count(0x80000002 + i, 0);

        memcpy(name + i * 16, &r, 16);
    }
    name[48] = '\0';
}

static void cpuinfo_address_sizes(unsigned *physical, unsigned *virtual)
{
    u32 sizes = 36 | 48 << 8; /* of a processor too old to say */

    if (cpuid_count(0x80000000, 0).eax >= 0x80000008)
        sizes = cpuid_count(0x80000008, 0).eax;
    *physical = sizes & 255;
    *virtual = sizes >> 8 & 255;
}

static int cpuinfo_show(struct pseudo_node *node, struct seq *out, const struct cred *cred)
{
    struct cpuid_regs vendor = cpuid_count(0, 0), sig = cpuid_count(1, 0);
    u32 family = sig.eax >> 8 & 15, model = sig.eax >> 4 & 15;
    unsigned cpu, physical, virtual;
    char name[49], id[13];

    if (family == 6 || family == 15)
        model += (sig.eax >> 16 & 15) << 4;
    if (family == 15)
        family += sig.eax >> 20 & 255;
    memcpy(id, &vendor.ebx, 4);
    memcpy(id + 4, &vendor.edx, 4);
    memcpy(id + 8, &vendor.ecx, 4);
    id[12] = '\0';
    cpuinfo_name(name);
    cpuinfo_address_sizes(&physical, &virtual);
    cpu_for_each (cpu) {
        seq_printf(out, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", cpu,
                   id, family, model);
        seq_printf(out, "model name\t: %s\nstepping\t: %u\ncpu MHz\t\t: %lu.%03lu\n", name,
                   sig.eax & 15, tsc_hz / 1000000, tsc_hz / 1000 % 1000);
        seq_printf(out, "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\n",
                   cpu_count(), cpu, cpu_count());
        seq_printf(out, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\n",
                   vendor.eax);
        cpuinfo_print_flags(out);
        seq_printf(out, "bogomips\t: %lu.%02lu\nclflush size\t: %u\n", tsc_hz / 500000,
                   tsc_hz / 5000 % 100, (sig.ebx >> 8 & 255) * 8);
        seq_printf(out, "address sizes\t: %u bits physical, %u bits virtual\n\n", physical,
                   virtual);
    }
    return 0;
}

static const struct pseudo_ops cpuinfo_ops = {.show = cpuinfo_show};
PSEUDO_FILE(cpuinfo) = {"proc", "cpuinfo", 0444, &cpuinfo_ops, NULL};

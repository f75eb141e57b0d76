# SPDX-License-Identifier: MIT
# The kernel: boot/, kernel/, drivers/, container/ and the self-tests linked into one ELF file.

KERNEL := $(OUT)/bothy.elf

KERNEL_SRC := $(sort $(shell find boot kernel drivers container tests/kernel \
                -name '*.c' -o -name '*.S' | grep -v -e '\.host\.' -e '^kernel/proc/vdso/'))
KERNEL_OBJ := $(addsuffix .o,$(addprefix $(OUT)/obj/,$(KERNEL_SRC)))

KERNEL_CPPFLAGS := -nostdinc -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
                   -Ikernel -Ikernel/include -I. -include kernel/lib/compiler.h -D__BOTHY_KERNEL__
KERNEL_CFLAGS := -std=gnu17 -ffreestanding -O2 -g -m64 -mcmodel=kernel -mno-red-zone \
                 -mgeneral-regs-only -fno-pic -fno-pie -fno-strict-aliasing -fno-common \
                 -fno-omit-frame-pointer -fno-asynchronous-unwind-tables -fstack-protector-strong \
                 -mstack-protector-guard=global -fwrapv -fno-delete-null-pointer-checks \
                 -ffunction-sections -fdata-sections $(WARN)
KERNEL_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --emit-relocs \
                  --gc-sections --build-id=none
# Indirect branches go through kernel/arch/x86/thunk.S where a CPU needs that: the kernel decides at boot, and what
# is linked has them as they were (tools/branches).
BRANCH_CFLAGS := $(if $(findstring clang,$(CC)),-mretpoline-external-thunk,\
                   -mindirect-branch=thunk-extern -mindirect-branch-register)
ifeq ($(DEBUG),1)
KERNEL_CPPFLAGS += -DDEBUG=1
KERNEL_CFLAGS += -fsanitize=undefined
endif
ifeq ($(WATCH),1)
KERNEL_CPPFLAGS += -DWATCH=1
endif
# The system-call table is generated: kernel/linux/syscalls.tbl -> $(OUT)/gen/.
KERNEL_CPPFLAGS += -I$(OUT)/gen
KERNEL_GEN += $(OUT)/gen/syscall_table.h
$(OUT)/gen/syscall_table.h: kernel/linux/syscalls.tbl kernel/linux/gen.awk
	@mkdir -p $(@D)
	$(call QUIET,GEN,$@) awk -f kernel/linux/gen.awk $< > $@

# The vDSO: code that runs in programs, linked by itself and embedded by kernel/proc/vdso_image.S.
VDSO_CFLAGS = $(filter-out -mcmodel=kernel -fno-pic -fno-pie -fstack-protector-strong \
                -mstack-protector-guard=global -fno-asynchronous-unwind-tables -fsanitize=undefined \
                -ffunction-sections -fdata-sections,$(KERNEL_CFLAGS)) \
              -fPIC -fno-stack-protector -fasynchronous-unwind-tables
$(OUT)/gen/vdso.so: kernel/proc/vdso/user.c kernel/proc/vdso/vdso.lds kernel/sched/clock_page.h \
                    kernel/arch/x86/entry.h
	@mkdir -p $(@D)
	$(call QUIET,VDSO,$@) $(CC) $(KERNEL_CPPFLAGS) $(VDSO_CFLAGS) -c $< -o $(@:.so=.o) && \
	ld -shared -Bsymbolic -z noexecstack -z max-page-size=4096 --hash-style=both --build-id=sha1 --eh-frame-hdr \
	   --no-undefined -soname linux-vdso.so.1 -T kernel/proc/vdso/vdso.lds -o $@ $(@:.so=.o) && \
	strip --strip-unneeded $@
$(OUT)/obj/kernel/proc/vdso_image.S.o: $(OUT)/gen/vdso.so

$(OUT)/obj/%.c.o: %.c kernel/kernel.mk | $(KERNEL_GEN)
	@mkdir -p $(@D)
	$(call QUIET,CC,$<) $(CC) $(KERNEL_CPPFLAGS) $(KERNEL_CFLAGS) $(BRANCH_CFLAGS) -MMD -MP -c $< -o $@

# Self-tests are a fifth of the code, and lie in memory while none runs.
$(OUT)/obj/tests/kernel/%.c.o: KERNEL_CFLAGS += -Os

$(OUT)/obj/%.S.o: %.S kernel/kernel.mk | $(KERNEL_GEN)
	@mkdir -p $(@D)
	$(call QUIET,AS,$<) $(CC) $(KERNEL_CPPFLAGS) -D__ASSEMBLER__ -g -m64 -MMD -MP -c $< -o $@

# Linked twice: the second time with the symbol table of the first, which moves no function.
$(OUT)/obj/kernel-nosyms.elf: $(KERNEL_OBJ) linker.ld
	$(call QUIET,LD,$@) ld $(KERNEL_LDFLAGS) -T linker.ld -o $@ $(KERNEL_OBJ)

$(OUT)/obj/symtab.o: $(OUT)/obj/kernel-nosyms.elf tools/symbols
	$(call QUIET,SYM,$@) tools/symbols $< > $(@:.o=.S) && \
	$(CC) -m64 -c $(@:.o=.S) -o $@

$(KERNEL): $(OUT)/obj/symtab.o tools/branches
	$(call QUIET,LD,$@) ld $(KERNEL_LDFLAGS) -T linker.ld -o $@ $(KERNEL_OBJ) $< && tools/branches $@

-include $(KERNEL_OBJ:.o=.d)

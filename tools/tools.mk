# SPDX-License-Identifier: MIT

# --- the boot medium ---------------------------------------------------------------------------

ISO := $(OUT)/bothy.iso
BOOT_KERNEL := $(OUT)/boot/bothy.elf

$(BOOT_KERNEL): $(KERNEL)
	@mkdir -p $(@D)
	$(call QUIET,STRIP,$@) objcopy --strip-all --remove-section '.rela*' $< $@

# What runs from memory carries no symbols: gdb has them in $(OUT)/user.
BOOT_PROGS := $(USER_PROGS:$(OUT)/user/%=$(OUT)/boot/user/%)
$(BOOT_PROGS): $(OUT)/boot/user/%: $(OUT)/user/%
	@mkdir -p $(@D)
	$(call QUIET,STRIP,$@) objcopy --strip-all $< $@

$(OUT)/initramfs.cpio: $(BOOT_KERNEL) $(BOOT_PROGS) tools/initramfs tools/newc.py
	$(call QUIET,CPIO,$@) tools/initramfs $(OUT) $(BOOT_KERNEL)

$(ISO): $(OUT)/initramfs.cpio tools/mkiso
	$(call QUIET,ISO,$@) tools/mkiso -o $@ --kernel $(BOOT_KERNEL) \
	    --append 'console=ttyS0' $(OUT)/medium.cpio

.PHONY: setup run gdb
setup:
	@tools/setup

# With standard input closed or not a terminal: the demonstration, then off.
run: setup
	@$(MAKE) all
	@tools/run --iso --net user $(if $(filter 1,$(DEBUG)),--debug)

gdb:
	@gdb -q -ex 'target remote :1234' $(KERNEL)


# --- make check: what a machine can tell of the sources ----------------------------------------

# A pass of a compiler over one file leaves a stamp, so that only what changed is looked at again.
KERNEL_C := $(filter %.c,$(KERNEL_SRC))
USER_C := $(sort $(shell find userland -name '*.c'))
KERNEL_H := $(sort $(shell find boot kernel drivers container tests/kernel -name '*.h'))
USER_H := $(sort $(shell find userland -name '*.h'))
CHECKED := $(OUT)/check
CHECK_RULES := Makefile kernel/kernel.mk userland/userland.mk tools/tools.mk
CLANG_STAMPS := $(addprefix $(CHECKED)/clang/,$(addsuffix .ok,$(KERNEL_C) $(USER_C)))
HEADER_STAMPS := $(foreach c,gcc clang,$(addprefix $(CHECKED)/alone-$(c)/,$(addsuffix .ok,$(KERNEL_H) $(USER_H))))

# $(call for_compiler,COMPILER,CPPFLAGS): with that one's own headers.
for_compiler = $(1) $(subst $(CC_INCLUDE),$(shell $(1) -print-file-name=include),$(2))
# $(call check_pass,COMPILER AND FLAGS,FILE): no code is made.
check_pass = mkdir -p $(@D) && $(1) -fsyntax-only -MMD -MP -MF $@.d -MT $@ $(2) && touch $@

ifneq ($(findstring check,$(MAKECMDGOALS)),)
CC_INCLUDE := $(shell $(CC) -print-file-name=include)
CLANG_KERNEL := $(call for_compiler,clang,$(KERNEL_CPPFLAGS)) $(KERNEL_CFLAGS)
CLANG_USER := $(call for_compiler,clang,$(USER_CPPFLAGS)) $(USER_CFLAGS)
GCC_KERNEL := $(call for_compiler,gcc,$(KERNEL_CPPFLAGS)) $(KERNEL_CFLAGS)
GCC_USER := $(call for_compiler,gcc,$(USER_CPPFLAGS)) $(USER_CFLAGS)
-include $(CLANG_STAMPS:=.d) $(HEADER_STAMPS:=.d)
endif

$(CHECKED)/clang/userland/%.ok: userland/% $(CHECK_RULES)
	@$(call check_pass,$(CLANG_USER),$<)
# Self-tests break rules of locks on purpose.
$(CHECKED)/clang/tests/%.ok: tests/% $(CHECK_RULES) | $(KERNEL_GEN)
	@$(call check_pass,$(CLANG_KERNEL),$<)
$(CHECKED)/clang/%.ok: % $(CHECK_RULES) | $(KERNEL_GEN)
	@$(call check_pass,$(CLANG_KERNEL) -Wthread-safety,$<)

# A header includes what it needs.
$(CHECKED)/alone-gcc/userland/%.ok: userland/% $(CHECK_RULES)
	@$(call check_pass,$(GCC_USER) -include $<,-x c /dev/null)
$(CHECKED)/alone-gcc/%.ok: % $(CHECK_RULES) | $(KERNEL_GEN)
	@$(call check_pass,$(GCC_KERNEL) -include $<,-x c /dev/null)
$(CHECKED)/alone-clang/userland/%.ok: userland/% $(CHECK_RULES)
	@$(call check_pass,$(CLANG_USER) -include $<,-x c /dev/null)
$(CHECKED)/alone-clang/%.ok: % $(CHECK_RULES) | $(KERNEL_GEN)
	@$(call check_pass,$(CLANG_KERNEL) -include $<,-x c /dev/null)

.PHONY: abi-report check check-all check-abi check-format check-layers check-gcc check-clang check-headers check-static \
        check-exports check-uapi check-sizes check-locks check-fails
abi-report:
	@tools/abi-report

check:
	@$(MAKE) $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc)) check-all
	@echo 'check: all clean'

check-all: check-abi check-format check-layers check-exports check-gcc check-clang check-headers check-static check-uapi \
           check-sizes check-locks check-fails

check-abi:
	@tools/abi-report --check

check-format:
	@tools/check-format --since $(CHECKED)/format

check-layers: $(KERNEL_OBJ) $(USER_PROGS)
	@tools/check-layers $(OUT)/obj $(UOBJ)

check-exports: $(KERNEL_OBJ) $(USER_PROGS)
	@tools/check-exports $(OUT)/obj $(UOBJ)

check-uapi: $(KERNEL_GEN)
	@tools/check-uapi '$(KERNEL_CPPFLAGS) $(KERNEL_CFLAGS)' '$(USER_CPPFLAGS) $(USER_CFLAGS)'

check-sizes:
	@tools/check-sizes --summary

check-locks:
	@tools/check-locks

check-fails:
	@tools/check-fails

# gcc's pass over the sources is the build.
check-gcc: $(KERNEL_OBJ) $(USER_PROGS)

check-clang: $(CLANG_STAMPS)

check-headers: $(HEADER_STAMPS)

# The programs of the image, and what tests are built.
check-static: $(USER_PROGS)
	@tools/check-static $(OUT)/user $(wildcard $(OUT)/tests build/tests)

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
	    --append 'console=ttyS0' $(OUT)/initramfs.cpio

.PHONY: setup run gdb
setup:
	@tools/setup

# With standard input closed or not a terminal: the demonstration, then off.
run: setup
	@$(MAKE) all
	@tools/run --iso $(if $(filter 1,$(DEBUG)),--debug)

gdb:
	@gdb -q -ex 'target remote :1234' $(KERNEL)


# --- make check: format, layers, warnings under both compilers --------------------------------

# One syntax pass per folder and compiler: a compiler takes many files at once.
KERNEL_C := $(filter %.c,$(KERNEL_SRC))
USER_C := $(sort $(shell find userland -name '*.c'))

# $(call syntax,COMPILER,CPPFLAGS,CFLAGS,SOURCES)
syntax = printf '%s\n' $(4) | xargs -r -n 25 -P 2 \
         $(1) $(subst $(shell $(CC) -print-file-name=include),$(shell $(1) -print-file-name=include),$(2)) \
         $(3) -fsyntax-only

.PHONY: abi-report check-abi
abi-report:
	@tools/abi-report

check-abi:
	@tools/abi-report --check

.PHONY: check check-layers check-format check-gcc check-clang
check: check-abi check-format check-layers check-gcc check-clang
	@echo 'check: all clean'

check-format:
	@tools/check-format

check-layers: $(KERNEL_OBJ) $(USER_PROGS)
	@tools/check-layers $(OUT)/obj $(OUT)/uobj

# The kernel's gcc pass is the build of its objects.
check-gcc: $(KERNEL_OBJ)
	@$(call syntax,gcc,$(USER_CPPFLAGS),$(USER_CFLAGS),$(USER_C))

check-clang: $(KERNEL_GEN)
	@$(call syntax,clang,$(KERNEL_CPPFLAGS),$(KERNEL_CFLAGS),$(KERNEL_C))
	@$(call syntax,clang,$(USER_CPPFLAGS),$(USER_CFLAGS),$(USER_C))

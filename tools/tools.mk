# SPDX-License-Identifier: MIT

# --- make check: format, layers, warnings under both compilers --------------------------------

# One syntax pass per folder and compiler: a compiler takes many files at once.
KERNEL_C := $(filter %.c,$(KERNEL_SRC))
USER_C := $(sort $(shell find userland -name '*.c'))

# $(call syntax,COMPILER,CPPFLAGS,CFLAGS,SOURCES)
syntax = printf '%s\n' $(4) | xargs -r -n 25 -P 2 \
         $(1) $(subst $(shell $(CC) -print-file-name=include),$(shell $(1) -print-file-name=include),$(2)) \
         $(3) -fsyntax-only

.PHONY: check check-layers check-format check-gcc check-clang
check: check-format check-layers check-gcc check-clang
	@echo 'check: all clean'

check-format:
	@tools/check-format

check-layers: $(KERNEL_OBJ)
	@tools/check-layers $(OUT)/obj

check-gcc: $(KERNEL_GEN)
	@$(call syntax,gcc,$(KERNEL_CPPFLAGS),$(KERNEL_CFLAGS),$(KERNEL_C))
	@$(call syntax,gcc,$(USER_CPPFLAGS),$(USER_CFLAGS),$(USER_C))

check-clang: $(KERNEL_GEN)
	@$(call syntax,clang,$(KERNEL_CPPFLAGS),$(KERNEL_CFLAGS),$(KERNEL_C))
	@$(call syntax,clang,$(USER_CPPFLAGS),$(USER_CFLAGS),$(USER_C))

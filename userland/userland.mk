# SPDX-License-Identifier: MIT
# Userland: every folder of userland/ but lib/ and runtime/ is one static program, $(OUT)/user/NAME;
# what it uses of those two is linked into it. They are plain Linux programs: the same files run on Linux and on Bothy.
#
# musl is named file by file: the wrappers have been seen to link another libc in silence.

MUSL_LIB ?= /usr/lib/x86_64-linux-musl
MUSL_INC ?= /usr/include/x86_64-linux-musl
LIBGCC = $(shell $(CC) -print-libgcc-file-name)

USER_CPPFLAGS := -nostdinc -isystem $(MUSL_INC) -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
                 -Iuserland -Ikernel/include -D_GNU_SOURCE
USER_CFLAGS := -std=gnu17 -Os -g -fPIE -fno-strict-aliasing -fstack-protector-strong \
               -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables $(WARN)
USER_LDFLAGS := -static -pie --no-dynamic-linker -z text -z noexecstack -z relro -z now -z noseparate-code \
                --gc-sections --build-id=none
# Programs of one thread whose work repeats itself: lib/heap.c stands before their allocator.
USER_HEAP := engine keeper
USER_HEAP_LDFLAGS := --wrap=malloc --wrap=calloc --wrap=realloc --wrap=free
# Objects are made once for all builds; of the sources that look at DEBUG that build has its own.
UOBJ := build/uobj
ifeq ($(DEBUG),1)
USER_OF_DEBUG := $(shell grep -rlw --include='*.[ch]' DEBUG userland)
$(if $(filter %.h,$(USER_OF_DEBUG)),$(error a header of userland looks at DEBUG: $(USER_OF_DEBUG)))
$(addprefix $(OUT)/uobj/,$(USER_OF_DEBUG:=.o)): USER_CPPFLAGS += -DDEBUG=1
endif

# $(call musl_link,OUTPUT,OBJECTS,FLAGS): a static-pie program that needs no loader.
musl_link = ld $(USER_LDFLAGS) $(3) -o $(1) $(MUSL_LIB)/rcrt1.o $(MUSL_LIB)/crti.o $(2) \
            --start-group $(MUSL_LIB)/libc.a $(LIBGCC) --end-group $(MUSL_LIB)/crtn.o

USER_NAMES := $(filter-out lib runtime,$(patsubst userland/%/,%,$(wildcard userland/*/)))
USER_PROGS := $(addprefix $(OUT)/user/,$(USER_NAMES))
user_obj_place = $(if $(filter $(1),$(USER_OF_DEBUG)),$(OUT)/uobj,$(UOBJ))
user_obj = $(foreach c,$(sort $(shell find userland/$(1) -name '*.[cS]')),$(call user_obj_place,$(c))/$(c).o)
USER_LIB_OBJ := $(call user_obj,lib) $(call user_obj,runtime)

# What each request and each start, or each byte of a layer, goes through is worth its size.
USER_FAST := $(addprefix $(UOBJ)/userland/,$(addsuffix .c.o,$(addprefix lib/,buf heap http inflate json json_write map sha256_ni str) \
               runtime/order))
$(USER_FAST): USER_CFLAGS += -O2

define USER_OBJ
$(1)/%.c.o: %.c
	@mkdir -p $$(@D)
	$$(call QUIET,UCC,$$<) $$(CC) $$(USER_CPPFLAGS) $$(USER_CFLAGS) -MMD -MP -c $$< -o $$@

$(1)/%.S.o: %.S
	@mkdir -p $$(@D)
	$$(call QUIET,UAS,$$<) $$(CC) $$(USER_CPPFLAGS) -fPIE -c $$< -o $$@
endef
$(foreach place,$(sort $(UOBJ) $(OUT)/uobj),$(eval $(call USER_OBJ,$(place))))

define USER_PROG
$(OUT)/user/$(1): $(call user_obj,$(1)) $(USER_LIB_OBJ)
	@mkdir -p $$(@D)
	$$(call QUIET,ULD,$$@) $$(call musl_link,$$@,$(call user_obj,$(1)) $(USER_LIB_OBJ),$(if $(filter $(1),$(USER_HEAP)),$(USER_HEAP_LDFLAGS)))
-include $(patsubst %.o,%.d,$(call user_obj,$(1)))
endef
$(foreach p,$(USER_NAMES),$(eval $(call USER_PROG,$(p))))
-include $(USER_LIB_OBJ:.o=.d)

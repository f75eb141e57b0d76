# SPDX-License-Identifier: MIT
# The suite, one target per tier.

# --- unit: kernel/lib and kernel/hv/emul on the host, under ASan and UBSan ---------------------

UNIT_TEST_SRC := $(sort $(wildcard tests/unit/*.c))
UNIT_SRC := $(UNIT_TEST_SRC) $(sort $(wildcard kernel/lib/*.c kernel/hv/emul/*.c kernel/fs/iso9660/iso*.c)) \
            kernel/sched/wheel.c kernel/dev/virtq.c kernel/dev/segment.c kernel/dev/join.c kernel/dev/partition.c kernel/dev/pci_config.c \
            kernel/net/netlink/message.c kernel/net/netlink/ethtool_ask.c kernel/net/diag/filter.c kernel/net/link/vnet_header.c kernel/net/link/flow.c kernel/net/link/ethernet.c kernel/net/link/arp.c \
            $(addprefix kernel/net/ip/,ipv4.c ipv6.c icmp_parse.c neighbour.c lpm.c fragment.c source.c report.c) drivers/net/e1000_hw.c \
            $(addprefix kernel/net/tcp/,segment.c congestion.c cubic.c listen.c cookie.c conn_config.c)
UNIT_OBJ := $(addsuffix .o,$(addprefix build/unit/,$(UNIT_SRC)))
UNIT_CPPFLAGS := -Ikernel -Ikernel/include -I. -Itests/unit -include kernel/lib/compiler.h \
                 -D_GNU_SOURCE -DDEBUG=1
UNIT_CFLAGS := -std=gnu17 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing -fwrapv $(WARN) \
               -fsanitize=address,undefined -fno-sanitize-recover=all

# These define the C library's own names: under test they carry other ones.
UNIT_RENAMED := kernel/lib/string.c kernel/lib/format.c tests/unit/test_string.c \
                tests/unit/test_format.c
$(addsuffix .o,$(addprefix build/unit/,$(UNIT_RENAMED))): \
    UNIT_CPPFLAGS += -include tests/unit/rename.h -fno-builtin

build/unit/%.c.o: %.c
	@mkdir -p $(@D)
	$(call QUIET,HCC,$<) $(HOSTCC) $(UNIT_CPPFLAGS) $(UNIT_CFLAGS) -MMD -MP -c $< -o $@

build/unit/unit: $(UNIT_OBJ) | build/unit/iso/plain.iso
	$(call QUIET,HLD,$@) $(HOSTCC) $(UNIT_CFLAGS) -o $@ $(UNIT_OBJ) -lm

# Images for the core of iso9660.
build/unit/iso/plain.iso: tests/unit/make-iso
	$(call QUIET,GEN,build/unit/iso) tests/unit/make-iso build/unit/iso

.PHONY: test-unit
test-unit: build/unit/unit build/sim/sim
	@build/unit/unit
	@build/sim/sim suite

-include $(UNIT_OBJ:.o=.d)

# Each folder of tests may bring its own rules.
include $(sort $(wildcard tests/*/*.mk))

# The suite counts in one place: tools/test. test-unit above is its shortest path.
.PHONY: test test-kernel test-abi test-hv test-system test-watch test-soak test-fails
test:
	@tools/test

test-kernel test-abi test-hv test-system:
	@tools/test $(patsubst test-%,%,$@)

# All of abi and hv in the build of WATCH=1.
test-watch:
	@tools/test --watch

# What the suite has no time for (soak_jobs in tools/test says what and why).
test-soak:
	@tools/test --soak

# Every place where the kernel can be refused something; the suite has a part of them.
test-fails:
	@$(MAKE) all
	@$(MAKE) DEBUG=1 all
	@tests/system/test_fail_points.py --all

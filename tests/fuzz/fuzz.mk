# SPDX-License-Identifier: MIT
# Fuzzing on the host, under ASan and UBSan: seeded, so that a run can be had again.

FUZZ_VMM_SRC := tests/fuzz/fuzz_vmm.c $(addprefix userland/vmm/,mem.c space.c device.c virtq.c \
                virtio.c virtio_mmio.c virtio_pci.c pci_config.c pci_host.c pci_msix.c console.c rng.c blk.c \
                load.c load_linux.c load_pvh.c serial.c rtc.c platform.c acpi.c report.c)

build/fuzz/fuzz_vmm: $(FUZZ_VMM_SRC) $(wildcard userland/vmm/*.h)
	@mkdir -p $(@D)
	$(call QUIET,HCC,$@) $(HOSTCC) -std=gnu17 -O1 -g $(WARN) -D_GNU_SOURCE -Iuserland \
	    -Ikernel/include -fsanitize=address,undefined -fno-sanitize-recover=all -o $@ \
	    $(FUZZ_VMM_SRC) -lpthread

# The readers of what comes by a wire and by netlink; they tell the fuzzer where they have been.
FUZZ_NET_SRC := $(addprefix kernel/net/,ip/ipv4.c ip/ipv6.c ip/icmp_parse.c ip/fragment.c link/ethernet.c link/arp.c \
                link/vnet_header.c netlink/message.c netlink/ethtool_ask.c tcp/segment.c) kernel/dev/join.c kernel/dev/segment.c
FUZZ_NET_OBJ := $(addsuffix .o,$(addprefix build/fuzz/net/,$(FUZZ_NET_SRC)))
FUZZ_NET_FLAGS := $(UNIT_CPPFLAGS) $(filter-out -O1,$(UNIT_CFLAGS)) -O2 -MMD -MP

build/fuzz/net/kernel/net/%.c.o build/fuzz/net/kernel/dev/%.c.o: FUZZ_NET_FLAGS += -fsanitize-coverage=trace-pc
build/fuzz/net/%.c.o: %.c
	@mkdir -p $(@D)
	$(call QUIET,HCC,$<) $(HOSTCC) $(FUZZ_NET_FLAGS) -c $< -o $@

build/fuzz/fuzz_net: $(FUZZ_NET_OBJ) build/fuzz/net/kernel/lib/checksum.c.o build/fuzz/net/tests/fuzz/fuzz_net.c.o
	$(call QUIET,HLD,$@) $(HOSTCC) $(UNIT_CFLAGS) -o $@ $^
-include $(FUZZ_NET_OBJ:.o=.d) build/fuzz/net/tests/fuzz/fuzz_net.c.d

# For a time: make fuzz-net SECONDS=600, for each entry a thirteenth of it.
.PHONY: fuzz-net
fuzz-net: build/fuzz/fuzz_net
	@build/fuzz/fuzz_net --seconds $$(($(or $(SECONDS),60) / 13)) --seed $(or $(SEED),1) tests/fuzz/net.corpus

# What userland reads off a network: with the suite's sanitizers over the corpus, and guided by clang's libFuzzer.
FUZZ_WIRE_SRC := tests/fuzz/fuzz_wire.c $(addprefix userland/netd/,address.c config.c wire.c dhcp4.c dhcp4_msg.c ra.c dhcp6.c sntp.c dns.c)
build/fuzz/fuzz_wire: $(addprefix build/asan/obj/,$(addsuffix .o,$(FUZZ_WIRE_SRC))) $(ASAN_LIB) $(ENGINE_PURE)
	@mkdir -p $(@D)
	$(call QUIET,ALD,$@) $(HOSTCC) $(ASAN_CFLAGS) -o $@ $^
-include $(addprefix build/asan/obj/,$(addsuffix .d,$(FUZZ_WIRE_SRC)))

FUZZ_GUIDED_SRC := $(FUZZ_WIRE_SRC) $(filter-out %/heap.c,$(sort $(wildcard userland/lib/*.c userland/runtime/*.c))) \
                   $(addprefix userland/engine/,life.c restart.c listen_parse.c image_ref.c manifest.c registry.c skeleton.c)
build/fuzz/fuzz_wire_guided: $(FUZZ_GUIDED_SRC)
	@mkdir -p $(@D)
	$(call QUIET,FUZZ,$@) clang -std=gnu17 -O1 -g -D_GNU_SOURCE -DFUZZ_GUIDED -fno-strict-aliasing -Iuserland -Ikernel/include \
	    -Wno-everything -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $(FUZZ_GUIDED_SRC)

FUZZ_KINDS := dhcp4 dhcp6 frame ra sntp config netlink request answer url name manifest dns
.PHONY: fuzz-wire
fuzz-wire: build/fuzz/fuzz_wire_guided
	@for kind in $(or $(KIND),$(FUZZ_KINDS)); do mkdir -p build/fuzz/found/$$kind; echo $$kind; \
	    FUZZ_KIND=$$kind $< -max_len=4096 -timeout=5 -max_total_time=$(or $(SECONDS),300) -print_final_stats=1 -verbosity=0 \
	    -artifact_prefix=build/fuzz/$$kind- build/fuzz/found/$$kind tests/fuzz/corpus/$$kind || exit 1; done

# The kernel's readers of what comes from outside are fuzzed in the unit tier, briefly: here longer.
UNIT_TIMES ?= 50

.PHONY: fuzz
fuzz: build/fuzz/fuzz_vmm build/fuzz/fuzz_net build/unit/unit build/unit/user build/sim/sim
	@build/fuzz/fuzz_vmm $(FUZZ_ROUNDS) $(FUZZ_SEED)
	@build/fuzz/fuzz_net --rounds 1000000 --seed $(or $(FUZZ_SEED),1) tests/fuzz/net.corpus
	@UNIT_TIMES=$(UNIT_TIMES) build/unit/user survive
	@build/sim/sim lies $(or $(FUZZ_SEED),1) 100000
	@for t in damage cpio_never seccomp hostile_device any_order; do UNIT_TIMES=$(UNIT_TIMES) build/unit/unit $$t || exit 1; done

# System calls: what they are, and the letters of their arguments, come from the kernel's own table.
FUZZ_ABI_SRC := $(wildcard tests/fuzz/abi/*.c)
FUZZ_CC = $(HOSTCC) -std=gnu17 -O1 -g -D_GNU_SOURCE -static -pthread -Wall -Wextra -Werror -Wno-unused-parameter

build/gen/syscall_names.h: $(OUT)/gen/syscall_table.h
	@mkdir -p $(@D)
	@sed -n '/^#define SYSCALL_LIST/,$$p' $< > $@

build/tests/fuzz-abi: $(FUZZ_ABI_SRC) tests/fuzz/abi/fuzz.h build/gen/syscall_names.h
	@mkdir -p $(@D)
	$(call QUIET,ABI,$@) $(FUZZ_CC) -Ibuild/gen -o $@ $(FUZZ_ABI_SRC)

.PHONY: fuzz-abi
fuzz-abi: build/tests/fuzz-abi
	@$(MAKE) all
	@$(MAKE) DEBUG=1 all
	@tests/fuzz/test-fuzz abi --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) --cpus $(or $(CPUS),2) $(if $(RELEASE),--release)

# The ioctls of /dev/kvm and guests of random code, with the values of the calls' fuzzer.
FUZZ_KVM_SRC := $(wildcard tests/fuzz/kvm/*.c) tests/fuzz/abi/values.c tests/fuzz/abi/objects.c

build/tests/fuzz-kvm: $(FUZZ_KVM_SRC) tests/fuzz/abi/fuzz.h tests/fuzz/kvm/machine.h
	@mkdir -p $(@D)
	$(call QUIET,ABI,$@) $(FUZZ_CC) -Wno-missing-field-initializers -Itests/fuzz/abi -Itests/fuzz/kvm -o $@ $(FUZZ_KVM_SRC)

.PHONY: fuzz-kvm
fuzz-kvm: build/tests/fuzz-kvm
	@$(MAKE) all
	@$(MAKE) DEBUG=1 all
	@tests/fuzz/test-fuzz kvm --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) --cpus $(or $(CPUS),3) $(if $(RELEASE),--release)

# Netlink's messages and the sockets beside them, in namespaces of the fuzzer's own.
FUZZ_NETLINK_SRC := $(wildcard tests/fuzz/netlink/*.c) tests/fuzz/abi/values.c tests/fuzz/abi/objects.c

build/tests/fuzz-netlink: $(FUZZ_NETLINK_SRC) tests/fuzz/abi/fuzz.h tests/fuzz/netlink/net.h
	@mkdir -p $(@D)
	$(call QUIET,ABI,$@) $(FUZZ_CC) -Wno-missing-field-initializers -Itests/fuzz/abi -Itests/fuzz/netlink -o $@ $(FUZZ_NETLINK_SRC)

.PHONY: fuzz-netlink
fuzz-netlink: build/tests/fuzz-netlink
	@$(MAKE) all
	@$(MAKE) DEBUG=1 all
	@tests/fuzz/test-fuzz netlink --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) --cpus $(or $(CPUS),2) $(if $(RELEASE),--release)

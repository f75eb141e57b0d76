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

# The kernel's readers of what comes from outside are fuzzed in the unit tier, briefly: here longer.
UNIT_TIMES ?= 50

.PHONY: fuzz
fuzz: build/fuzz/fuzz_vmm build/unit/unit build/unit/user build/sim/sim
	@build/fuzz/fuzz_vmm $(FUZZ_ROUNDS) $(FUZZ_SEED)
	@UNIT_TIMES=$(UNIT_TIMES) build/unit/user survive
	@build/sim/sim lies $(or $(FUZZ_SEED),1) 100000
	@for t in damage cpio_never seccomp hostile_device any_order; do UNIT_TIMES=$(UNIT_TIMES) build/unit/unit $$t || exit 1; done

# System calls: what they are, and the letters of their arguments, come from the kernel's own table.
FUZZ_ABI_SRC := $(wildcard tests/fuzz/abi/*.c)

build/gen/syscall_names.h: $(OUT)/gen/syscall_table.h
	@mkdir -p $(@D)
	@sed -n '/^#define SYSCALL_LIST/,$$p' $< > $@

build/tests/fuzz-abi: $(FUZZ_ABI_SRC) tests/fuzz/abi/fuzz.h build/gen/syscall_names.h
	@mkdir -p $(@D)
	$(call QUIET,ABI,$@) $(HOSTCC) -std=gnu17 -O1 -g -D_GNU_SOURCE -static -pthread -Wall -Wextra -Werror \
	    -Wno-unused-parameter -Ibuild/gen -o $@ $(FUZZ_ABI_SRC)

.PHONY: fuzz-abi
fuzz-abi: build/tests/fuzz-abi
	@$(MAKE) all
	@$(MAKE) DEBUG=1 all
	@tests/fuzz/test-fuzz abi --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) --cpus $(or $(CPUS),2) $(if $(RELEASE),--release)

# The ioctls of /dev/kvm and guests of random code, with the values of the calls' fuzzer.
FUZZ_KVM_SRC := $(wildcard tests/fuzz/kvm/*.c) tests/fuzz/abi/values.c tests/fuzz/abi/objects.c

build/tests/fuzz-kvm: $(FUZZ_KVM_SRC) tests/fuzz/abi/fuzz.h tests/fuzz/kvm/machine.h
	@mkdir -p $(@D)
	$(call QUIET,ABI,$@) $(HOSTCC) -std=gnu17 -O1 -g -D_GNU_SOURCE -static -pthread -Wall -Wextra -Werror \
	    -Wno-unused-parameter -Wno-missing-field-initializers -Itests/fuzz/abi -Itests/fuzz/kvm -o $@ $(FUZZ_KVM_SRC)

.PHONY: fuzz-kvm
fuzz-kvm: build/tests/fuzz-kvm
	@$(MAKE) all
	@$(MAKE) DEBUG=1 all
	@tests/fuzz/test-fuzz kvm --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) --cpus $(or $(CPUS),3) $(if $(RELEASE),--release)

# Netlink's messages and the sockets beside them, in namespaces of the fuzzer's own.
FUZZ_NET_SRC := $(wildcard tests/fuzz/net/*.c) tests/fuzz/abi/values.c tests/fuzz/abi/objects.c

build/tests/fuzz-net: $(FUZZ_NET_SRC) tests/fuzz/abi/fuzz.h tests/fuzz/net/net.h
	@mkdir -p $(@D)
	$(call QUIET,ABI,$@) $(HOSTCC) -std=gnu17 -O1 -g -D_GNU_SOURCE -static -pthread -Wall -Wextra -Werror \
	    -Wno-unused-parameter -Wno-missing-field-initializers -Itests/fuzz/abi -Itests/fuzz/net -o $@ $(FUZZ_NET_SRC)

.PHONY: fuzz-net
fuzz-net: build/tests/fuzz-net
	@$(MAKE) all
	@$(MAKE) DEBUG=1 all
	@tests/fuzz/test-fuzz net --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) --cpus $(or $(CPUS),2) $(if $(RELEASE),--release)

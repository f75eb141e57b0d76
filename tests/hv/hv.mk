# SPDX-License-Identifier: MIT
# The KVM clients: kvmtest, kvmbench and kvmasks, static programs for Linux and Bothy alike.

HV_TEST_PROGS := $(OUT)/tests/kvmtest $(OUT)/tests/kvmbench $(OUT)/tests/kvmasks
HV_COMMON := hvtest.c guests.S guests_mem.S guests_edge.S guests_debug.S guests_hyperv.S
HV_TESTS := $(notdir $(sort $(wildcard tests/hv/t_*.c)))
hv_obj = $(addsuffix .o,$(addprefix $(OUT)/uobj/tests/hv/,$(1)))

$(call hv_obj,$(HV_COMMON) $(HV_TESTS) kvmtest.c kvmbench.c kvmasks.c): USER_CPPFLAGS += -Itests/hv -Itests

$(OUT)/tests/kvmtest: $(call hv_obj,kvmtest.c $(HV_COMMON) $(HV_TESTS))
	@mkdir -p $(@D)
	$(call QUIET,ULD,$@) $(call musl_link,$@,$^)

$(OUT)/tests/kvmbench: $(call hv_obj,kvmbench.c $(HV_COMMON)) $(addprefix $(OUT)/uobj/tests/perf/,rounds.c.o bench.c.o)
	@mkdir -p $(@D)
	$(call QUIET,ULD,$@) $(call musl_link,$@,$^)

# What VMMs ask of /dev/kvm is generated: tests/hv/vmm_asks.tbl -> $(OUT)/gen/.
$(OUT)/gen/vmm_asks.h: tests/hv/vmm_asks.tbl tests/hv/asks.awk
	@mkdir -p $(@D)
	$(call QUIET,GEN,$@) awk -f tests/hv/asks.awk $< > $@.new && mv $@.new $@

$(call hv_obj,kvmasks.c): USER_CPPFLAGS += -I$(OUT)/gen
$(call hv_obj,kvmasks.c): $(OUT)/gen/vmm_asks.h

$(OUT)/tests/kvmasks: $(call hv_obj,kvmasks.c $(HV_COMMON))
	@mkdir -p $(@D)
	$(call QUIET,ULD,$@) $(call musl_link,$@,$^)

-include $(patsubst %.o,%.d,$(call hv_obj,$(filter %.c,$(HV_COMMON)) $(HV_TESTS) kvmtest.c kvmbench.c kvmasks.c))

.PHONY: test-hv-linux
# The same tests on Linux's KVM: what they promise is what Linux does.
test-hv-linux: all abi-programs $(HV_TEST_PROGS) check-uapi
	@tools/linux-peer --kvm --timeout 300 --file $(OUT)/tests/kvmtest -c /files/kvmtest
	@tests/hv/test-vmm
	@tests/hv/test-vmm-devices

.PHONY: test-hv-bothy
# On Bothy, in the machine that tools/run makes.
test-hv-bothy: all abi-programs $(HV_TEST_PROGS)
	@tools/run --cpus 3 --timeout 300 --file $(OUT)/tests/kvmtest -c /boot/files/kvmtest
	@tests/hv/test-vmm --on bothy
	@tests/hv/test-vmm-devices --on bothy

.PHONY: kvm-report
# What VMMs ask of /dev/kvm: Linux's answers beside Bothy's.
kvm-report: all $(OUT)/tests/kvmasks
	@tools/kvm-report

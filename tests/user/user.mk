# SPDX-License-Identifier: MIT
# Userland's pure parts on the host, under ASan and UBSan: part of the unit tier.

USER_TEST_LIB := heap buf str file json json_write sha256 source checksum inflate lzma2 xz bzip2 fse zstd \
                 decode tar tar_sparse sha256_ni sha256_plain inroot map tree_walk tree_copy netlink_msg \
                 base64 challenge http url
# netd's pure cores, and its requests to a kernel that a test plays.
USER_TEST_NETD := address config wire dhcp4 dhcp4_msg ra dhcp6 sntp dns kernel offer
USER_TEST_SRC := $(sort $(wildcard tests/user/*.c)) tests/unit/runner.c $(USER_TEST_LIB:%=userland/lib/%.c) \
                 $(USER_TEST_NETD:%=userland/netd/%.c) \
                 userland/runtime/mount_words.c $(addprefix userland/vmm/,mem.c space.c virtq.c pci_config.c \
                 device.c virtio.c virtio_mmio.c virtio_pci.c pci_host.c pci_msix.c console.c blk.c report.c)
USER_TEST_OBJ := $(addsuffix .o,$(addprefix build/unit/user-tests/,$(USER_TEST_SRC)))

build/unit/user-tests/%.c.o: %.c
	@mkdir -p $(@D)
	$(call QUIET,HCC,$<) $(HOSTCC) -std=gnu17 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing \
	    $(WARN) -D_GNU_SOURCE -Iuserland -Ikernel/include -Itests/unit \
	    -fsanitize=address,undefined -fno-sanitize-recover=all -MMD -MP -c $< -o $@

build/unit/user: $(USER_TEST_OBJ)
	$(call QUIET,HLD,$@) $(HOSTCC) -fsanitize=address,undefined \
	    -Wl,--wrap=mkdirat,--wrap=preadv,--wrap=pwritev,--wrap=fdatasync,--wrap=poll -o $@ $(USER_TEST_OBJ) -lpthread

.PHONY: test-user
test-user: build/unit/user
	@build/unit/user
test-unit: test-user

-include $(USER_TEST_OBJ:.o=.d)

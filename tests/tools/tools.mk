# SPDX-License-Identifier: MIT
# The checks of `make check` on small trees: part of the unit tier.

CHECK_TESTS := $(sort $(wildcard tests/tools/test_*.py))

.PHONY: test-checks
test-checks:
	@for t in $(CHECK_TESTS); do $$t || exit 1; done
test-unit: test-checks

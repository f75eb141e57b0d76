# SPDX-License-Identifier: MIT
# The engine and the client once more, for this host alone: against its C library, with gcc's address
# and undefined-behaviour sanitizers. The musl programs of the image cannot have those. `OUT=build/asan`
# makes the system tests run these; tests/engine has the tests of the pure cores.

ASAN_CFLAGS := -std=gnu17 -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing $(WARN) \
               -fsanitize=address,undefined -fno-sanitize-recover=all -DDEBUG=1
ASAN_CPPFLAGS := -Iuserland -Ikernel/include -I. -D_GNU_SOURCE
asan_obj = $(addsuffix .o,$(addprefix build/asan/obj/,$(sort $(shell find $(1) -name '*.c'))))
# lib/heap.c is for musl's allocator: the sanitizers bring their own.
ASAN_LIB := $(filter-out %/heap.c.o,$(call asan_obj,userland/lib userland/runtime))

build/asan/obj/%.c.o: %.c
	@mkdir -p $(@D)
	$(call QUIET,ACC,$<) $(HOSTCC) $(ASAN_CPPFLAGS) $(ASAN_CFLAGS) -MMD -MP -c $< -o $@

build/asan/user/%: $(ASAN_LIB)
	@mkdir -p $(@D)
	$(call QUIET,ALD,$@) $(HOSTCC) $(ASAN_CFLAGS) -o $@ $^

build/asan/user/engine: $(call asan_obj,userland/engine)
build/asan/user/keeper: $(call asan_obj,userland/keeper)
build/asan/user/cli: $(call asan_obj,userland/cli)

# The pure cores of the engine and its library.
ENGINE_PURE := $(addprefix build/asan/obj/userland/engine/,life.c.o restart.c.o listen_parse.c.o image_ref.c.o manifest.c.o \
               registry.c.o skeleton.c.o detach.c.o ps.c.o)
ENGINE_UNIT := $(call asan_obj,tests/engine) build/asan/obj/tests/unit/runner.c.o
$(ENGINE_UNIT): ASAN_CPPFLAGS += -Itests/unit
# test_registry_client.c has its network.
build/asan/unit: $(ENGINE_UNIT) $(ASAN_LIB) $(ENGINE_PURE) $(addprefix build/asan/obj/userland/engine/,registry_client.c.o registry_secret.c.o)
	$(call QUIET,ALD,$@) $(HOSTCC) $(ASAN_CFLAGS) -o $@ $^

.PHONY: engine-asan soak-engine
engine-asan: build/asan/user/engine build/asan/user/keeper build/asan/user/cli build/asan/unit

# Random clients against the engine, for as long as wanted: SEED=N SECONDS=N
soak-engine: engine-asan
	tests/engine/soak --seed $(or $(SEED),0) --seconds $(or $(SECONDS),3600)

-include $(patsubst %.o,%.d,$(call asan_obj,userland/lib userland/runtime userland/engine userland/keeper userland/cli tests/engine))

# SPDX-License-Identifier: MIT
# Pure cores over simulated wires, under ASan and UBSan (tests/sim/README.md).

SIM_CORE := $(addprefix kernel/net/tcp/,segment.c congestion.c cubic.c record.c recovery.c hystart.c conn.c conn_input.c \
            conn_ack.c conn_receive.c conn_output.c conn_timer.c conn_info.c conn_config.c timewait.c listen.c cookie.c) \
            $(addprefix kernel/lib/,rbtree.c list.c hash.c checksum.c)
SIM_SRC := $(SIM_CORE) $(sort $(wildcard tests/sim/*.c))
SIM_OBJ := $(addsuffix .o,$(addprefix build/unit/,$(SIM_SRC)))

$(filter build/unit/tests/sim/%,$(SIM_OBJ)): UNIT_CPPFLAGS += -Itests/sim

build/sim/sim: $(SIM_OBJ)
	@mkdir -p $(@D)
	$(call QUIET,HLD,$@) $(HOSTCC) $(UNIT_CFLAGS) -o $@ $(SIM_OBJ)

-include $(SIM_OBJ:.o=.d)

# A million runs and lies, on all CPUs; SEED=N begins there, RUNS=N is how many, JOBS=N by how many
# processes.
.PHONY: soak-net
soak-net: build/sim/sim
	@build/sim/sim soak $(or $(SEED),1) $(or $(RUNS),1000000) $(JOBS)

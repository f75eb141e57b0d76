/* SPDX-License-Identifier: MIT
 *
 * How fast a long transfer is, in virtual time: each wire has a bound that a healthy sender keeps.
 */
#include "lib/string.h"
#include "sim.h"

struct bulk {
    const char *name;
    struct sim_wire wire; /* both ways */
    u32 bytes;
    u64 most;         /* virtual time */
    u32 again;        /* bytes that may be sent more than once, in 1/1000 */
    bool reno, plain; /* plain: neither SACK nor timestamps */
};

#define MBIT(n) (8000 / (n)) /* ns for a byte */

static const struct bulk bulks[] = {
    {.name = "a_clean_wire_is_filled",
     .wire = {.delay = 10 * SIM_MS, .gap = MBIT(100), .queue = 500000, .mtu = 1500},
     .bytes = 20000000,
     .most = 2000 * SIM_MS,
     .again = 60},
    {.name = "a_clean_wire_with_a_short_queue_is_filled",
     .wire = {.delay = 10 * SIM_MS, .gap = MBIT(100), .queue = 60000, .mtu = 1500},
     .bytes = 40000000,
     .most = 5000 * SIM_MS,
     .again = 50},
    {.name = "a_long_fat_wire_is_filled",
     .wire = {.delay = 100 * SIM_MS, .gap = MBIT(100), .queue = 1000000, .mtu = 1500},
     .bytes = 60000000,
     .most = 10500 * SIM_MS,
     .again = 50},
    {.name = "one_loss_in_a_hundred_leaves_the_rate_that_it_should",
     .wire = {.delay = 10 * SIM_MS, .gap = MBIT(100), .queue = 500000, .mtu = 1500, .lose = 10},
     .bytes = 4000000,
     .most = 6000 * SIM_MS,
     .again = 40},
    {.name = "one_loss_in_ten_goes_on",
     .wire = {.delay = 5 * SIM_MS, .gap = MBIT(100), .queue = 500000, .mtu = 1500, .lose = 100},
     .bytes = 1000000,
     .most = 20000 * SIM_MS,
     .again = 250},
    {.name = "reordering_is_no_loss",
     .wire = {.delay = 10 * SIM_MS,
              .gap = MBIT(100),
              .queue = 500000,
              .mtu = 1500,
              .jitter = 2 * SIM_MS},
     .bytes = 20000000,
     .most = 3000 * SIM_MS,
     .again = 60},
    {.name = "reno_fills_a_clean_wire",
     .wire = {.delay = 10 * SIM_MS, .gap = MBIT(100), .queue = 500000, .mtu = 1500},
     .bytes = 20000000,
     .most = 2200 * SIM_MS,
     .again = 60,
     .reno = true},
    {.name = "a_peer_without_sack_recovers_from_losses",
     .wire = {.delay = 10 * SIM_MS, .gap = MBIT(100), .queue = 500000, .mtu = 1500, .lose = 10},
     .bytes = 2000000,
     .most = 8000 * SIM_MS,
     .again = 60,
     .plain = true},
};

static void bulk_setup(struct sim *s, const struct bulk *b)
{
    memset(s, 0, sizeof(*s));
    sim_setup(s, b->reno ? 2 : 1);
    s->calm = true;
    for (u32 i = 0; i < 2; i++) {
        struct sim_end *e = &s->ends[i];

        e->out = b->wire;
        e->config = tcp_config_default;
        e->config.sack = e->config.times = !b->plain;
        e->manner = SIM_POLITE;
        e->cookies = false;
        e->records_most = 1000000;
        e->to_send = e->to_get = 0;
        e->send_buf = 16000000;
        e->chunk = 200000;
        e->read_most = U32_MAX / 2;
        e->read_gap = e->write_gap = 0;
        e->listen.mss = 1460;
        e->listen.rcv_buf = 131072;
        e->listen.rcv_buf_most = 6000000;
    }
    s->ends[0].to_send = s->ends[1].to_get = b->bytes;
    s->ends[1].listening = true;
}

static bool bulk_one(const struct bulk *b, bool trace)
{
    static struct sim s;
    u64 began, took = 0, again = 0;

    bulk_setup(&s, b);
    s.trace = trace ? stdout : NULL;
    began = s.now;
    sim_end_connect(&s.ends[0]);
    while (!s.failed && sim_step(&s)) {
        again = s.ends[0].conn.bytes_again;
        if (s.ends[1].got == b->bytes && !took) {
            took = s.now - began;
            if (again * 1000 > (u64)b->again * b->bytes)
                sim_fail(&s, "too much was sent again");
        }
    }
    if (!took || took > b->most)
        sim_fail(&s, "too slow");
    sim_end_free(&s.ends[0]);
    sim_end_free(&s.ends[1]);
    sim_wire_clear(&s);
    printf("%s %s\n", s.failed ? "FAIL" : "ok", b->name);
    if (s.failed)
        printf("   %s: %llu ms, %llu bytes again\n", s.failed, (unsigned long long)(took / SIM_MS),
               (unsigned long long)again);
    return !s.failed;
}

u32 sim_bulk(const char *pattern, u32 *passed, bool trace)
{
    u32 failed = 0;

    for (u32 i = 0; i < ARRAY_SIZE(bulks); i++) {
        bool good;

        if (pattern && !strstr(bulks[i].name, pattern))
            continue;
        good = bulk_one(&bulks[i], trace);
        failed += !good;
        *passed += good;
    }
    return failed;
}

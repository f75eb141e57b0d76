/* SPDX-License-Identifier: MIT
 *
 * What waits out of order is bounded in number, however large the buffer is: one segment sets all
 * of it free.
 */
#include "sim.h"

#include <stdlib.h>

#define HOARD 20000U
#define HOARD_MOST 8192U
#define PIECE 100U
#define IRS 5000U

static struct tcp_conn conn;
static u32 hoard_kept, hoard_ready;

static void hoard_free(struct list_node *list, u32 *count)
{
    struct tcp_piece *p;

    while ((p = list_first(list, struct tcp_piece, link))) {
        list_del(&p->link);
        free(p);
        hoard_kept--;
        if (count)
            ++*count;
    }
}

static void hoard_input(u32 seq, u32 len, u16 flags)
{
    struct tcp_segment seg = {.seq = seq,
                              .ack = conn.snd_nxt,
                              .len = len,
                              .flags = flags,
                              .window = 65535,
                              .has = flags & TCP_SYN ? TCP_HAS_SCALE | TCP_HAS_MSS : 0,
                              .mss = 1460};
    struct tcp_piece *piece = len ? calloc(1, sizeof(*piece)) : NULL;
    struct tcp_result r;
    struct tcp_out out;

    hoard_kept += piece != NULL;
    tcp_result_init(&r);
    tcp_conn_input(&conn, &seg, piece, SIM_MS, &r);
    hoard_free(&r.ready, &hoard_ready);
    hoard_free(&r.drop, NULL);
    while (tcp_conn_output(&conn, SIM_MS, &out))
        ;
}

bool sim_hoard(void)
{
    struct tcp_config config = tcp_config_default;
    struct tcp_open open = {.config = &config,
                            .congestion = &tcp_cubic,
                            .iss = 1000,
                            .mss = 1460,
                            .rcv_buf = 1U << 28,
                            .rcv_buf_most = 1U << 28};
    LIST_HEAD(records);
    struct tcp_result r;
    struct tcp_out out;
    bool good;

    config.times = config.sack = false;
    hoard_ready = 0;
    tcp_conn_connect(&conn, &open, SIM_MS);
    while (tcp_conn_output(&conn, SIM_MS, &out))
        ;
    hoard_input(IRS, 0, TCP_SYN | TCP_ACK);
    hoard_input(IRS + 1, PIECE, TCP_ACK); /* the window opens */
    for (u32 i = 2; i < HOARD; i++)
        hoard_input(IRS + 1 + i * PIECE, PIECE, TCP_ACK);
    good = conn.nr_pieces == HOARD_MOST && hoard_kept == HOARD_MOST;
    hoard_input(IRS + 1 + PIECE, PIECE, TCP_ACK);
    good &= !conn.nr_pieces && !hoard_kept && hoard_ready == HOARD_MOST + 2;
    tcp_result_init(&r);
    tcp_conn_drain(&conn, &records, &r);
    return good;
}

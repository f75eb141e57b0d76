/* SPDX-License-Identifier: MIT
 *
 * A connection's figures, as TCP_INFO has them.
 */
#include "net/tcp/conn_priv.h"
#include "net/tcp/info.h"

/* Linux's numbers of what the sender is about: open, CWR, recovery, loss. */
static const u8 info_phase[] = {
    [TCP_PHASE_OPEN] = 0, [TCP_PHASE_CWR] = 2, [TCP_PHASE_RECOVERY] = 3, [TCP_PHASE_LOSS] = 4};

static u32 info_segments(const struct tcp_conn *c, u32 bytes)
{
    return DIV_ROUND_UP(bytes, MAX(c->mss, 1U));
}

static u32 info_us(u64 ns)
{
    return (u32)MIN(ns / 1000, (u64)U32_MAX);
}

static u32 info_age(u64 at, u64 now)
{
    return at ? (u32)MIN((now - at) / TCP_MS, (u64)U32_MAX) : 0;
}

static u8 info_options(const struct tcp_conn *c)
{
    return (u8)((c->times_ok ? TCPI_TIMESTAMPS : 0) | (c->sack_ok ? TCPI_SACK : 0) |
                (c->scale_ok ? TCPI_WSCALE : 0) | (c->ecn_ok ? TCPI_ECN : 0));
}

static void info_flight(const struct tcp_conn *c, struct tcp_info *out)
{
    out->tcpi_unacked = info_segments(c, c->snd_nxt - c->snd_una);
    out->tcpi_sacked = info_segments(c, c->sacked_bytes);
    out->tcpi_lost = info_segments(c, c->lost_bytes);
    out->tcpi_snd_cwnd = c->congestion.window / MAX(c->mss, 1U);
    out->tcpi_snd_ssthresh = c->congestion.ssthresh >= TCP_WINDOW_MOST
                                 ? 0x7fffffff
                                 : c->congestion.ssthresh / MAX(c->mss, 1U);
    out->tcpi_notsent_bytes = tcp_conn_unsent(c);
    out->tcpi_snd_wnd = c->snd_wnd;
    if (c->srtt)
        out->tcpi_pacing_rate = (u64)c->congestion.window * TCP_SECOND / c->srtt;
    out->tcpi_max_pacing_rate = c->options.pacing_most ? c->options.pacing_most : U64_MAX;
}

static void info_counts(const struct tcp_conn *c, struct tcp_info *out)
{
    out->tcpi_total_retrans = c->total_again;
    out->tcpi_bytes_acked = c->bytes_acked;
    out->tcpi_bytes_received = c->bytes_received;
    out->tcpi_bytes_sent = c->bytes_sent;
    out->tcpi_bytes_retrans = c->bytes_again;
    out->tcpi_segs_out = (u32)c->segs_out;
    out->tcpi_segs_in = (u32)c->segs_in;
    out->tcpi_data_segs_in = (u32)c->data_segs_in;
    out->tcpi_data_segs_out = (u32)c->data_segs_out;
    out->tcpi_dsack_dups = c->dsacks;
    out->tcpi_reord_seen = c->rack_reordered;
}

void tcp_conn_info(const struct tcp_conn *c, u64 now, struct tcp_info *out)
{
    *out = (struct tcp_info){
        .tcpi_state = c->state,
        .tcpi_ca_state = info_phase[c->phase],
        .tcpi_retransmits = c->tries,
        .tcpi_probes = MAX(c->probes, c->keep_probes),
        .tcpi_backoff = c->backoff,
        .tcpi_options = info_options(c),
        .tcpi_snd_wscale = c->snd_scale & 15,
        .tcpi_rcv_wscale = c->rcv_scale & 15,
        .tcpi_rto = info_us(c->rto),
        .tcpi_ato = info_us(c->config->delayed_ack),
        .tcpi_snd_mss = c->mss,
        .tcpi_rcv_mss = c->rcv_mss,
        .tcpi_last_data_sent = info_age(c->snd_last, now),
        .tcpi_last_data_recv = info_age(c->rcv_last, now),
        .tcpi_last_ack_recv = info_age(c->rcv_last, now),
        .tcpi_pmtu = c->mss_path + TCP_HEADER + 20,
        .tcpi_rcv_ssthresh = tcp_window_free(c),
        .tcpi_rtt = info_us(c->srtt),
        .tcpi_rttvar = info_us(c->rttvar),
        .tcpi_advmss = c->mss_path,
        .tcpi_reordering = TCP_DUP_THRESHOLD,
        .tcpi_rcv_rtt = info_us(c->rcv_rtt),
        .tcpi_rcv_space = c->rcv_buf,
        .tcpi_min_rtt = info_us(c->rtt_least),
    };
    info_flight(c, out);
    info_counts(c, out);
}

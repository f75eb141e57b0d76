// SPDX-License-Identifier: MIT
// What engine, keeper and child hand each other: orders and messages; and what decides of a
// restart.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/restart.h"
#include "harness.h"
#include "lib/json.h"
#include "runtime/keep.h"
#include "runtime/order.h"

/* ---- orders ---------------------------------------------------------------------------------- */

static char *words[] = {"sh", "-c", "", NULL}, *none[] = {NULL};

static struct order order_full(struct mount_spec *m, struct rlimit_spec *r, struct device_spec *d)
{
    struct order o = {.first = true,
                      .based = true,
                      .new_net = true,
                      .files = 1024 | 4096ull << 32,
                      .layers = "/root/layers",
                      .lowers = words,
                      .own = "../containers/x",
                      .devices = d,
                      .ndevices = 1};

    *m = (struct mount_spec){
        .target = "/t", .source = "/s", .options = "", .flags = 1, .fill = true};
    *r = (struct rlimit_spec){7, 1, UINT64_MAX};
    *d = (struct device_spec){"/dev/null", "/dev/n", 0};
    o.spec = (struct spec){.argv = words, .env = none, .cwd = "", .user = "app", .caps = ~0ull};
    o.shared = (struct shared_spec){.hostname = "h",
                                    .masked = none,
                                    .mounts = m,
                                    .nmounts = 1,
                                    .rlimits = r,
                                    .nrlimits = 1,
                                    .shm_size = -1};
    return o;
}

static void order_drop(struct order *o)
{
    free(o->spec.argv);
    free(o->spec.env);
    free(o->spec.groups);
    free(o->lowers);
    free(o->shared.sysctls);
    free(o->shared.masked);
    free(o->shared.readonly_paths);
    free(o->shared.mounts);
    free(o->shared.rlimits);
    free(o->devices);
}

TEST(order_is_read_as_it_was_written)
{
    struct mount_spec m;
    struct rlimit_spec r;
    struct device_spec d;
    struct order o = order_full(&m, &r, &d), back;
    struct buf text = {0};

    order_write(&text, &o);
    EXPECT(order_read(&back, text.data, text.len) == 0);
    EXPECT(back.first && back.based && back.new_net && !back.vm && !back.is_exec &&
           back.files == o.files);
    EXPECT(strv_count(back.spec.argv) == 3 && !strcmp(back.spec.argv[2], "") && !back.spec.groups);
    EXPECT(back.spec.env && !back.spec.env[0] && back.spec.caps == ~0ull);
    EXPECT(back.shared.masked && !back.shared.masked[0] && !back.shared.readonly_paths);
    EXPECT(back.shared.shm_size == -1);
    EXPECT(back.shared.nmounts == 1 && !strcmp(back.shared.mounts[0].source, "/s") &&
           back.shared.mounts[0].fill && !back.shared.mounts[0].flat &&
           !back.shared.mounts[0].volume);
    EXPECT(back.shared.nrlimits == 1 && back.shared.rlimits[0].hard == UINT64_MAX);
    EXPECT(back.ndevices == 1 && !strcmp(back.devices[0].target, "/dev/n"));
    order_drop(&back);
    buf_free(&text);
}

/* Cut anywhere, and with any byte changed: refused, or read without a step outside. */
TEST(order_that_is_none_is_refused)
{
    struct mount_spec m;
    struct rlimit_spec r;
    struct device_spec d;
    struct order o = order_full(&m, &r, &d), back;
    struct buf text = {0};

    order_write(&text, &o);
    for (size_t n = 0; n < text.len; n++) {
        char *cut = malloc(n ? n : 1);

        memcpy(cut, text.data, n);
        EXPECT(order_read(&back, cut, n) == -EPROTO);
        order_drop(&back);
        free(cut);
    }
    for (size_t i = 0; i < text.len; i++)
        for (int v = 0; v < 256; v += 51) {
            char *odd = malloc(text.len);

            memcpy(odd, text.data, text.len);
            odd[i] = (char)v;
            order_read(&back, odd, text.len);
            order_drop(&back);
            free(odd);
        }
    buf_free(&text);
}

/* ---- messages -------------------------------------------------------------------------------- */

TEST(message_comes_with_its_descriptors)
{
    static struct keep_message m;
    struct keep_head h = {
        .type = KEEP_CLONED, .flags = KEEP_HAS_OUT | KEEP_HAS_IN, .note = 2, .text = 3};
    int pair[2], fds[2] = {dup(0), dup(0)};

    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    EXPECT(keep_send(pair[0], &h, "no", "yes", fds, 2) == 0);
    EXPECT(keep_recv(pair[1], &m) == 1);
    EXPECT(m.head.type == KEEP_CLONED && !memcmp(m.note, "no", 2) && !strcmp(m.text, "yes"));
    EXPECT(m.nfds == 2 && keep_take_fd(&m, KEEP_HAS_ERR) == -1);
    for (int i = 0; i < 2; i++) {
        int fd = keep_take_fd(&m, i ? KEEP_HAS_IN : KEEP_HAS_OUT);

        EXPECT(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
        close(fd);
        close(fds[i]);
    }
    keep_close_fds(&m);
    close(pair[0]);
    EXPECT(keep_recv(pair[1], &m) == 0);
    close(pair[1]);
}

TEST(message_without_space_for_its_descriptors_is_known)
{
    static struct keep_message m;
    struct keep_head h = {.type = KEEP_START, .flags = KEEP_GROUP, .text = 3};
    struct rlimit was, zero;
    int pair[2], fds[1] = {0};

    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    EXPECT(keep_send(pair[0], &h, NULL, "yes", fds, 1) == 0);
    EXPECT(getrlimit(RLIMIT_NOFILE, &was) == 0);
    zero = (struct rlimit){0, was.rlim_max};
    EXPECT(setrlimit(RLIMIT_NOFILE, &zero) == 0);
    EXPECT(keep_recv(pair[1], &m) == -EMFILE);
    EXPECT(setrlimit(RLIMIT_NOFILE, &was) == 0);
    EXPECT(m.head.type == KEEP_START && !strcmp(m.text, "yes"));
    EXPECT(keep_take_fd(&m, KEEP_GROUP) == -1);
    close(pair[0]);
    close(pair[1]);
}

TEST(message_whose_lengths_lie_is_none)
{
    static struct keep_message m;
    struct keep_head good = {.type = KEEP_SAID, .text = 1}, bad[4];
    char raw[sizeof(good) + 1] = {0};
    int pair[2];

    for (int i = 0; i < 4; i++)
        bad[i] = good;
    bad[0].text = 2;
    bad[1].note = UINT32_MAX;
    bad[2].type = KEEP_TYPES;
    bad[3].type = 0;
    EXPECT(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    for (int i = 0; i < 4; i++) {
        memcpy(raw, &bad[i], sizeof(good));
        EXPECT(send(pair[0], raw, sizeof(raw), 0) == (ssize_t)sizeof(raw));
        EXPECT(keep_recv(pair[1], &m) == -EPROTO);
    }
    EXPECT(send(pair[0], raw, 5, 0) == 5 && keep_recv(pair[1], &m) == -EPROTO);
    close(pair[0]);
    close(pair[1]);
}

/* ---- restarts -------------------------------------------------------------------------------- */

TEST(restart_waits_twice_as_long_each_time_up_to_a_minute)
{
    struct restart r = {.kind = RESTART_ALWAYS};
    u64 want = 100;

    for (int i = 0; i<14; i++, want = want * 2> 60000 ? 60000 : want * 2)
        EXPECT(restart_again(&r, 0, 9999) && r.delay_ms == want && r.count == i + 1);
    EXPECT(restart_again(&r, 0, 10000) && r.delay_ms == 100);
}

TEST(restart_policies_are_docker_s)
{
    /* policy, exit code, stopped, cancelled: does it run again; and when an engine begins */
    static const struct {
        enum restart_kind kind;
        int code;
        bool stopped, cancelled, again, begin;
    } cases[] = {
        {RESTART_NO, 1, false, false, false, false},
        {RESTART_ALWAYS, 0, false, false, true, true},
        {RESTART_ALWAYS, 0, true, true, false, true},
        {RESTART_ALWAYS, 0, true, false, true, true},
        {RESTART_UNLESS_STOPPED, 0, false, false, true, true},
        {RESTART_UNLESS_STOPPED, 0, true, false, false, false},
        {RESTART_ON_FAILURE, 0, false, false, false, false},
        {RESTART_ON_FAILURE, 1, false, false, true, false},
        {RESTART_ON_FAILURE, 1, true, true, false, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct restart r = {
            .kind = cases[i].kind, .stopped = cases[i].stopped, .cancelled = cases[i].cancelled};

        EXPECT(restart_at_begin(&r) == cases[i].begin);
        EXPECT(restart_again(&r, cases[i].code, 0) == cases[i].again);
    }
}

TEST(restart_on_failure_ends_at_its_count)
{
    struct restart r = {.kind = RESTART_ON_FAILURE, .max = 2};

    EXPECT(restart_again(&r, 1, 0) && restart_again(&r, 1, 0) && !restart_again(&r, 1, 0));
    restart_reset(&r);
    EXPECT(restart_again(&r, 1, 0) && r.delay_ms == 100 && r.count == 1);
}

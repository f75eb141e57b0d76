// SPDX-License-Identifier: MIT
// What netd reads of rtnetlink, whose answers are this file's.
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "netd/netd.h"

struct netd netd;
static struct device kernel_led = {.index = 1, .name = "eth0"};
static int kernel_dump_fails;
static bool kernel_ruled;     /* kernel_led's rule has addresses as well */
static unsigned kernel_looks; /* asked for by devices_look_again() */
static int kernel_refuses;

void net_log(const char *fmt, ...)
{
}

void net_log_once(struct device *d, const char *what, int err)
{
}

struct device *device_find(int index)
{
    return index == kernel_led.index ? &kernel_led : NULL;
}

bool device_is_led(const struct device *d)
{
    return d && !kernel_ruled;
}

void devices_look_again(void)
{
    kernel_looks++;
}

int nl_call(int fd, struct nl_msg *m)
{
    return kernel_refuses;
}

static void kernel_tell(int index, const struct address *a,
                        void (*fn)(const struct nl_part *p, void *arg), void *arg)
{
    struct ifaddrmsg head = {
        .ifa_family = a->family, .ifa_prefixlen = a->prefix, .ifa_index = (uint32_t)index};
    struct nl_msg m;
    struct nl_part p;
    size_t at = 0;

    nl_begin(&m, RTM_NEWADDR, 0, &head, sizeof(head));
    nl_attr(&m, IFA_ADDRESS, a->bytes, address_size(a));
    if (nl_next(m.data, m.len, &at, &p))
        fn(&p, arg);
}

/* A containers' bridge and a card with a lease; a dump that fails has given the first of them. */
int nl_dump(int fd, struct nl_msg *m, void (*fn)(const struct nl_part *p, void *arg), void *arg)
{
    struct address bridge = address_v4(0xac110001, 16), lease = address_v4(0x0a000032, 24);

    kernel_tell(2, &bridge, fn, arg);
    if (!kernel_dump_fails)
        kernel_tell(kernel_led.index, &lease, fn, arg);
    return kernel_dump_fails;
}

TEST(netd_knows_what_networks_others_have)
{
    struct address in = address_v4(0xac110500, 24), around = address_v4(0xac000000, 8),
                   own = address_v4(0x0a000000, 24), bridge = address_v4(0xac110001, 24),
                   beside = address_v4(0xac110002, 16);
    struct others o;

    kernel_looks = 0;
    kernel_dump_fails = 0;
    kernel_others(&kernel_led, AF_INET, &o);
    EXPECT(!o.unknown && !kernel_looks);
    EXPECT(others_have(&o, &in) && !others_have(&o, &around) && !others_have(&o, &own));
    EXPECT(others_are(&o, &bridge) && !others_are(&o, &beside));
    others_free(&o);
}

TEST(netd_never_stands_aside_for_itself)
{
    struct device other = {.index = 3};
    struct address own = address_v4(0x0a000000, 24);
    struct others o;

    kernel_dump_fails = 0;
    kernel_ruled = true;
    kernel_others(&kernel_led, AF_INET, &o);
    EXPECT(!others_have(&o, &own));
    others_free(&o);
    kernel_others(&other, AF_INET, &o);
    EXPECT(others_have(&o, &own));
    others_free(&o);
    kernel_ruled = false;
}

TEST(netd_takes_a_list_that_could_not_be_read_for_none)
{
    struct others o;

    kernel_looks = 0;
    kernel_dump_fails = -ENOMEM;
    kernel_others(&kernel_led, AF_INET, &o);
    EXPECT(o.unknown && kernel_looks == 1);
    others_free(&o);
}

TEST(netd_knows_the_mtu_that_a_device_has_when_the_kernel_refuses_another)
{
    struct device d = {.name = "eth0", .mtu_now = 1500};

    kernel_refuses = -EINVAL;
    kernel_mtu(&d, 9000);
    EXPECT(d.mtu_now == 1500);
    kernel_refuses = 0;
    kernel_mtu(&d, 1400);
    EXPECT(d.mtu_now == 1400);
}

/* The device with an offer of this address, and a probe for it that is to be judged. */
static struct device kernel_offered(uint32_t address, const struct config_rule *r,
                                    struct dhcp4_out *out)
{
    struct device d = {.index = 1, .name = "eth0", .rule = r};

    d.dhcp4.state = DHCP4_PROBING;
    d.dhcp4.tries = 1;
    d.dhcp4.offer = (struct dhcp4_lease){.address = address, .prefix = 24};
    *out = (struct dhcp4_out){.probe = true};
    return d;
}

TEST(netd_takes_no_offer_that_is_or_may_be_another_device_s)
{
    struct config_rule none = {0}, own = {0};
    struct dhcp4_out out;
    struct device d = kernel_offered(0xac110001, &none, &out);

    kernel_dump_fails = 0;
    offer_judge(&d, 1000, &out);
    EXPECT(!out.probe && d.dhcp4.state == DHCP4_PAUSED);
    d = kernel_offered(0x0a000040, &none, &out);
    offer_judge(&d, 1000, &out);
    EXPECT(out.probe && d.dhcp4.state == DHCP4_PROBING);
    own.addresses = (struct address_list){{address_v4(0x0a000040, 8)}, 1};
    d = kernel_offered(0x0a000040, &own, &out);
    offer_judge(&d, 1000, &out);
    EXPECT(!out.probe && d.dhcp4.state == DHCP4_PAUSED);
    kernel_dump_fails = -ENOMEM;
    d = kernel_offered(0x0a000040, &none, &out);
    offer_judge(&d, 1000, &out);
    EXPECT(!out.probe && d.dhcp4.state == DHCP4_PROBING && d.dhcp4.wake == 2000);
    kernel_dump_fails = 0;
}

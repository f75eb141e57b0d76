// SPDX-License-Identifier: MIT
// netd's shell: what the pure cores decide is done here. One thread, one process; the state is
// global, since there is one network.
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"
#include "lib/ev.h"
#include "lib/json.h"
#include "lib/netlink.h"
#include "netd/config.h"
#include "netd/dhcp4.h"
#include "netd/dhcp6.h"
#include "netd/dns.h"
#include "netd/limit.h"
#include "netd/ra.h"
#include "netd/sntp.h"

#define NETD_EXIT_NO_SOCKETS 3 /* the kernel has no rtnetlink: there is no use in another start */
#define METRIC_FIRST 100       /* of the first device's default route */
#define METRIC_STEP 10

/* A device that a rule is for. */
struct device {
    struct device *next;
    int index;
    char name[IFNAMSIZ];
    uint8_t mac[6];
    const struct config_rule *rule;
    uint32_t metric;
    uint32_t mtu;     /* as it was found, or as the rule has it */
    uint32_t mtu_now; /* as it is: a lease may have lowered it */
    bool up;          /* as the kernel has said last */
    bool carrier;
    bool seen;        /* in the list that is being read */
    const char *said; /* what failed last, for net_log_once() */
    int said_err;

    /* lease.c */
    struct dhcp4 dhcp4;
    struct ev_timer lease_timer;
    struct ev_source packet, arp, udp; /* fd -1 while closed */
    struct dhcp4_lease set;            /* what of it the kernel has */
    bool is_set;

    /* v6.c */
    struct address local; /* the link-local address, once it can be used; family 0: none */
    bool local_seen;      /* as `seen` */
    struct limit adverts;
    struct ra ra;
    uint32_t on_link; /* of ra.on_link[], a bit each: those that are routes */
    struct ev_timer ra_timer;
    struct dhcp6 dhcp6;
    struct ev_timer dhcp6_timer;
    struct ev_source udp6; /* fd -1 while closed */
};

extern struct netd {
    struct config config;
    int route; /* the socket for requests */
    const char *dir;
    struct device *devices;
} netd;

/* ---- base.c ---- */
void net_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* For what is tried again and again: not twice in a row. `what` is a constant. */
void net_log_once(struct device *d, const char *what, int err);
void net_log_to_kernel(void);
bool net_log_is_kernels(void);

uint64_t net_seed(void); /* random */

/* ---- rights.c ---- */
/* From here on: no root, no program to be started, the capabilities for the network and the clock.
 * Ends netd when it cannot be had. */
void rights_drop(unsigned uid);
/* Sets the host name, or where it is "" starts the process that may, for later; before
 * rights_drop(). */
void namer_start(const char *name);
void namer_set(const char *name);

/* ---- filter.c ---- */
int filter_load(void); /* 0 or -errno */

/* ---- device.c ---- */
int devices_start(void); /* 0 or -errno; the list follows the kernel's from then on */
struct device *device_find(int index);
/* Whether what it has comes from servers and routers: others' networks go before. */
bool device_is_led(const struct device *d);
/* What others have could not be read: lease_others_changed() and v6_others_changed() come soon. */
void devices_look_again(void);
const struct config_rule *
rule_of_machine(unsigned *at); /* the next one without a device, or NULL */
/* The next one that names devices of which none is there, or NULL. */
const struct config_rule *rule_absent(unsigned *at);

/* ---- kernel.c: requests to rtnetlink; what fails is logged ---- */
void kernel_link_up(const struct device *d);
void kernel_mtu(struct device *d, uint32_t mtu); /* d->mtu_now, unless the kernel refuses */
/* NAME.ID above a device; there already is fine. */
void kernel_vlan(const struct device *d, unsigned id);
/* Lifetimes in seconds, UINT32_MAX for ever. `on_link`: its network is a route too. */
void kernel_address(const struct device *d, const struct address *a, uint32_t preferred,
                    uint32_t valid, bool on_link);
void kernel_address_del(const struct device *d, const struct address *a);

struct route {
    struct address to;   /* family and prefix always; 0/0 is the default route */
    struct address via;  /* family 0: on the link */
    struct address from; /* family 0: the kernel chooses */
    uint32_t metric;
    uint32_t expires; /* in seconds; 0 or UINT32_MAX: never */
    uint8_t protocol; /* RTPROT_... */
};
void kernel_route(const struct device *d, const struct route *r, bool add);
/* Networks of the devices that no rule is for, containers' bridges among them, or one with
 * addresses of its own: what a server or a router on the wire says is never to take their traffic.
 */
struct others {
    struct buf list; /* of struct address: theirs, with the network's length */
    bool unknown;    /* they could not be read, and will be again: devices_look_again() */
};
void kernel_others(struct device *d, uint8_t family, struct others *out);
void others_free(struct others *o);
/* Whether a network lies within one of theirs, as far as they are known. */
bool others_have(const struct others *o, const struct address *network);
/* Whether this very address is one of theirs. */
bool others_are(const struct others *o, const struct address *a);
/* Gives each message of a dump to fn, which may make requests itself. 0 or -errno. */
int kernel_dump(uint16_t type, const void *head, size_t size,
                void (*fn)(const struct nl_part *p, void *arg), void *arg);
/* A file below /proc/sys/net/FAMILY/conf/DEVICE; one that is not there is left alone. */
void kernel_sysctl(const struct device *d, const char *family, const char *name, uint32_t value);

/* ---- offer.c ---- */
/* Before a probe for what a server offers: declined, or put off, where it may be another device's.
 */
void offer_judge(struct device *d, uint64_t now, struct dhcp4_out *out);

/* ---- lease.c: DHCPv4 of a device ---- */
void lease_init(struct device *d);
void lease_carrier(struct device *d, bool on);
void lease_end(struct device *d); /* the device has gone */
void lease_report(const struct device *d, struct jw *w);
/* Other devices' networks are others than before. */
void lease_others_changed(struct device *d);

/* ---- v6.c: advertisements and stateless DHCPv6 of a device ---- */
void v6_init(struct device *d); /* before it is up */
void v6_up(struct device *d);
void v6_carrier(struct device *d);
void v6_mtu_changed(struct device *d); /* the device's own, which IPv6's follows */
void v6_end(struct device *d);
/* The kernel tells of an IPv6 address; not there: it has gone. */
void v6_address(struct device *d, const struct address *a, uint32_t flags, bool there);
void v6_report(const struct device *d, struct jw *w);
void v6_others_changed(struct device *d);

/* ---- resolve.c: the names of time servers ---- */
void resolve_start(void);
/* Which are to be known, with blanks between, and who is asked. */
void resolve_want(const char *names, const struct dns_server *s, unsigned n);
void resolve_again(void); /* what is known is of no use */
/* Adds the first address of each name, then the second of each, and so on. */
void resolve_found(struct address_list *l);
const char *resolve_name_of(const struct address *a); /* NULL: it was given as it is */
void resolve_report(struct jw *w);                    /* the names that are unknown */
/* A socket to that port: its descriptor or -errno. */
int udp_connect(const struct address *a, int link, uint16_t port);

/* ---- clock.c: the time of day ---- */
void clock_start(void);
/* `named`: some are, or may come to be, what names stand for. */
void clock_servers(const struct address_list *l, bool named);
void clock_report(struct jw *w);

/* ---- names.c: resolv.conf, the host name, and what `bothy net` reads ---- */
void names_changed(void); /* written at the end of this turn of the loop */
void names_start(void);
void names_end(void); /* once, of a netd that has nothing to do but to say what is wrong */
const char *names_fixed_host(void); /* the host name that rules give; "" none */

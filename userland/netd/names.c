// SPDX-License-Identifier: MIT
// What others read: DIR/resolv.conf, as resolver(5) has it, and DIR/state.json for `bothy net`; and
// the host name. All are made anew from the devices' states when something has changed.
//
// Order of name servers and domains: the machine's rules, then each device by its metric: its rule,
// DHCPv4, advertisements, DHCPv6; for time servers likewise. A host name from a rule is final; else
// the first that a server gives is taken.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netd/netd.h"
#include "netd/wire.h"
#include "lib/str.h"

#define RESOLVERS 3 /* what resolver(5) reads */

struct names {
    char servers[RESOLVERS][ADDRESS_TEXT + IFNAMSIZ];
    struct dns_server at[RESOLVERS]; /* the same */
    unsigned n;
    char search[CONFIG_DOMAIN];
};

static struct ev_timer names_timer;
static struct buf names_resolv, names_state; /* as written */
static char names_host[CONFIG_NAME];

static void names_server(struct names *s, const struct address *a, const struct device *d)
{
    char text[ADDRESS_TEXT + IFNAMSIZ];
    bool local = d && a->family == AF_INET6 && a->bytes[0] == 0xfe && a->bytes[1] >> 6 == 2;

    address_text(a, false, text);
    if (local)
        snprintf(text + strlen(text), IFNAMSIZ + 1, "%%%s", d->name);
    for (unsigned i = 0; i < s->n; i++)
        if (!strcmp(s->servers[i], text))
            return;
    if (s->n == RESOLVERS)
        return;
    strcpy(s->servers[s->n], text);
    s->at[s->n++] = (struct dns_server){*a, local ? d->index : 0};
}

/* Each of a list of domains with blanks between. */
static void domains_add(char list[CONFIG_DOMAIN], const char *more)
{
    char one[CONFIG_DOMAIN];

    for (; *more; more += strcspn(more, " "), more += *more == ' ') {
        snprintf(one, sizeof(one), "%.*s", (int)strcspn(more, " "), more);
        domain_add(list, CONFIG_DOMAIN, one);
    }
}

static void names_search(struct names *s, const char *list)
{
    domains_add(s->search, list);
}

static void names_rule(struct names *s, const struct config_rule *r, const struct device *d)
{
    for (unsigned i = 0; i < r->dns.n; i++)
        names_server(s, &r->dns.item[i], d);
    names_search(s, r->search);
}

static void names_v6(struct names *s, const struct device *d)
{
    for (int i = 0; i < RA_SERVERS; i++) {
        struct address a = address_v6(d->ra.server[i].address, 128);

        if (d->ra.server[i].e.used && !d->ra.server[i].e.gone)
            names_server(s, &a, d);
    }
    for (int i = 0; i < RA_DOMAINS; i++)
        if (d->ra.domain[i].e.used && !d->ra.domain[i].e.gone)
            names_search(s, d->ra.domain[i].name);
    for (unsigned i = 0; i < d->dhcp6.answer.dns_n; i++) {
        struct address a = address_v6(d->dhcp6.answer.dns[i], 128);

        names_server(s, &a, d);
    }
    names_search(s, d->dhcp6.answer.search);
}

static void names_device(struct names *s, const struct device *d)
{
    names_rule(s, d->rule, d);
    for (unsigned i = 0; d->is_set && i < d->set.dns.n; i++) {
        struct address a = address_v4(d->set.dns.item[i], 32);

        names_server(s, &a, d);
    }
    if (d->is_set)
        names_search(s, d->set.search);
    names_v6(s, d);
}

/* The device with the least metric above that of `last`; equal ones by their place in the list. */
static const struct device *names_next(const struct device *last)
{
    const struct device *best = NULL;
    bool behind = !last;

    for (const struct device *d = netd.devices; d; d = d->next) {
        bool after = !last || d->metric > last->metric || (d->metric == last->metric && behind);

        if (d == last)
            behind = true;
        else if (after && (!best || d->metric < best->metric))
            best = d;
    }
    return best;
}

static void names_gather(struct names *s)
{
    const struct config_rule *r;
    unsigned at = 0;

    while ((r = rule_of_machine(&at)))
        names_rule(s, r, NULL);
    for (const struct device *d = names_next(NULL); d; d = names_next(d))
        names_device(s, d);
}

/* ---- time servers ---- */

struct clocks {
    struct address_list list;
    char names[CONFIG_DOMAIN];
};

static void clocks_rule(struct clocks *c, const struct config_rule *r)
{
    for (unsigned i = 0; i < r->ntp.n; i++)
        address_list_add(&c->list, &r->ntp.item[i]);
    domains_add(c->names, r->ntp_names);
}

static void clocks_device(struct clocks *c, const struct device *d)
{
    clocks_rule(c, d->rule);
    for (unsigned i = 0; d->is_set && i < d->set.ntp.n; i++) {
        struct address a = address_v4(d->set.ntp.item[i], 32);

        address_list_add(&c->list, &a);
    }
    for (unsigned i = 0; i < d->dhcp6.answer.ntp_n; i++) {
        struct address a = address_v6(d->dhcp6.answer.ntp[i], 128);

        address_list_add(&c->list, &a);
    }
    domains_add(c->names, d->dhcp6.answer.ntp_names);
}

static void clocks_gather(struct clocks *c)
{
    const struct config_rule *r;
    unsigned at = 0;

    while ((r = rule_of_machine(&at)))
        clocks_rule(c, r);
    for (const struct device *d = names_next(NULL); d; d = names_next(d))
        clocks_device(c, d);
}

/* Those that were given as addresses go before those of names. */
static void clocks_tell(const struct names *s)
{
    struct clocks c = {0};

    clocks_gather(&c);
    resolve_want(c.names, s->at, s->n);
    resolve_found(&c.list);
    clock_servers(&c.list, c.names[0]);
}

/* ---- what is written ---- */

static void names_write(const char *file, struct buf *text, struct buf *old)
{
    char *path;
    int err;

    if (old->data && old->len == text->len && !memcmp(old->data, text->data, text->len)) {
        buf_free(text);
        return;
    }
    path = str_fmt("%s/%s", netd.dir, file);
    err = file_renew(path, text->data, text->len, 0644);
    if (err)
        net_log("%s: %s", path, strerror(-err));
    free(path);
    buf_free(old);
    *old = *text;
}

static void names_resolver(const struct names *s)
{
    struct buf text = {0};

    buf_str(&text, "# of netd\n");
    for (unsigned i = 0; i < s->n; i++)
        buf_fmt(&text, "nameserver %s\n", s->servers[i]);
    if (s->search[0])
        buf_fmt(&text, "search %s\n", s->search);
    names_write("resolv.conf", &text, &names_resolv);
}

/* What of the configuration has no device, and what was not understood. */
static void names_wrong(struct jw *w)
{
    const struct config *c = &netd.config;
    const struct config_rule *r;
    unsigned at = 0;

    jw_array(w, "absent");
    while ((r = rule_absent(&at)))
        jw_str(w, NULL, r->device);
    jw_array_end(w);
    if (!c->wrong)
        return;
    jw_array(w, "wrong");
    for (unsigned i = 0; i < c->wrong && i < CONFIG_TOLD; i++)
        jw_str(w, NULL, c->why[i]);
    jw_array_end(w);
    jw_int(w, "more_wrong", c->wrong > CONFIG_TOLD ? c->wrong - CONFIG_TOLD : 0);
}

static void names_report(void)
{
    struct buf text = {0};
    struct jw w = {.out = &text};

    jw_object(&w, NULL);
    jw_array(&w, "devices");
    for (const struct device *d = netd.devices; d; d = d->next) {
        if (d->rule->off)
            continue;
        jw_object(&w, NULL);
        jw_str(&w, "name", d->name);
        jw_bool(&w, "static", d->rule->addresses.n > 0);
        lease_report(d, &w);
        v6_report(d, &w);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    clock_report(&w);
    names_wrong(&w);
    jw_object_end(&w);
    names_write("state.json", &text, &names_state);
}

const char *names_fixed_host(void)
{
    for (unsigned i = 0; i < netd.config.rules; i++) /* the machine's first */
        if (!netd.config.rule[i].device[0] && netd.config.rule[i].hostname[0])
            return netd.config.rule[i].hostname;
    for (unsigned i = 0; i < netd.config.rules; i++)
        if (netd.config.rule[i].hostname[0])
            return netd.config.rule[i].hostname;
    return "";
}

/* A host name that a server gives, unless there is a fixed one. */
static const char *names_hostname(void)
{
    if (*names_fixed_host())
        return "";
    for (const struct device *d = names_next(NULL); d; d = names_next(d))
        if (d->is_set && d->set.hostname[0])
            return d->set.hostname;
    return "";
}

static void names_host_set(void)
{
    const char *name = names_hostname();

    if (!*name || !strcmp(name, names_host))
        return;
    snprintf(names_host, sizeof(names_host), "%s", name);
    namer_set(name);
}

static void names_due(struct ev_timer *t)
{
    struct names s = {0};

    names_gather(&s);
    clocks_tell(&s);
    names_resolver(&s);
    names_report();
    names_host_set();
}

void names_changed(void)
{
    if (!names_timer.at)
        ev_timer_set(&names_timer, 0);
}

void names_start(void)
{
    names_timer.fn = names_due;
    names_changed();
}

void names_end(void)
{
    names_report();
}

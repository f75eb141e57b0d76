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
#include <unistd.h>

#include "netd/netd.h"
#include "netd/wire.h"
#include "lib/str.h"

#define RESOLVERS 3 /* what resolver(5) reads */

struct names {
    char servers[RESOLVERS][ADDRESS_TEXT + IFNAMSIZ];
    unsigned n;
    char search[CONFIG_DOMAIN];
};

static struct ev_timer names_timer;
static struct buf names_resolv, names_state; /* as written */
static char names_host[CONFIG_NAME];

static void names_server(struct names *s, const struct address *a, const struct device *d)
{
    char text[ADDRESS_TEXT + IFNAMSIZ];

    address_text(a, false, text);
    if (d && a->bytes[0] == 0xfe && a->bytes[1] >> 6 == 2) /* link-local */
        snprintf(text + strlen(text), IFNAMSIZ + 1, "%%%s", d->name);
    for (unsigned i = 0; i < s->n; i++)
        if (!strcmp(s->servers[i], text))
            return;
    if (s->n < RESOLVERS)
        strcpy(s->servers[s->n++], text);
}

static void names_search(struct names *s, const char *list)
{
    char one[CONFIG_DOMAIN];

    for (; *list; list += strcspn(list, " "), list += *list == ' ') {
        snprintf(one, sizeof(one), "%.*s", (int)strcspn(list, " "), list);
        domain_add(s->search, sizeof(s->search), one);
    }
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

static void clocks_add(struct address_list *l, const struct address_list *more)
{
    for (unsigned i = 0; i < more->n; i++)
        address_list_add(l, &more->item[i]);
}

static void clocks_device(struct address_list *l, const struct device *d)
{
    clocks_add(l, &d->rule->ntp);
    for (unsigned i = 0; d->is_set && i < d->set.ntp.n; i++) {
        struct address a = address_v4(d->set.ntp.item[i], 32);

        address_list_add(l, &a);
    }
    for (unsigned i = 0; i < d->dhcp6.answer.ntp_n; i++) {
        struct address a = address_v6(d->dhcp6.answer.ntp[i], 128);

        address_list_add(l, &a);
    }
}

static void clocks_gather(struct address_list *l)
{
    const struct config_rule *r;
    unsigned at = 0;

    while ((r = rule_of_machine(&at)))
        clocks_add(l, &r->ntp);
    for (const struct device *d = names_next(NULL); d; d = names_next(d))
        clocks_device(l, d);
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

static void names_report(void)
{
    struct buf text = {0};
    struct jw w = {.out = &text};

    jw_object(&w, NULL);
    jw_array(&w, "devices");
    for (const struct device *d = netd.devices; d; d = d->next) {
        jw_object(&w, NULL);
        jw_str(&w, "name", d->name);
        jw_bool(&w, "static", d->rule->addresses.n > 0);
        lease_report(d, &w);
        v6_report(d, &w);
        jw_object_end(&w);
    }
    jw_array_end(&w);
    clock_report(&w);
    jw_object_end(&w);
    names_write("state.json", &text, &names_state);
}

static const char *names_hostname(void)
{
    const struct config_rule *r;
    unsigned at = 0;

    while ((r = rule_of_machine(&at)))
        if (r->hostname[0])
            return r->hostname;
    for (const struct device *d = names_next(NULL); d; d = names_next(d))
        if (d->rule->hostname[0])
            return d->rule->hostname;
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
    struct address_list clocks = {0};
    struct names s = {0};

    names_gather(&s);
    clocks_gather(&clocks);
    clock_servers(&clocks);
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

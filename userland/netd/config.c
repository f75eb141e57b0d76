// SPDX-License-Identifier: MIT
// The network's configuration as text; see config.h for the grammar.
#include "netd/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/str.h"

#define CONFIG_WORD 256 /* one word of a rule, with its value */
#define IP_FIELDS 10    /* of Linux's ip= */

static void config_why(struct config *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void config_why(struct config *c, const char *fmt, ...)
{
    char *why, *s;
    va_list ap;

    if (c->wrong++ >= CONFIG_TOLD)
        return;
    s = why = c->why[c->wrong - 1];
    if (c->line)
        s += snprintf(why, sizeof(c->why[0]), "line %u of the file: ", c->line);
    va_start(ap, fmt);
    vsnprintf(s, sizeof(c->why[0]) - (size_t)(s - why), fmt, ap);
    va_end(ap);
    for (s = why; *s; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
            *s = '?';
}

bool hostname_ok(const char *s)
{
    size_t n = strlen(s);

    if (!n || n >= CONFIG_NAME || s[0] == '-' || s[0] == '.' || s[n - 1] == '-' || s[n - 1] == '.')
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == n &&
           !strstr(s, "..");
}

bool address_list_add(struct address_list *l, const struct address *a)
{
    for (unsigned i = 0; i < l->n; i++)
        if (address_same(&l->item[i], a))
            return true;
    if (l->n == CONFIG_LIST)
        return false;
    l->item[l->n++] = *a;
    return true;
}

/* ---- the words of a rule ---- */

static bool word_address(const char *value, struct address_list *l)
{
    struct address a;

    return address_parse(value, strlen(value), false, &a) && address_list_add(l, &a);
}

/* An interface's own: one that a host may have, in a network of some length. */
static bool address_is_hosts(const struct address *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff}, none[15];

    if (!a->prefix)
        return false;
    if (a->family == AF_INET)
        return address_v4_usable(address_u32(a));
    return a->bytes[0] != 0xff && memcmp(a->bytes, mapped, 12) &&
           (memcmp(a->bytes, none, 15) || a->bytes[15] > 1);
}

/* Its prefix is never left out: what stands behind dns=A, would become one of ours. */
static bool word_own_address(const char *value, struct address_list *l)
{
    struct address a;

    return strchr(value, '/') && address_parse(value, strlen(value), true, &a) &&
           address_is_hosts(&a) && address_list_add(l, &a);
}

static bool word_number(const char *value, uint64_t least, uint64_t most, uint32_t *out)
{
    uint64_t v;

    if (!str_u64(value, &v) || v < least || v > most)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool word_name(const char *value, char *out)
{
    if (!*value || strlen(value) >= CONFIG_NAME)
        return false;
    strcpy(out, value);
    return true;
}

static bool word_gw(struct config_rule *r, const char *v)
{
    return word_address(v, &r->gateways);
}

static bool word_dns(struct config_rule *r, const char *v)
{
    return word_address(v, &r->dns);
}

static bool word_domain(const char *v, char list[CONFIG_DOMAIN])
{
    size_t at = strlen(list);

    if (!hostname_ok(v) || at + strlen(v) + 2 > CONFIG_DOMAIN)
        return false;
    snprintf(list + at, CONFIG_DOMAIN - at, "%s%s", at ? " " : "", v);
    return true;
}

/* What ends in a number is an address or none (RFC 3696 2). */
static bool word_ntp(struct config_rule *r, const char *v)
{
    const char *dot = strrchr(v, '.'), *last = dot ? dot + 1 : v;

    if (last[strspn(last, "0123456789")])
        return word_address(v, &r->ntp) || word_domain(v, r->ntp_names);
    return word_address(v, &r->ntp);
}

static bool word_search(struct config_rule *r, const char *v)
{
    return word_domain(v, r->search);
}

static bool word_mtu(struct config_rule *r, const char *v)
{
    return word_number(v, 68, 65535, &r->mtu);
}

static bool word_metric(struct config_rule *r, const char *v)
{
    return word_number(v, 1, UINT32_MAX, &r->metric);
}

static bool word_vlan(struct config_rule *r, const char *v)
{
    uint32_t n;

    if (!word_number(v, 1, 4094, &n))
        return false;
    r->vlan = (uint16_t)n;
    return true;
}

static bool word_hostname(struct config_rule *r, const char *v)
{
    return hostname_ok(v) && word_name(v, r->hostname);
}

static bool word_stable(struct config_rule *r, const char *v)
{
    return word_name(v, r->stable);
}

static const struct {
    const char *key;
    bool (*set)(struct config_rule *r, const char *value);
} config_keys[] = {
    {"gw", word_gw},         {"dns", word_dns},           {"ntp", word_ntp},
    {"search", word_search}, {"mtu", word_mtu},           {"metric", word_metric},
    {"vlan", word_vlan},     {"hostname", word_hostname}, {"stable", word_stable},
};

/* What the single words ask for, as far as a rule has been read. */
struct rule_words {
    bool dhcp, ra, nora;
};

static bool config_pair(struct config_rule *r, const char *word, const char *equals)
{
    for (size_t i = 0; i < sizeof(config_keys) / sizeof(config_keys[0]); i++)
        if (strlen(config_keys[i].key) == (size_t)(equals - word) &&
            !memcmp(config_keys[i].key, word, (size_t)(equals - word)))
            return config_keys[i].set(r, equals + 1);
    return false;
}

static bool config_word(struct config_rule *r, struct rule_words *words, const char *word)
{
    const char *equals = strchr(word, '=');

    if (equals)
        return config_pair(r, word, equals);
    if (!strcmp(word, "dhcp"))
        words->dhcp = true;
    else if (!strcmp(word, "ra"))
        words->ra = true;
    else if (!strcmp(word, "nora"))
        words->nora = true;
    else if (!strcmp(word, "off"))
        r->off = true;
    else
        return word_own_address(word, &r->addresses);
    return true;
}

/* Whether the first word of a rule names a device; else the device is left out. */
static bool word_is_device(const char *word)
{
    struct config_rule r = {0};
    struct rule_words words;

    return !strchr(word, '=') && !config_word(&r, &words, word);
}

/* A pattern of what can be seen: a file may begin with a mark of its encoding. */
static bool word_device(const char *word, char *out)
{
    for (const char *s = word; *s; s++)
        if ((unsigned char)*s < 0x21 || (unsigned char)*s > 0x7e)
            return false;
    return word_name(word, out);
}

/* Whether something in it makes no sense for a machine as a whole. */
static bool rule_is_of_devices(const struct config_rule *r, const struct rule_words *w)
{
    return w->dhcp || w->ra || w->nora || r->off || r->addresses.n || r->gateways.n || r->mtu ||
           r->metric || r->stable[0];
}

/* The next word of [*at, end), up to a comma (or a blank, in a file): false at the end. A word that
 * is too long comes cut, with *whole false. */
static bool config_next_word(const char **at, const char *end, char *out, bool *whole)
{
    size_t n = 0;

    *whole = true;
    while (*at < end && strchr(", \t\r", **at))
        (*at)++;
    for (; *at < end && !strchr(", \t\r", **at); (*at)++) {
        if (n < CONFIG_WORD - 1)
            out[n++] = **at;
        else
            *whole = false;
    }
    out[n] = 0;
    return n > 0;
}

static void config_add(struct config *c, const struct config_rule *r)
{
    if (c->rules == CONFIG_RULES)
        config_why(c, "more than %d rules", CONFIG_RULES);
    else
        c->rule[c->rules++] = *r;
}

static void config_rule_text(struct config *c, const char *at, const char *end)
{
    struct config_rule r = {0};
    struct rule_words words = {0};
    char word[CONFIG_WORD];
    bool whole, first = true;

    for (; config_next_word(&at, end, word, &whole); first = false) {
        if (first && word_is_device(word)) {
            if (!word_device(word, r.device)) {
                config_why(c, "no device: %s", word);
                return;
            }
        } else if (!whole || !config_word(&r, &words, word)) {
            config_why(c, "not understood: %s", word);
        }
    }
    if (first)
        return;
    if (r.vlan && !r.device[0])
        config_why(c, "vlan=%u without a device", r.vlan);
    if (!r.device[0] && rule_is_of_devices(&r, &words)) {
        strcpy(r.device, "*");
        r.single = r.addresses.n;
    }
    r.dhcp = words.dhcp || !r.addresses.n;
    r.ra = !words.nora && (words.ra || r.dhcp);
    config_add(c, &r);
}

/* ---- ip= ---- */

/* Fields between colons; those in brackets do not count. How many, at most n. */
static unsigned ip_fields(const char *at, const char *end, char out[][CONFIG_WORD], unsigned n)
{
    unsigned count = 1;
    bool bracket = false;
    size_t len = 0;

    memset(out, 0, n * CONFIG_WORD);
    for (; at < end; at++) {
        if (*at == '[' || *at == ']')
            bracket = *at == '[';
        if (*at == ':' && !bracket) {
            if (++count > n)
                return n;
            len = 0;
        } else if (len < CONFIG_WORD - 1) {
            out[count - 1][len++] = *at;
        }
    }
    return count;
}

static bool ip_is_dhcp(const char *s)
{
    return !strcmp(s, "dhcp") || !strcmp(s, "on") || !strcmp(s, "any") || !strcmp(s, "both") ||
           !strcmp(s, "auto6") || !strcmp(s, "dhcp6");
}

static bool ip_is_off(const char *s)
{
    return !strcmp(s, "off") || !strcmp(s, "none") || !strcmp(s, "static");
}

/* The networks of classes, which Linux takes where no mask is given. */
static unsigned ip_class_prefix(const struct address *a)
{
    if (a->family == AF_INET6)
        return 64;
    return a->bytes[0] < 128 ? 8 : a->bytes[0] < 192 ? 16 : 24;
}

static bool ip_mask(const char *text, struct address *client)
{
    uint32_t bits;
    struct address mask;
    int prefix;

    client->prefix = (uint8_t)ip_class_prefix(client);
    if (!*text)
        return true;
    if (word_number(text, 0, 8 * address_size(client), &bits)) {
        client->prefix = (uint8_t)bits;
        return true;
    }
    if (client->family != AF_INET || !address_parse(text, strlen(text), false, &mask) ||
        mask.family != AF_INET)
        return false;
    prefix = address_mask_prefix(address_u32(&mask));
    client->prefix = (uint8_t)prefix;
    return prefix >= 0;
}

static bool ip_addresses(struct config_rule *r, char f[][CONFIG_WORD])
{
    struct address client;

    if (f[0][0]) {
        if (!address_parse(f[0], strlen(f[0]), false, &client) || !ip_mask(f[3], &client) ||
            !address_is_hosts(&client))
            return false;
        address_list_add(&r->addresses, &client);
    }
    if (f[2][0] && !word_gw(r, f[2]))
        return false;
    return (!f[7][0] || word_dns(r, f[7])) && (!f[8][0] || word_dns(r, f[8])) &&
           (!f[9][0] || word_ntp(r, f[9]));
}

static bool ip_rule(struct config_rule *r, char f[][CONFIG_WORD], unsigned n)
{
    if (n == 1 && (ip_is_dhcp(f[0]) || ip_is_off(f[0]))) {
        strcpy(r->device, "*");
        r->off = ip_is_off(f[0]);
        r->dhcp = r->ra = !r->off;
        return true;
    }
    if (n == 2 && (ip_is_dhcp(f[1]) || ip_is_off(f[1]))) {
        r->off = ip_is_off(f[1]);
        r->dhcp = r->ra = !r->off;
        return word_name(f[0], r->device);
    }
    if (!word_name(f[5][0] ? f[5] : "*", r->device) || !ip_addresses(r, f))
        return false;
    r->single = !f[5][0] && r->addresses.n;
    if (f[4][0] && !word_hostname(r, f[4]))
        return false;
    if (f[6][0] && !ip_is_dhcp(f[6]) && !ip_is_off(f[6]))
        return false;
    r->dhcp = r->ra = f[6][0] ? ip_is_dhcp(f[6]) : !r->addresses.n;
    r->off = !r->dhcp && !r->addresses.n;
    return true;
}

static void config_ip(struct config *c, const char *at, const char *end)
{
    char fields[IP_FIELDS][CONFIG_WORD];
    struct config_rule r = {0};
    unsigned n = ip_fields(at, end, fields, IP_FIELDS);

    if (ip_rule(&r, fields, n))
        config_add(c, &r);
    else
        config_why(c, "not understood: ip=%.*s", (int)(end - at < 80 ? end - at : 80), at);
}

/* ---- the whole ---- */

void config_init(struct config *c)
{
    memset(c, 0, sizeof(*c));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0;
}

void config_cmdline(struct config *c, const char *text, size_t len)
{
    const char *end = text + len, *word;

    while (text < end) {
        for (word = text; text < end && !is_blank(*text); text++)
            ;
        if (text - word > 10 && !memcmp(word, "bothy.net=", 10))
            config_rule_text(c, word + 10, text);
        else if (text - word > 3 && !memcmp(word, "ip=", 3))
            config_ip(c, word + 3, text);
        while (text < end && is_blank(*text))
            text++;
    }
}

void config_file(struct config *c, const char *text, size_t len)
{
    const char *end = text + len;

    while (text < end) {
        const char *line = memchr(text, '\n', (size_t)(end - text));
        const char *stop = line ? line : end, *comment = memchr(text, '#', (size_t)(stop - text));

        c->line++;
        if (memchr(text, 0, (size_t)(stop - text)))
            config_why(c, "a line of the file holds a NUL");
        else
            config_rule_text(c, text, comment ? comment : stop);
        text = line ? line + 1 : end;
    }
}

void config_finish(struct config *c)
{
    struct config_rule all = {.device = "*", .dhcp = true, .ra = true};

    c->line = 0;
    for (unsigned i = 0; i < c->rules; i++)
        if (c->rule[i].device[0])
            return;
    config_add(c, &all);
}

/* Shell patterns of * and ?, without regard to case: one star at a time is enough. */
static bool glob(const char *p, const char *s)
{
    const char *star = NULL, *from = NULL;

    while (*s) {
        if (*p == '*') {
            star = p++;
            from = s;
        } else if (*p && (*p == '?' || (*p | 32) == (*s | 32))) {
            p++;
            s++;
        } else if (star) {
            p = star + 1;
            s = ++from;
        } else {
            return false;
        }
    }
    while (*p == '*')
        p++;
    return !*p;
}

bool config_fits(const struct config_rule *r, const char *name, const uint8_t mac[6])
{
    char text[18];

    if (!r->device[0] || glob(r->device, name))
        return r->device[0];
    if (!mac)
        return false;
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    return glob(r->device, text);
}

const struct config_rule *config_for(const struct config *c, const char *name, const uint8_t mac[6])
{
    for (unsigned i = 0; i < c->rules; i++)
        if (!c->rule[i].vlan && config_fits(&c->rule[i], name, mac))
            return &c->rule[i];
    return NULL;
}

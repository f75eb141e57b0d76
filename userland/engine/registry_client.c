// SPDX-License-Identifier: MIT
// Requests to one registry: challenges, tokens, redirects, and its errors in Docker's words.
//
// Credentials and tokens go to the registry's own origin alone; a redirect to another gets none.
// The token server is whom the registry names, as the protocol has it, but a registry that is
// reached by https cannot send the password to one that is not. Wherever a registry sends us, by
// redirects, tokens' realms or places for uploads, is no nearer than it is itself (fetch.h): not
// this machine, if it is elsewhere; and never plain HTTP from https. Where it is, its first
// connection tells: what its name means later is its own word as well.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ctype.h>

#include "engine/registry.h"
#include "lib/base64.h"
#include "lib/challenge.h"
#include "lib/str.h"

#define REGISTRY_REDIRECTS 10
#define REGISTRY_PATIENCE 10 /* times the usual, after an upload */
#define REGISTRY_ERROR_MAX (64u * 1024)
#define REGISTRY_TOKEN_MAX (64u * 1024)
#define REGISTRY_AGENT "docker/Bothy-" ENGINE_VERSION

void registry_open(struct registry *r, const char *url, const char *actions, bool trusted)
{
    size_t n;

    *r =
        (struct registry){.path = registry_order_read.path, .actions = actions, .trusted = trusted};
    fetch_init(&r->f, registry_order_read.proxy, registry_order_read.no_proxy, REGISTRY_AGENT);
    r->f.idle_ms = registry_order_read.idle_ms;
    r->f.dial = registry_dialer >= 0 ? registry_dial : NULL;
    if (!url || url_parse(&r->base, url))
        registry_fail(400, "invalid registry URL: %.200s", url ? url : "");
    n = strlen(r->base.target);
    while (n && r->base.target[n - 1] == '/') /* what stands before /v2/ */
        r->base.target[--n] = 0;
}

void registry_close(struct registry *r)
{
    fetch_close(&r->f);
    str_forget(r->token);
    r->token = NULL;
}

/* "Get "http://...": why", as Go's client has it. */
static int registry_broken(struct registry *r, const char *method, const struct url *u)
{
    struct buf b = {0};

    url_write(&b, u);
    snprintf(r->why, sizeof(r->why), "%c%s \"%.400s\": %s", method[0],
             !strcmp(method, "GET")    ? "et"
             : !strcmp(method, "HEAD") ? "ead"
             : !strcmp(method, "POST") ? "ost"
             : !strcmp(method, "PUT")  ? "ut"
                                       : "atch",
             b.data, r->f.why);
    buf_free(&b);
    *r->code = 0;
    return -1;
}

/* How near an address may be. It is met before it can send us anywhere. */
static enum fetch_place registry_nearest(const struct registry *r)
{
    return r->met ? r->place : FETCH_LOCAL;
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* "manifest unknown: what it says", from {"errors":[{"code","message"}]} or {"details"}. */
static bool registry_error_of(struct registry *r, const struct json *j)
{
    const struct json *e = json_list(j, "errors");
    const char *code = json_str(e, "code"), *message = json_str(e, "message");
    size_t n = 0;

    if (!code && r->f.head.status == 401 && json_str(j, "details")) { /* a token server's */
        code = "UNAUTHORIZED";
        message = json_str(j, "details");
    }
    if (!code)
        return false;
    snprintf(r->code, sizeof(r->code), "%s", code);
    for (; r->code[n]; n++)
        r->why[n] = r->code[n] == '_' ? ' ' : (char)tolower((unsigned char)r->code[n]);
    snprintf(r->why + n, sizeof(r->why) - n, ": %s", message ? message : "");
    return true;
}

/* The HTTPS proxy could not reach the registry, or did not trust it: it says why in a line. */
static bool registry_proxy_failed(struct registry *r)
{
    const char *type = http_header(&r->f.head, "Content-Type");
    struct buf text = {0};
    struct url u;

    if (!r->f.url.https || r->f.head.status != 502 || !type || !str_starts(type, "text/plain") ||
        fetch_read_all(&r->f, &text, REGISTRY_ERROR_MAX))
        return false;
    snprintf(r->f.why, sizeof(r->f.why), "%.*s", text.len ? (int)strcspn(text.data, "\r\n") : 0,
             text.len ? text.data : "");
    u = r->f.url;
    fetch_done(&r->f);
    registry_broken(r, r->f.method, &u);
    buf_free(&text);
    return true;
}

/* The answer at hand is an error. */
static int registry_refused(struct registry *r)
{
    int status = r->f.head.status;
    struct buf text = {0};
    struct json *j = NULL;

    if (registry_proxy_failed(r))
        return -1;

    *r->code = 0;
    r->fatal = status < 500 && status != 429 && status != 408;
    r->busy = status == 429 || (status >= 502 && status <= 504);
    if (fetch_read_all(&r->f, &text, REGISTRY_ERROR_MAX) == 0 && text.len)
        j = json_parse(text.data, text.len, NULL);
    if (!j || !registry_error_of(r, j)) {
        const char *word = status == 401   ? "unauthorized: authentication required"
                           : status == 403 ? "denied: requested access to the resource is denied"
                           : status == 404 ? "not found"
                           : status == 429 ? "toomanyrequests: the registry asks for patience"
                                           : NULL;

        snprintf(r->code, sizeof(r->code), "%s",
                 status == 401   ? "UNAUTHORIZED"
                 : status == 403 ? "DENIED"
                                 : "");
        if (word)
            snprintf(r->why, sizeof(r->why), "%s", word);
        else
            snprintf(r->why, sizeof(r->why), "received unexpected HTTP status: %d", status);
    }
    json_free(j);
    buf_free(&text);
    fetch_done(&r->f);
    return -1;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* One of the credentials, or NULL. */
static const char *registry_credential(const struct registry *r, const char *name)
{
    return r->trusted ? json_str(registry_secret(), name) : NULL;
}

static const char *registry_user(const struct registry *r)
{
    const char *user = registry_credential(r, "username");

    return user && *user ? user : NULL;
}

static void registry_basic(const struct registry *r, struct buf *headers)
{
    const char *password = registry_credential(r, "password");
    char *both = str_fmt("%s:%s", registry_user(r), password ? password : "");

    buf_str(headers, "Authorization: Basic ");
    base64_encode(headers, both, strlen(both));
    buf_str(headers, "\r\n");
    free(both);
}

static void registry_form(struct buf *b, const char *name, const char *value)
{
    buf_fmt(b, "%s%s=", b->len ? "&" : "", name);
    url_encode(b, value);
}

/* What is asked for, as the token server has it. */
static void registry_scopes(const struct registry *r, const struct challenge *c, struct buf *b)
{
    char *scope = NULL;

    if (*c->service)
        registry_form(b, "service", c->service);
    if (r->path && r->actions) {
        scope = str_fmt("repository:%s:%s", r->path, r->actions);
        registry_form(b, "scope", scope);
        free(scope);
    } else if (*c->scope) {
        registry_form(b, "scope", c->scope);
    }
    if (r->from) {
        scope = str_fmt("repository:%s:pull", r->from);
        registry_form(b, "scope", scope);
        free(scope);
    }
}

/* A token is a word: what is none would be a header of its own. */
static bool registry_token_ok(const char *token)
{
    for (const char *p = token; p && *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p > 126)
            return false;
    return token && *token;
}

/* The request for a token: with an identity token, by POST, as OAuth has it. 0 or -errno. */
static int registry_ask_token(struct registry *r, struct fetch *f, const struct challenge *c,
                              const struct url *realm)
{
    const char *identity = registry_credential(r, "identitytoken");
    static struct url u;
    struct buf form = {0}, headers = {0};
    int err;

    u = *realm;
    registry_scopes(r, c, &form);
    if (identity && *identity) {
        registry_form(&form, "grant_type", "refresh_token");
        registry_form(&form, "refresh_token", identity);
        registry_form(&form, "client_id", "docker");
        err = fetch_open(f, "POST", &u, "Content-Type: application/x-www-form-urlencoded\r\n",
                         form.len);
        err = err ? err : fetch_write(f, form.data, form.len);
    } else {
        if (registry_user(r)) {
            registry_form(&form, "account", registry_user(r));
            registry_basic(r, &headers);
        }
        if (form.len && strlen(u.target) + form.len + 2 < sizeof(u.target)) {
            strcat(u.target, strchr(u.target, '?') ? "&" : "?");
            strcat(u.target, form.data);
        }
        err = fetch_open(f, "GET", &u, headers.data, 0);
    }
    buf_free(&form);
    buf_free(&headers);
    return err;
}

static int registry_take_token(struct registry *r, const struct buf *text)
{
    struct json *j = text->len ? json_parse(text->data, text->len, NULL) : NULL;
    const char *token = json_str(j, "token");

    token = token && *token ? token : json_str(j, "access_token");
    free(r->token);
    r->token = registry_token_ok(token) ? str_dup(token) : NULL;
    json_free(j);
    if (r->token)
        return 0;
    snprintf(r->why, sizeof(r->why), "the authorization server did not include a token");
    return -1;
}

/* Has the token server give r->token: 0 or -1. */
static int registry_new_token(struct registry *r, const struct challenge *c)
{
    static struct url realm;
    struct fetch *f = mem_alloc(sizeof(*f)), kept;
    struct buf text = {0};
    int status;

    if (url_parse(&realm, c->realm) || (r->base.https && !realm.https)) {
        snprintf(r->why, sizeof(r->why), "no token is asked for at %.300s", c->realm);
        free(f);
        return -1;
    }
    fetch_init(f, r->f.proxy, r->f.hint, r->f.agent);
    f->idle_ms = r->f.idle_ms;
    f->dial = r->f.dial;
    f->nearest = registry_nearest(r);
    status = registry_ask_token(r, f, c, &realm);
    status = status ? status : fetch_answer(f);
    kept = r->f; /* whose words registry_refused and registry_broken use */
    r->f = *f;
    if (status < 0)
        registry_broken(r, "GET", &realm);
    else if (status >= 400)
        registry_refused(r);
    else if (status != 200 || fetch_read_all(&r->f, &text, REGISTRY_TOKEN_MAX))
        snprintf(r->why, sizeof(r->why), "the authorization server's answer is unreadable");
    else
        status = registry_take_token(r, &text);
    fetch_close(&r->f);
    r->f = kept;
    buf_free(&text);
    free(f);
    return status == 0 ? 0 : -1;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* What a 401 asks for, if we can: 1, or -1 with `why`. */
static int registry_challenge(struct registry *r, const char *method, const struct url *u)
{
    static struct challenge c;
    const char *given = registry_credential(r, "registrytoken");

    c = (struct challenge){0};
    for (int i = 0; i < r->f.head.nheaders; i++)
        if (str_case_eq(r->f.head.headers[i].name, "WWW-Authenticate"))
            challenge_add(&c, r->f.head.headers[i].value);
    if (c.bearer && given && *given && registry_token_ok(given)) {
        free(r->token);
        r->token = str_dup(given);
    } else if (c.bearer) {
        if (registry_new_token(r, &c))
            return -1;
    } else if (c.basic && registry_user(r)) {
        r->basic = true;
    } else if (c.basic) {
        fetch_done(&r->f);
        snprintf(r->f.why, sizeof(r->f.why), "no basic auth credentials");
        registry_broken(r, method, u);
        snprintf(r->code, sizeof(r->code), "UNAUTHORIZED");
        r->fatal = true;
        return -1;
    } else {
        return registry_refused(r);
    }
    fetch_done(&r->f);
    return 1;
}

static int registry_open_request(struct registry *r, const char *method, const struct url *u,
                                 const char *headers, uint64_t length)
{
    bool own = url_same_origin(u, &r->base);
    struct buf b = {0};
    int err;

    buf_str(&b, headers ? headers : "");
    if (own) {
        if (r->basic)
            registry_basic(r, &b);
        else if (r->token)
            buf_fmt(&b, "Authorization: Bearer %s\r\n", r->token);
    }
    r->f.nearest = registry_nearest(r);
    err = fetch_open(&r->f, method, u, b.data, length);
    if (own && !err && !r->met) {
        r->place = r->f.place;
        r->met = true;
    }
    if (err == -EACCES) /* it sent us where we do not go */
        r->fatal = true;
    buf_free(&b);
    return err;
}

/* Where a redirect leads: 0, or -1 with `why`. */
static int registry_redirect(struct registry *r, struct url *u)
{
    const char *location = http_header(&r->f.head, "Location");
    bool https = u->https;

    if (!location || url_resolve(u, u, location))
        snprintf(r->why, sizeof(r->why), "the registry redirects to an unusable place: %.200s",
                 location ? location : "none");
    else if (https && !u->https)
        snprintf(r->why, sizeof(r->why), "the registry redirects from https to http");
    else
        return 0;
    *r->code = 0;
    r->fatal = true;
    return -1;
}

static bool registry_redirects(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Whether a redirect of such a request is followed: what is sent twice would be done twice. */
static bool registry_follows(const char *method)
{
    return !strcmp(method, "GET") || !strcmp(method, "HEAD");
}

/* The target below the registry's own path. */
static bool registry_url(const struct registry *r, struct url *u, const char *target)
{
    *u = r->base;
    if (strlen(u->target) + strlen(target) >= sizeof(u->target))
        return false;
    strcat(u->target, target);
    return true;
}

int registry_request(struct registry *r, const char *method, const char *target,
                     const char *headers)
{
    static struct url u;
    bool asked = false;

    r->fatal = r->busy = false;
    if (!registry_url(r, &u, target)) {
        snprintf(r->why, sizeof(r->why), "the name is too long");
        return -1;
    }
    for (int hops = 0; hops <= REGISTRY_REDIRECTS;) {
        int status = registry_open_request(r, method, &u, headers, 0);

        status = status ? status : fetch_answer(&r->f);
        if (status < 0)
            return registry_broken(r, method, &u);
        if (status == 401 && !asked && url_same_origin(&u, &r->base)) {
            asked = true;
            if (registry_challenge(r, method, &u) < 0)
                return -1;
        } else if (registry_redirects(status) && registry_follows(method)) {
            hops++;
            if (registry_redirect(r, &u))
                return -1;
            fetch_done(&r->f);
        } else {
            return status >= 400 || (status >= 300 && status != 304) ? registry_refused(r) : status;
        }
    }
    snprintf(r->why, sizeof(r->why), "stopped after %d redirects", REGISTRY_REDIRECTS);
    r->fatal = true;
    return -1;
}

int registry_send(struct registry *r, const char *method, const struct url *url,
                  const char *headers, const void *body, uint64_t length)
{
    for (int tries = 0; tries < 2; tries++) {
        int status = registry_open_request(r, method, url, headers, length);

        if (status < 0)
            return registry_broken(r, method, url);
        if (!body && length)
            return 0;
        status = length ? fetch_write(&r->f, body, (size_t)length) : 0;
        status = status ? status : fetch_answer(&r->f);
        if (status < 0)
            return registry_broken(r, method, url);
        if (status != 401 || tries || !url_same_origin(url, &r->base))
            return status >= 300 ? registry_refused(r) : status;
        if (registry_challenge(r, method, url) < 0)
            return -1;
    }
    return -1;
}

/* What it has been sent it may have to move and to sum up first. */
int registry_answer(struct registry *r)
{
    int status;

    r->f.idle_ms *= REGISTRY_PATIENCE;
    status = fetch_answer(&r->f);
    r->f.idle_ms /= REGISTRY_PATIENCE;
    if (status < 0)
        return registry_broken(r, r->f.method, &r->f.url);
    return status >= 300 ? registry_refused(r) : status;
}

int registry_text(struct registry *r, const char *target, const char *headers, size_t max,
                  struct buf *out)
{
    int status = registry_request(r, "GET", target, headers);

    if (status < 0)
        return -1;
    buf_clear(out);
    if (fetch_read_all(&r->f, out, max))
        return registry_broken(r, "GET", &r->f.url);
    fetch_done(&r->f);
    return 0;
}

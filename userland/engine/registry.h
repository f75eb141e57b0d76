// SPDX-License-Identifier: MIT
// Registries: which one a name means, how it is reached, and what a worker asks of it.
//
// The engine's side (registry.c, api_pull.c, api_push.c, api_auth.c) makes an order, a JSON text,
// and a job of one of the roles `pull`, `push`, `registry`. The worker's side (registry_worker.c,
// registry_client.c, pull_*.c, push_*.c) is the only code that talks to the network: in a root
// of its own, with no more rights than unpacking takes, killed when no client waits for it.
//
// Plain HTTP is for registries at loopback addresses and for those that are named insecure; all
// others are https, which the engine leaves to a proxy behind a unix socket (lib/fetch.h).
#pragma once

#include "engine/engine.h"
#include "lib/fetch.h"
#include "lib/sha256.h"

#define REGISTRY_MANIFEST_MAX (4u * 1024 * 1024)
#define REGISTRY_ORDER_MAX (2u * 1024 * 1024)
#define REGISTRY_AUTH_MAX (32u * 1024) /* of a client's header */
#define REGISTRY_LIST_MAX 16           /* mirrors; insecure registries */
#define REGISTRY_ENDPOINTS (REGISTRY_LIST_MAX + 1)

/* ---- the engine's side (registry.c) ---------------------------------------------------------- */

/* One of the engine's options: 0, -ENOENT when it is another, -EINVAL when its value is no good. */
int registry_option(const char *name, const char *value);
/* The same of words `bothy.NAME=` of a kernel's command line; of each that is no good, bad is told.
 */
void registry_options_of_boot(const char *file, void (*bad)(const char *word, const char *value));

/* A reference's parts; its strings are the struct's. */
struct registry_name {
    char *host; /* "docker.io" when it names none */
    char *path; /* "library/busybox" */
    char *repo; /* the short form, without tag and digest */
    char *tag;  /* or NULL */
    char *digest;
};
/* Of a normalized reference; with `all`, it has no tag. */
void registry_name_parse(struct registry_name *n, const char *ref);
void registry_name_free(struct registry_name *n);
/* What comes before an order: a line of credentials, empty for none (NULL). */
void registry_order_auth(struct buf *b, const struct json *auth);
/* What a worker needs to reach it, as members of an object that is open. */
void registry_order(struct jw *w, const struct registry_name *n);
/* A client's X-Registry-Auth: false when it is there and unreadable. NULL in *out when empty. */
bool registry_auth(const struct http_head *req, struct json **out);

/* ---- the worker's side ----------------------------------------------------------------------- */

/* registry_worker.c. What the worker has to tell is lines of JSON on its report; the last one says
 * how it ended: {"error":S,"code":HTTP's} or a result. */
struct registry_order {
    struct json *text;
    const char *host, *path, *repo, *tag, *digest;
    const char *proxy, *no_proxy; /* no_proxy: why there is none */
    int idle_ms;
    struct json *endpoints; /* the first of a list of {"Url","Mirror"} */
};
extern struct registry_order registry_order_read;
#define REGISTRY_PROXY "/https" /* its socket, in the worker's root */

_Noreturn void registry_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void registry_say(struct buf *line); /* one line; takes the bytes */
int worker_pull(char **argv);
int worker_push(char **argv);
int worker_registry(char **argv);
/* Reads the order, and makes `dir` the worker's root, in which names can be resolved. What it may
 * do from then on: talk to a registry; all, until it calls registry_forgo(); or what
 * unpacking takes, and have processes that talk. */
/* registry_secret.c. */
int registry_secret_read(int fd);         /* 0 or -errno */
const struct json *registry_secret(void); /* NULL: there is none */
void registry_secret_forget(void);        /* by who has not asked for it */
/* registry_rights.c. Of descriptors above 2 those in `keep` stay. Ends the process when it cannot
 * be done. */
void registry_forgo(const int *keep, size_t n);
int registry_filter(void); /* its filter of system calls alone: 0 or -errno */
/* registry_dial.c: connections to the proxy, also for processes without rights. */
extern int registry_dialer; /* -1: there is none */
void registry_dialer_start(void);
int registry_dial(int timeout_ms);
enum registry_rights { REGISTRY_ASKS, REGISTRY_FORGOES, REGISTRY_UNPACKS };
void registry_begin(const char *dir, enum registry_rights rights);

/* registry_client.c: one registry, with what it has been told of who asks. */
struct registry {
    struct fetch f;
    struct url base; /* credentials go there alone */
    const char *path;
    const char *actions;    /* "pull" or "pull,push" */
    bool trusted;           /* it may have the order's credentials */
    const char *from;       /* a second repository to be read, or NULL */
    bool basic;             /* it wants that */
    bool met;               /* a connection has told `place` */
    enum fetch_place place; /* where it is: it sends us no nearer */
    char *token;
    char code[64];  /* of the last error answer, "MANIFEST_UNKNOWN"; or "" */
    char why[1024]; /* of the last failure */
    bool fatal;     /* it would be the same the next time */
    bool busy;      /* it says that it may not be, soon */
};

void registry_open(struct registry *r, const char *url, const char *actions, bool trusted);
void registry_close(struct registry *r);
/* Sends one request, follows challenges and, of GET and HEAD, redirects, and waits for the answer's
 * head. The status
 * below 400, or -1 with `why` (and `code`); the content is to be read from r->f. */
int registry_request(struct registry *r, const char *method, const char *target,
                     const char *headers);
/* The same for an upload's URL, without redirects. `body` of `len` bytes, or NULL with `length` of
 * what the caller writes: then the answer is not waited for; registry_answer() does. */
int registry_send(struct registry *r, const char *method, const struct url *url,
                  const char *headers, const void *body, uint64_t length);
int registry_answer(struct registry *r);
/* A whole text: 0, or -1 with `why`. */
int registry_text(struct registry *r, const char *target, const char *headers, size_t max,
                  struct buf *out);

/* manifest.c: pure. */
struct manifest_blob {
    char digest[ID_LEN + 1];
    uint64_t size;
    const char *type; /* its media type, or NULL */
};
struct manifest {
    bool list;
    struct manifest_blob config;
    struct manifest_blob layers[LAYERS_MAX];
    size_t nlayers;
};
#define MANIFEST_ACCEPT                                              \
    "Accept: application/vnd.docker.distribution.manifest.v2+json, " \
    "application/vnd.docker.distribution.manifest.list.v2+json, "    \
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json\r\n"
/* NULL, or what is wrong with it; *m refers to `j`. */
const char *manifest_read(struct manifest *m, const struct json *j);
/* The entry of a list for this machine, whose processor has level `cpu` (1 to 4) of x86-64; NULL
 * when there is none. */
const struct json *manifest_choose(const struct json *list, int cpu);
/* "sha256:" and hex digits: these; or NULL. */
const char *manifest_digest(const char *text);

// SPDX-License-Identifier: MIT
// The engine's objects and who may touch them. One thread, one event loop: nothing here is locked.
//
// image      a configuration and its layers, named by digest; lives while the store lists it or a
//            container refers to it
// container  what was asked for (spec), its one main process and its execs
// process    a child of the engine: the main process of a container, or an exec. It owns the
//            pipes or the pty to it, and the clients attached to them
//
// On disk below engine.root:
//   layers/<128 bits of the diff id>/ one unpacked layer in overlay form
//   images/<id>.json                  image configurations, as they came
//   images.json                       which images there are, their tags and layers
//   containers/<id>/                  upper, work, merged, hostname, hosts, resolv.conf, log*
//   tmp/                              spools and half-done loads; emptied at start
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "lib/buf.h"
#include "lib/child.h"
#include "lib/ev.h"
#include "lib/http.h"
#include "lib/json.h"

#define ENGINE_VERSION "0.1.0"
#define ENGINE_API "1.47"
#define ENGINE_API_MIN "1.24"
#define ID_LEN 64
/* Short, so that all layers of an image fit in a page of mount options. */
#define LAYER_DIR_LEN 22
#define LAYERS_MAX 125

struct engine {
    const char *root;
    const char *socket;
    const char *cgroup_root; /* where cgroup2 is mounted */
    char id[37];
    struct timespec started;
    int oom_score_adj; /* its own: when memory runs out, containers go first */
};
extern struct engine engine;

/* The current ISO time of now; used for every object's timestamps. */
void engine_now(struct timespec *ts);
void engine_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- images (image.c) ---------------------------------------------------------------------- */

struct layer {
    struct layer *next;
    char diff_id[ID_LEN + 1];
    char dir[LAYER_DIR_LEN + 1];
    uint64_t size;
};

struct image {
    struct image *next;
    char id[ID_LEN + 1];
    int refs;    /* containers */
    bool listed; /* in the store */
    char **tags;
    int ntags;
    struct layer *layers[LAYERS_MAX]; /* bottom first */
    int nlayers;
    struct json *config; /* the whole image configuration */
    uint64_t size;
};

/* On the directory of a layer whose tar says what the root is to be. */
#define LAYER_ROOT_MARK "trusted.bothy.root"

int image_store_open(void);
/* Gives the directory `dir` the root's owner, mode and time, as the image's topmost layer that
 * knows them has it. 0 or -errno. */
int image_root_apply(const struct image *img, int dir);
struct image *image_first(void);
/* By reference, id or unique id prefix, with or without "sha256:"; NULL when there is none. */
struct image *image_find(const char *name);
struct image *image_get(struct image *img); /* a reference for a container */
void image_put(struct image *img);
struct layer *layer_find(const char *diff_id);
char *layer_dir(const char *diff_id); /* the name of its directory, to be freed */
/* Takes over what a load worker prepared in `dir`; `result` is its report. Appends progress lines
 * to `out`. NULL, or a sentence saying what went wrong. */
char *image_publish(const char *dir, const struct json *result, struct buf *out);
/* "repo[:tag]" -> the short form that is stored, or NULL when it is no reference. */
char *image_ref_normalize(const char *ref);
void image_tag(struct image *img, const char *ref); /* normalized */
bool image_untag(struct image *img, const char *ref);
int image_remove(struct image *img, struct buf *removed); /* layers no one else uses go too */
void image_store_save(void);

/* Runs in the load worker: unpacks the image archive behind `fd` below `dir` and writes a JSON
 * report to `out_fd`. Never returns. */
_Noreturn void load_worker(int fd, const char *dir, int out_fd);

/* ---- containers ---------------------------------------------------------------------------- */

struct process;
struct container;

enum container_state { C_CREATED, C_STARTING, C_RUNNING, C_PAUSED, C_EXITED, C_REMOVING };

struct device_spec {
    char *host;
    char *target;
};

struct limits {
    int64_t memory; /* bytes; 0 none, like the rest */
    int64_t memory_swap;
    int64_t nano_cpus;
    int64_t cpu_shares;
    int64_t cpu_quota, cpu_period;
    int64_t pids;
};

enum runtime { RUNTIME_DOMAIN, RUNTIME_VM };

struct waiter {
    struct waiter *next;
    struct http_conn *conn;
    enum { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED } condition;
};

struct log_follower;

struct log {
    int fd; /* the current file, or -1 */
    uint64_t size;
    uint64_t max;
    unsigned generation; /* counts rotations */
    struct log_partial *partial;
};

struct exec {
    struct exec *next; /* of the container */
    char id[ID_LEN + 1];
    struct container *c;
    struct spec spec;
    struct process *proc;
    struct http_conn *starter; /* waits for the start's outcome */
    bool attach_in, attach_out, attach_err, detach;
    bool started;
    bool running;
    int exit_code;
    pid_t pid;
};

/* Answers a client that waited for the exit. True: it wants the container removed, and the answer
 * after that. */
typedef bool (*stopped_fn)(struct http_conn *conn, struct container *c);

struct container {
    struct container *next;
    char id[ID_LEN + 1];
    char *name;
    struct image *image;
    char *image_name;
    struct json *config; /* Config as asked for, merged with the image's */
    struct json *host;   /* HostConfig as asked for */
    struct spec spec;
    struct limits limits;
    enum runtime runtime;
    struct room room;
    bool auto_remove;
    int stop_signal;
    int stop_timeout; /* seconds */
    struct device_spec *devices;
    int ndevices;

    enum container_state state;
    bool oom_killed;
    int exit_code;
    pid_t pid;
    char *error;
    struct timespec created, started, finished;
    int restarts;

    struct process *proc;
    struct exec *execs;
    struct waiter *waiters;
    struct http_conn *starter;    /* waits for the start's outcome */
    struct http_conn *stopper[8]; /* wait for the exit: stop, kill -f, rm -f, restart */
    stopped_fn stopped[8];
    int nstoppers;
    struct ev_timer stop_timer;
    struct log log;
    struct log_follower *followers;
};

struct container *container_first(void);
/* By name, id or unique prefix. NULL sets *ambiguous when several ids match. */
struct container *container_find(const char *name, bool *ambiguous);
/* Builds a container from a create request; on failure NULL, with *status and *why (freed by the
 * caller) for the client. */
struct container *container_create(const char *name, struct json *body, int *status, char **why);
/* The object and everything on disk. It must not be running. */
void container_remove(struct container *c);
char *container_path(const struct container *c, const char *file);
const char *container_state_name(const struct container *c);
void container_status_text(const struct container *c, char *out, size_t size);
bool container_running(const struct container *c);
void container_dir_setup(struct container *c);

/* ---- creating from a request (create.c) ---------------------------------------------------- */

bool spec_from_request(struct container *c, const struct json *req, int *status, char **why);
void spec_free(struct spec *s);
char **strv_from_json(const struct json *array);
void strv_free(char **v);
uint64_t caps_default(void);
/* CapAdd / CapDrop; NULL or a sentence. */
char *caps_apply(uint64_t *caps, const struct json *host);
int signal_parse(const char *text); /* "KILL", "SIGKILL", "9"; -1 when unknown */

/* ---- start, processes (start.c, process.c) ------------------------------------------------- */

struct attach {
    struct attach *next;
    struct process *p;
    struct http_conn *conn;
    bool in, out, err;
};

struct process {
    struct process *next;
    struct container *c;
    struct exec *x; /* NULL for the main process */
    pid_t pid;
    bool started; /* the program runs */
    bool reaped;
    int status; /* as wait4 gave it */
    bool tty;
    bool vm_oom;           /* the VM's guest ran out of memory and killed some of it */
    struct ev_source sync; /* start-up conversation; fd -1 when it is over */
    struct buf error;
    struct ev_source out, err; /* with a tty, out is the master and err unused; fd -1 closed */
    struct ev_source in;       /* our writing end; with a tty a dup of the master */
    struct buf in_pending;
    bool in_eof; /* close `in` when in_pending is written */
    struct attach *attaches;
    unsigned rows, cols;
};

/* Starts the container's main process; the outcome comes through start_done(). Immediate refusals
 * give a sentence, to be freed. */
char *container_start(struct container *c);
char *exec_start(struct exec *x);
void start_done(struct process *p, const char *error); /* upcall: api_container.c */
void exec_started(struct process *p, const char *error);
void process_reap(pid_t pid, int status);
void process_exited(struct process *p); /* upcall: container.c */
struct process *process_new(struct container *c, struct exec *x);
void process_free(struct process *p);
void process_watch(struct process *p); /* after the fds are set */
void process_resize(struct process *p, unsigned rows, unsigned cols);
void process_attach(struct process *p, struct http_conn *conn, bool in, bool out, bool err);
void start_last_words(struct process *p); /* of a VMM that has been reaped */
void start_reaped(struct process *p);     /* a process that has not started yet has been reaped */

/* ---- in the child (domain.c) ---------------------------------------------------------------- */

#define CHILD_NS 5
extern const char *const child_ns_names[CHILD_NS];

struct domain {
    struct child child;
    struct container *c;
    int ns[CHILD_NS]; /* of an exec: the container's namespaces, in the order of child_ns_names */
    bool wait_go, new_net;
};

_Noreturn void domain_child(struct domain *d);
/* The VM runtime (runtime_vm.c). */
char *runtime_vm_check(void);                     /* NULL, or why there is none */
char *runtime_vm_refuse(const struct json *host); /* options a VM cannot honour */
_Noreturn void runtime_vm_child(struct domain *d);
char *runtime_vm_prepare(struct container *c); /* packs the image once; NULL or a sentence */

/* ---- control groups (cgroup.c) ------------------------------------------------------------- */

int cgroup_init(void);
int cgroup_create(struct container *c, char **why);
int cgroup_open(const struct container *c); /* descriptor for CLONE_INTO_CGROUP, or -errno */
int cgroup_add(const struct container *c, pid_t pid);
void cgroup_remove(const struct container *c);
bool cgroup_oom(const struct container *c);
int cgroup_kill(const struct container *c);
int cgroup_freeze(const struct container *c, bool frozen);
int64_t cgroup_number(const struct container *c, const char *file, const char *key);
char *cgroup_apply(const struct container *c);

/* ---- logs (log.c) -------------------------------------------------------------------------- */

void log_open(struct container *c);
void log_close(struct container *c);
void log_write(struct container *c, int stream, const char *data, size_t len);
void log_flush(struct container *c);
/* Answers a logs request; with `follow`, until the container ends. */
void log_serve(struct container *c, struct http_conn *conn);
void log_end(struct container *c); /* the main process is gone: followers finish */

/* ---- events (events.c) --------------------------------------------------------------------- */

void event_container(struct container *c, const char *action, const char *key, const char *value);
void event_image(const char *id, const char *name, const char *action);
void events_serve(struct http_conn *conn);

/* ---- API ------------------------------------------------------------------------------------ */

struct call {
    struct http_conn *conn;
    struct http_head *req;
    const char *name;  /* the decoded {name} of the path, or "" */
    struct json *body; /* parsed JSON, or NULL; freed after the handler unless it takes it */
};

typedef void (*api_fn)(struct call *call);

void api_init(void);
extern const struct http_ops api_ops;
void api_error(struct http_conn *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void api_json(struct http_conn *c, int status, struct buf *b); /* frees b */
/* The container, or NULL after having answered 404/400. */
struct container *api_container(struct call *call);

#define API(name) void name(struct call *call)
API(api_ping);
API(api_version);
API(api_info);
API(api_events);
API(api_system_df);
API(api_empty_list);
API(api_networks);
API(api_network);
API(api_volumes);
API(api_image_list);
API(api_image_inspect);
API(api_image_history);
API(api_image_remove);
API(api_image_tag);
API(api_image_pull);
API(api_container_create);
API(api_container_list);
API(api_container_inspect);
API(api_container_start);
API(api_container_stop);
API(api_container_restart);
API(api_container_kill);
API(api_container_pause);
API(api_container_unpause);
API(api_container_wait);
API(api_container_remove);
API(api_container_rename);
API(api_container_resize);
API(api_container_attach);
API(api_container_logs);
API(api_container_stats);
API(api_container_top);
API(api_container_update);
API(api_container_prune);
API(api_exec_create);
API(api_exec_start);
API(api_exec_inspect);
API(api_exec_resize);
void api_image_load(struct http_conn *c); /* takes the body as a stream */
void load_complete(struct http_conn *c);  /* the body has come whole */
/* Worker processes of the engine itself (loads): called for a reaped pid, true when it was one. */
bool load_reaped(pid_t pid, int status);

// SPDX-License-Identifier: MIT
// The engine's objects and who may touch them. One thread, one event loop: nothing here is locked.
//
// image      a configuration and its layers, named by digest; lives while the store lists it, or a
//            container or a job refers to it
// container  what was asked for (spec), its one main process and its execs
// process    the main process of a container, or an exec (process.h). It owns the pipes or the pty
//            to it, and the clients attached to them; the keeper is its parent
// request    a client that waits for something to happen to a container
// job        long work in a worker process (job.h)
//
// Each is reference-counted or has one owner; states change by the tables of life.h alone. A
// request refers to its container, an exec to its container, a process to its exec or container:
// what a client or a child may still ask for stays in memory, in C_GONE at last.
//
// On disk below engine.root:
//   layers/<128 bits of its id>/      one unpacked layer in overlay form
//   base/                             the layer below those of most images (runtime/base.h)
//   tars/<as in layers>               what makes its tar again (skeleton.h), if that can be
//   images/<id>.json                  image configurations, as they came
//   images/<id>.manifest              of one that was pulled: its manifest, as it came
//   images.json                       which images there are, their tags and layers; written by a
//                                     worker, synced, and only then is the client answered
//   containers/<id>/                  upper, work, merged, hostname, hosts, resolv.conf, log*,
//                                     and container.json: the object. Without it there is none
//   volumes/<name>/                   volumes with a name, and .lock<n>, held while one is filled
//   tmp/                              half-done loads and trees being removed; emptied at start
//   spool, spool.mark                 output between a pipe and its log (spool.h)
//   lock, keeper                      one engine at a time; the keeper's socket
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

#include "engine/answer.h"
#include "engine/detach.h"
#include "engine/life.h"
#include "lib/buf.h"
#include "engine/restart.h"
#include "engine/store.h"
#include "runtime/order.h"
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
#define IMAGE_NAME_MAX 255 /* bytes of a name without its tag */
#define IMAGE_TAG_MAX 128
#define IMAGE_REF_MAX (IMAGE_NAME_MAX + 1 + IMAGE_TAG_MAX)
#define STORE_TEXT_MAX (16u * 1024 * 1024) /* of images.json */
#define STORE_PATH_MAX 4096u

struct engine {
    const char *root;
    const char *socket;
    const char *cgroup_root; /* where cgroup2 is mounted */
    const char *keeper;      /* its program, or NULL: beside ours */
    int lock;                /* of the root: one engine at a time, with its store worker */
    bool opening;            /* it reads what the last one has left: nothing of it is an event */
    bool patient;            /* those before it have ended over what they could not read */
    bool stopping;           /* containers that end stay ended */
    char id[37];
    struct timespec started;
    int oom_score_adj;   /* its own: when memory runs out, containers go first */
    struct rlimit files; /* what its children get; it has as many as it may itself */
    uint64_t files_max;  /* descriptors of its own */
};
extern struct engine engine;

/* Less than `spare` descriptors are left: what can wait or be refused is not to take them. */
bool files_short(uint64_t spare);
/* A child gives back what is the engine's alone of them. 0 or -errno. */
int engine_files_limit(void);
/* For what is read before the engine serves. An err that says nothing of what lies there (no
 * memory, no descriptor, a disk that does not read) ends this engine, as it may end at any moment;
 * the next one tries again. Judgements that come back: none there, too large. */
void engine_check_read(const char *path, int err);
/* The same for one object's file, of which the machine is not to wait for ever: a patient engine
 * comes back with false for one that cannot be read, and goes on without that object. */
bool engine_check_file(const char *path, int err);
/* The current ISO time of now; used for every object's timestamps. */
void engine_now(struct timespec *ts);
void engine_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A mistake of ours: told in the log, and the end of a debug build. */
void engine_bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- images (image.c) ---------------------------------------------------------------------- */

struct layer {
    struct layer *next, **link; /* what leads to it */
    /* The digest of its tar; when it holds content of the layers below it (hard links to their
     * files), that of the whole chain: it is another layer on top of others. */
    char id[ID_LEN + 1];
    char diff_id[ID_LEN + 1];
    char dir[LAYER_DIR_LEN + 1];
    uint64_t size;
    int refs;  /* images and loads */
    int going; /* of these, while a prune counts: images that go */
};

/* A name of an image: one image has it at a time. */
struct image_tag {
    struct image *img;
    int at; /* in its list */
    char ref[];
};

struct image {
    struct image *next;
    char id[ID_LEN + 1];
    int refs;    /* containers and jobs */
    int leaving; /* of them: a removal that is not written down yet */
    enum image_state state;
    struct job *packing;     /* makes its archive for guests, or NULL */
    struct answer *removal;  /* waits until its layers are gone, or NULL */
    struct image_tag **tags; /* in any order, but after image_tags_sort() */
    int ntags;
    bool tags_sorted;
    struct layer *layers[LAYERS_MAX]; /* bottom first */
    int nlayers;
    struct json *config; /* the whole image configuration */
    uint64_t config_bytes, config_values;
    uint64_t size;
    struct {
        bool known, timed;
        uid_t uid;
        gid_t gid;
        mode_t mode;
        struct timespec time;
    } root; /* its attributes: looked for in the layers once */
    struct {
        bool known, below;
    } base; /* the layers have nothing in its way */
};

/* On the directory of a layer whose tar says what the root is to be. */
#define LAYER_ROOT_MARK "trusted.bothy.root"

int image_store_open(void);
void image_store_opened(void); /* the containers have taken what they need of it */
/* Gives the directory `dir` the root's owner, mode and time, as the image's topmost layer that
 * knows them has it. 0 or -errno. */
int image_root_apply(struct image *img, int dir);
/* Whether its new containers stand on the base (runtime/base.h), the layer ../base. */
bool image_has_base(struct image *img);
struct image *image_first(void);
/* By reference, id or unique id prefix, with or without "sha256:"; NULL when there is none. */
struct image *image_find(const char *name);
struct image *image_of_id(const char *id);  /* also one that was removed, if containers have it */
struct image *image_get(struct image *img); /* a reference for a container or a job */
void image_put(struct image *img);
bool image_listed(const struct image *img);
/* The layer is there again further up, which hides this one: it is mounted once. */
bool image_layer_again(const struct image *img, int i);
struct layer *layer_first(void);
struct layer *layer_find(const char *id);
char *layer_dir(const char *id); /* the name of its directory, to be freed */
struct layer *layer_get(struct layer *l);
/* The last reference removes it from the disk; `a`, which may be NULL, waits for that. */
struct answer;
void layer_put(struct layer *l, struct answer *a);
/* Takes over what a load worker prepared in `dir`; `result` is its report. Appends progress lines
 * to `out`. NULL, or a sentence saying what went wrong. */
char *image_publish(const char *dir, const struct json *result, struct buf *out);
/* "repo[:tag]" or "repo[:tag]@sha256:..." -> the short form that is stored, or NULL when it is no
 * reference. The second, of the manifest that a registry has, stands among the tags. */
char *image_ref_normalize(const char *ref);
bool image_ref_is_digest(const char *ref);
bool image_ref_tag(const char *tag); /* a tag alone: what stands behind the name's ':' */
void image_tag(struct image *img, const char *ref);   /* in its full form */
void image_untag(struct image *img, const char *ref); /* that it has */
bool image_has_tag(const struct image *img, const char *ref);
int image_tag_count(const struct image *img); /* without digests */
void image_tags_sort(struct image *img);      /* by name, as clients see them */
/* With the layers that are only its, when the store on the disk does not list it any more. What
 * goes is written to the array `w`; the answer waits for it. */
void image_remove(struct image *img, struct jw *w, struct answer *a);

/* The image store as it is now goes to the disk; `a` waits for it. A reference to `img`, which may
 * be NULL, is dropped when that is done. */
void image_store_save(struct answer *a, struct image *img);
/* No image had to be left out, by this engine or by one before it. */
bool image_store_whole(void);
/* NULL, or that the store has no space for so many more; to be freed. */
char *image_store_space(size_t images, size_t tags, size_t layers);
/* Moves a tree out of the way at once and has a worker remove it, again and again while that fails.
 * `done`, which may be NULL, is called, later, when it is out of the way and a worker has tried. */
void tree_discard(const char *path, void (*done)(void *arg), void *arg);
/* Before something is made at `path`: a discarded tree that could not be moved away yet goes now.
 * 0, or -errno: the name is still taken. */
int tree_leave(const char *path);
/* The same for a control group in use: the worker kills what is in it. */
void group_discard(const char *path);

/* In a load worker, which has no store: there is such a layer. */
void layer_note(const char *id);
/* Runs in the load worker: unpacks the image archive behind `fd` below `dir` and writes a JSON
 * report to `out_fd`. */
_Noreturn void load_worker(int fd, const char *dir, int out_fd);

/* ---- containers ---------------------------------------------------------------------------- */

struct process;
struct container;

#define CPUSET_MAX 256

struct limits {
    int64_t memory; /* bytes; 0 none, like the rest */
    int64_t memory_swap;
    int64_t reservation; /* of memory */
    int64_t nano_cpus;
    int64_t cpu_shares;
    int64_t cpu_quota, cpu_period;
    int64_t pids;
    char cpus[CPUSET_MAX], mems[CPUSET_MAX]; /* lists as "0-2,5"; "" all */
};

/* Those that are set, in a HostConfig or in a request to change them, in place of what *l says;
 * NULL, or that one is too long. */
char *limits_read(struct limits *l, const struct json *host);
bool limits_any(const struct limits *l);
/* As members of HostConfig, and whether a member of it is one of them. */
void limits_write(struct jw *w, const struct limits *l);
void limits_write_set(struct jw *w, const struct limits *l); /* without those that are not set */
bool limits_name(const char *key);
/* NULL, or what is wrong with them, in Docker's words. Rounds what Docker rounds. */
char *limits_judge(struct limits *l);

enum runtime { RUNTIME_DOMAIN, RUNTIME_VM };

enum request_kind {
    REQ_START,   /* answered when the program runs, or why it does not */
    REQ_FAILED,  /* a REQ_START whose failure is reported when the container is gone */
    REQ_SIGNAL,  /* ... when the program runs and has got it */
    REQ_STOP,    /* ... when the container is stopped */
    REQ_RESTART, /* then it is started; becomes a REQ_START */
    REQ_REMOVE,  /* ... when it is gone */
    REQ_WAIT_NOT_RUNNING,
    REQ_WAIT_NEXT_EXIT,
    REQ_WAIT_REMOVED,
    REQ_WATCH /* stats: until it is gone */
};

/* A client that waits for something to happen to a container (request.c). Ended by that, by the
 * container's end, or by the client's. */
struct request {
    struct request *next;
    enum request_kind kind;
    struct container *c; /* a reference */
    struct http_conn *conn;
    struct answer *answer; /* of REQ_REMOVE, instead of conn */
    int status;            /* of REQ_FAILED: HTTP's */
    bool restarts;         /* a REQ_START that was a REQ_RESTART */
    int signal;            /* to be sent when the program runs; 0 none, or it has been sent */
    int64_t seconds;       /* until it is killed; negative: never */
    void (*gone)(struct request *r); /* before it is freed; or NULL */
};

struct log_follower;

struct log {
    int fd; /* the current file, or -1 */
    uint64_t size, inode;
    uint64_t max;
    struct log_partial *partial;
};

struct exec {
    struct exec *next; /* of the container */
    int refs;          /* the container's list, its process, the client that waits for its start */
    char id[ID_LEN + 1];
    struct container *c; /* a reference */
    struct spec spec;
    struct process *proc;
    struct http_conn *starter; /* waits for the start's outcome */
    bool attach_in, attach_out, attach_err, detach;
    struct detach_keys keys;
    bool started;
    bool running;
    int exit_code;
    pid_t pid;
    uint64_t run; /* when it has ended: the keeper's name for it */
    size_t bytes; /* of its arguments and variables */
};

struct container {
    struct container *next;
    int refs; /* the list, requests, execs, processes, jobs */
    char id[ID_LEN + 1];
    uint64_t number; /* in the order of their creation */
    char *name;
    struct image *image;
    char *image_name;
    struct json *config; /* Config as asked for, merged with the image's */
    struct json *host;   /* HostConfig as asked for */
    struct spec spec;
    struct limits limits;
    enum runtime runtime;
    struct shared_spec shared;
    unsigned group; /* its control group's number: one that is being removed is not used again */
    bool auto_remove;
    bool uses_volumes;   /* it has their references */
    bool remove_volumes; /* rm -v: those that were made for it go with it */
    bool renamed;        /* by this engine, for another's sake; not saved yet */
    bool ran, waits;     /* the last engine's file says that it ran, or was about to run again */
    uint64_t ended_run;  /* of one that goes when it ends: the keeper's name for it */
    int stop_signal;
    int64_t stop_timeout; /* seconds; negative: never killed */
    struct device_spec *devices;
    int ndevices;

    enum container_state state;
    bool oom_killed;
    int exit_code;
    pid_t pid;
    char *error;
    struct timespec created, started, finished;
    struct restart restart; /* its policy, and how often that has come to pass */
    int64_t vm_memory;      /* of its guest, bytes */
    struct store_file file; /* container.json */
    struct change *changes; /* by clients, not written down yet (change.h) */

    struct process *proc;
    struct exec *execs;
    struct request *requests; /* in order of arrival */
    struct ev_timer stop_timer;
    bool packing; /* the start waits for the image's archive */
    struct log log;
    struct log_follower *followers;
};

struct container *container_first(void);
/* By name, id or unique prefix. NULL sets *ambiguous when several ids match. */
struct container *container_find(const char *name, bool *ambiguous);
/* Builds a container from a create request; on failure NULL, with *status and *why (freed by the
 * caller) for the client. */
struct container *container_new(const char *id, struct image *image, const char *image_name);
void container_list_sorted(struct container *c); /* by c->number */
struct container *container_create(const char *name, struct json *body, int *status, char **why);
struct container *container_get(struct container *c);
void container_put(struct container *c);
/* Off the list, when its files are gone. */
void container_unlist(struct container *c);
/* NULL, or a sentence about a name that no container may have, or has already; with *status. */
char *container_name(const char *name, int *status);
/* Before it is listed, as it was on the disk: if another has its name (one of the two was left out
 * by an engine meanwhile), the older of them is named <name>-<12 digits of its id> from now on. */
void container_name_settle(struct container *c);
/* Its labels, its image's among them: one; or all as members of an object, until `max` bytes. */
const char *container_label(const struct container *c, const char *key);
void container_labels(const struct container *c, struct jw *w, size_t max);
/* "Mounts": as inspect shows them; no more after `max` bytes. */
void container_mounts(struct jw *w, const struct container *c, size_t max);
/* Its object goes to the disk (container_store.c); `done`, which may be NULL, is notified of it. */
void container_save(struct container *c, store_fn done, void *arg);
void containers_open(void); /* those that are there are read, before the keeper is asked */
/* This engine cannot read what one is made of; an id may be followed by what a group's name has. */
bool container_left_out(const char *id), containers_left_out(void);
void containers_end(void);    /* all are killed; the loop is notified of it */
void containers_opened(void); /* ... and after that: what has ended meanwhile, or is to run */
void container_file_init(struct container *c);
char *container_path(const struct container *c, const char *file);
/* The directory of all, held from the engine's start on: a walk to it costs as much as what is done
 * there. */
int containers_dir(void);
int container_dir(const struct container *c); /* a descriptor of its directory, or -errno */
/* Its restart policy is about to have it run again, or just does so. */
bool container_restarting(const struct container *c);
const char *container_state_name(const struct container *c);
void container_status_text(const struct container *c, char *out, size_t size);
bool container_running(const struct container *c);
bool container_has_group(const struct container *c); /* its processes' control group is there */

/* ---- what happens to a container (run.c) ----------------------------------------------------- */

/* The one way to change a container's state: false when the event is refused in this state. Does
 * what the change means: starts, tells the clients that wait, removes. The container may be gone
 * afterwards, unless the caller holds a reference. */
bool container_raise(struct container *c, enum container_event e);
/* A client has it started: what its restart policy has counted is over. */
void container_start_asked(struct container *c);
/* A client wants it stopped: by `sig`, 0 for all that there are. What its policy may not do. */
void container_stop_asked(struct container *c, int sig);
void container_start_failed(struct container *c, const char *error);
void container_signal(struct container *c, int sig);
void container_kill(struct container *c);           /* all of its processes, in any state */
bool container_host_net(const struct container *c); /* it has the host's network */
/* Killed if it runs, then removed; `a` waits for that (api_container.c). */
void container_remove(struct container *c, struct answer *a);
/* The stop of a request begins: its signal now or when the program runs, then SIGKILL. */
void container_stop_begin(struct container *c, struct request *r);

/* ---- clients that wait (request.c) ----------------------------------------------------------- */

struct request *request_add(struct container *c, struct http_conn *conn, enum request_kind kind);
/* `r` is the first member of a larger structure, zeroed, which the request's end frees. */
void request_init(struct request *r, struct container *c, struct http_conn *conn,
                  enum request_kind kind);
void request_free(struct request *r);                  /* no answer, or it has been given */
void requests_started(struct container *c);            /* the program runs */
void requests_start_done(struct container *c);         /* ... and that is written down */
void requests_failed(struct container *c, int status); /* with c->error */
void requests_exited(struct container *c);
void requests_stopped(struct container *c); /* what its requests want next */
void requests_removed(struct container *c);

/* ---- creating from a request (create.c) ---------------------------------------------------- */

/* "KEY" of "KEY=VALUE" equals that of another. */
bool env_same(const char *a, const char *b);
/* For each of n variables, which is the first of the same name: an array, to be freed. */
size_t *env_firsts(const char *const *list, size_t n);
struct json *host_from_request(const struct json *host); /* HostConfig, as it is kept */
char *spec_from_stored(struct container *c); /* c->config and c->host are there; NULL or why not */
bool spec_from_request(struct container *c, const struct json *req, int *status, char **why);
const char *judge_warning(const struct container *c); /* of what was asked for, or NULL */
void spec_free(struct spec *s);
uint64_t caps_default(void);
/* CapAdd / CapDrop; NULL or a sentence. */
char *caps_apply(uint64_t *caps, const struct json *host);
int signal_parse(const char *text); /* "KILL", "SIGKILL", "9"; -1 when unknown */

/* ---- the types of a request's fields (judge.c) ----------------------------------------------- */

/* NULL, or which field of the body has the wrong type; to be freed. */
char *judge_create(const struct json *body);
char *judge_update(const struct json *body);
char *judge_exec(const struct json *body);

/* ---- execs (api_exec.c) ---------------------------------------------------------------------- */

struct exec *exec_get(struct exec *x);
void exec_put(struct exec *x);
char *exec_note(const struct exec *x); /* what a later engine is to know of it; to be freed */

/* The VM runtime (runtime_vm.c). */
char *runtime_vm_check(void);                     /* NULL, or why there is none */
char *runtime_vm_refuse(const struct json *host); /* options a VM cannot honour */
/* Packs the image once, by a job: true when the start must wait for a CE_PREPARED or a failure. */
bool runtime_vm_prepare(struct container *c);
void runtime_vm_cancel(struct container *c);  /* it waits no more */
char *runtime_vm_config(struct container *c); /* writes what the guest is to run; or a sentence */
void runtime_vm_order(struct container *c, struct order *o); /* its strings are the caller's */

/* ---- control groups (cgroup.c) ------------------------------------------------------------- */

/* Docker's shares 2..262144 on cgroup v2's weight 1..10000. */
int cgroup_weight(int64_t shares);
/* What cpu.max is to be: quota, or "max", and period. */
void cgroup_cpu_text(const struct container *c, char *text, size_t size);
int cgroup_init(void);
/* NULL with the group's descriptor, the caller's, for CLONE_INTO_CGROUP (-1 where there are no
 * groups); or why not, to be freed. */
char *cgroup_create(struct container *c, int *group);
int cgroup_open(const struct container *c); /* the same of a group that is there, or -errno */
/* Moves a process into the container's group, or into PID 1's below it where that takes none. */
int cgroup_add(const struct container *c, pid_t pid);
/* The name of the container's group, to be freed; and whether a process is in the group of that
 * name or in one below it. */
char *cgroup_name(const struct container *c);
bool cgroup_holds(const char *name, pid_t pid);
void cgroup_remove(struct container *c);
bool cgroup_oom(const struct container *c);
int cgroup_kill(const struct container *c);
bool cgroup_frozen(const struct container *c);
int cgroup_freeze(const struct container *c, bool frozen);
int64_t cgroup_number(const struct container *c, const char *file, const char *key);
char *cgroup_apply(const struct container *c);
/* The processors (or memory nodes) that there are: a list as "0-3". */
void cgroup_available(bool mems, char *text, size_t size);
/* What an engine that died has left ends, but for what its keeper keeps. */
void cgroup_open_all(void);
void cgroup_close(void); /* at the engine's end: nothing stays */
/* All groups of containers and workers but those whose name `keep`, if there is one, knows. With
 * `stays`, which is told of a group that cannot be removed yet, it sleeps for a second at most;
 * without, for ten. */
void cgroup_sweep(bool (*keep)(const char *name),
                  void (*stays)(const char *name, const char *path));
int cgroup_tree_remove(const char *path); /* kills, waits, removes; may sleep: for workers */
/* A worker's. create: a descriptor, or -1 without a group. */
int cgroup_job_create(unsigned n, int64_t memory);
void cgroup_job_add(unsigned n, pid_t pid);
void cgroup_job_kill(unsigned n);
void cgroup_job_remove(unsigned n);

/* ---- logs (log.c) -------------------------------------------------------------------------- */

int log_open(struct container *c, int dir); /* the container's directory; 0 or -errno */
void log_close(struct container *c);
void log_write(struct container *c, int stream, const char *data, size_t len);
/* Reads some of a pipe of the container's, and logs it, whatever happens to the engine meanwhile:
 * how many bytes, 0 at the end, -errno. */
ssize_t log_pull(struct container *c, int stream, int fd, char *data, size_t size);
void log_recover(void); /* what the last engine was logging when it died */
/* Of a log_open while the engine opens, of a container that was there: see engine_check_file. */
void log_check_open(const struct container *c, int err);
void log_flush(struct container *c);
/* Answers a logs request; with `follow`, until the container ends. */
void log_serve(struct container *c, struct http_conn *conn);
/* On a hijacked connection: all of the log that its request asked for, and then, with what is
 * logged meanwhile, `then`, or the connection's end. */
typedef void (*log_then_fn)(struct container *c, struct http_conn *conn);
void log_replay(struct container *c, struct http_conn *conn, log_then_fn then);
/* The main process is gone: followers finish with what there is. */
void log_end(struct container *c);

/* ---- events (events.c) --------------------------------------------------------------------- */

/* What an event tells beside what all of its kind do: names and values in turn. */
#define EVENT_MORE(...) ((const char *const[]){__VA_ARGS__, NULL})
/* `more` may be NULL. */
void event_container(struct container *c, const char *action, const char *const *more);
/* A volume's, a network's, or one of no object in particular. */
void event_plain(const char *type, const char *id, const char *action, const char *const *more);
void event_prune(const char *type, int64_t reclaimed);
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
/* A resize request's rows and columns, below 65536; false after having answered 400. */
bool api_terminal_size(struct call *call, unsigned *rows, unsigned *cols);
/* The container, or NULL after having answered 404/400. */
struct container *api_container(struct call *call);

#define API(name) void name(struct call *call)
API(api_ping);
API(api_version);
API(api_info);
API(api_events);
API(api_system_df);
API(api_empty_list);
API(api_build_prune);
API(api_network_list);
API(api_network_create);
API(api_network_prune);
API(api_network_connect);
API(api_network_disconnect);
API(api_network_inspect);
API(api_network_remove);
API(api_volume_list);
API(api_volume_create);
API(api_volume_inspect);
API(api_volume_remove);
API(api_volume_prune);
API(api_image_list);
API(api_image_inspect);
API(api_image_history);
API(api_image_remove);
API(api_image_tag);
API(api_image_prune);
API(api_image_pull);
API(api_image_push);
API(api_auth);
API(api_distribution);
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

/* create_mounts.c: what a mount holds; the struct is the caller's. */
void mount_spec_drop(struct mount_spec *m);

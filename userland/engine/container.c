// SPDX-License-Identifier: MIT
// Containers: the list, names, birth and death, and what happens when the main process ends.
#include "engine/engine.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/str.h"

static struct container *container_list; /* newest first */

struct container *container_first(void)
{
    return container_list;
}

char *container_path(const struct container *c, const char *file)
{
    return str_fmt("%s/containers/%s%s%s", engine.root, c->id, *file ? "/" : "", file);
}

struct container *container_find(const char *name, bool *ambiguous)
{
    struct container *found = NULL;
    size_t n;

    *ambiguous = false;
    if (*name == '/')
        name++;
    n = strlen(name);
    for (struct container *c = container_list; c; c = c->next)
        if (!strcmp(c->name, name) || !strcmp(c->id, name))
            return c;
    if (!n || n > ID_LEN || !str_is_hex(name, n))
        return NULL;
    for (struct container *c = container_list; c; c = c->next) {
        if (strncmp(c->id, name, n))
            continue;
        if (found) {
            *ambiguous = true;
            return NULL;
        }
        found = c;
    }
    return found;
}

bool container_running(const struct container *c)
{
    return c->state == C_STARTING || c->state == C_RUNNING || c->state == C_PAUSED;
}

const char *container_state_name(const struct container *c)
{
    static const char *const names[] = {"created", "created", "running",
                                        "paused",  "exited",  "removing"};

    return names[c->state];
}

void container_status_text(const struct container *c, char *out, size_t size)
{
    struct timespec now;
    char span[64];

    engine_now(&now);
    if (c->state == C_RUNNING || c->state == C_PAUSED) {
        time_span(span, sizeof(span), now.tv_sec - c->started.tv_sec);
        snprintf(out, size, "Up %s%s", span, c->state == C_PAUSED ? " (Paused)" : "");
    } else if (c->state == C_EXITED) {
        time_span(span, sizeof(span), now.tv_sec - c->finished.tv_sec);
        snprintf(out, size, "Exited (%d) %s ago", c->exit_code, span);
    } else {
        snprintf(out, size, "%s", c->state == C_REMOVING ? "Removal In Progress" : "Created");
    }
}

static char *container_auto_name(void)
{
    static const char *const left[] = {"amber", "brave",  "calm",  "deft", "eager", "fond",
                                       "glad",  "humble", "jolly", "keen", "lucid", "merry",
                                       "noble", "quick",  "sunny", "witty"};
    static const char *const right[] = {"alder", "badger", "cedar", "dipper",  "ermine", "finch",
                                        "gorse", "heron",  "ibex",  "juniper", "larch",  "marten",
                                        "otter", "pika",   "rowan", "wren"};
    struct container *clash;
    char hex[9], *name;
    bool ambiguous;

    for (;;) {
        unsigned n;

        random_hex(hex, 8);
        n = (unsigned)strtoul(hex, NULL, 16);
        name = str_fmt("%s_%s%u", left[n & 15], right[n >> 4 & 15], n >> 8 & 0xff);
        clash = container_find(name, &ambiguous);
        if (!clash)
            return name;
        free(name);
    }
}

static bool name_ok(const char *name)
{
    if (!isalnum((unsigned char)*name) || !name[1] || strlen(name) > 255)
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("_.-", *name))
            return false;
    return true;
}

static char *container_name(const char *name, int *status)
{
    bool ambiguous;
    struct container *clash;

    if (*name == '/')
        name++;
    *status = 400;
    if (!name_ok(name))
        return str_fmt("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                       name);
    clash = container_find(name, &ambiguous);
    if (!clash || strcmp(clash->name, name))
        return NULL;
    *status = 409;
    return str_fmt("Conflict. The container name \"/%s\" is already in use by container \"%s\". "
                   "You have to remove (or rename) that container to be able to reuse that name.",
                   name, clash->id);
}

static void container_free(struct container *c)
{
    for (int i = 0; i < c->room.nmounts; i++) {
        free(c->room.mounts[i].source);
        free(c->room.mounts[i].target);
        free(c->room.mounts[i].options);
    }
    for (int i = 0; i < c->ndevices; i++) {
        free(c->devices[i].host);
        free(c->devices[i].target);
    }
    while (c->execs) {
        struct exec *x = c->execs;

        c->execs = x->next;
        spec_free(&x->spec);
        free(x);
    }
    free(c->room.mounts);
    free(c->devices);
    free(c->room.rlimits);
    spec_free(&c->spec);
    json_free(c->config);
    json_free(c->host);
    free(c->room.hostname);
    free(c->room.domainname);
    free(c->error);
    free(c->name);
    free(c->image_name);
    if (c->image)
        image_put(c->image);
    free(c);
}

static struct json *json_copy(const struct json *j)
{
    struct buf b = {0};
    struct json *copy;

    if (!j || j->type != JSON_OBJECT)
        return json_parse("{}", 2, NULL);
    json_write(&b, j);
    copy = json_parse(b.data, b.len, NULL);
    buf_free(&b);
    return copy;
}

static char *container_files(struct container *c)
{
    char *path = container_path(c, "");
    int fd = -1, err = 0;

    if (mkdir(path, 0755) < 0 || (fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
        mkdirat(fd, "upper", 0755) < 0 || mkdirat(fd, "work", 0700) < 0 ||
        mkdirat(fd, "merged", 0700) < 0)
        err = errno;
    if (fd >= 0)
        close(fd);
    free(path);
    return err ? str_fmt("cannot create the container's directory: %s", strerror(err)) : NULL;
}

struct container *container_create(const char *name, struct json *body, int *status, char **why)
{
    const char *image_name = json_str(body, "Image");
    struct image *image = image_name ? image_find(image_name) : NULL;
    struct container *c;

    *why = name && *name ? container_name(name, status) : NULL;
    if (*why)
        return NULL;
    if (!image) {
        *status = image_name && *image_name ? 404 : 400;
        *why = image_name && *image_name ? str_fmt("No such image: %s%s", image_name,
                                                   strchr(image_name, ':') ? "" : ":latest")
                                         : str_dup("no image specified");
        return NULL;
    }
    c = mem_alloc(sizeof(*c));
    c->log.fd = -1;
    random_hex(c->id, ID_LEN);
    c->image = image_get(image);
    c->image_name = str_dup(image_name);
    c->host = json_copy(json_get(body, "HostConfig"));
    engine_now(&c->created);
    if (!spec_from_request(c, body, status, why)) {
        container_free(c);
        return NULL;
    }
    *status = 500;
    *why = container_files(c);
    if (*why) {
        container_free(c);
        return NULL;
    }
    c->name = name && *name ? str_dup(name + (*name == '/')) : container_auto_name();
    c->next = container_list;
    container_list = c;
    event_container(c, "create", NULL, NULL);
    return c;
}

static void waiters_fire(struct container *c, bool removed)
{
    struct waiter **at = &c->waiters;

    while (*at) {
        struct waiter *w = *at;
        char text[64];
        int n;

        if (w->condition == WAIT_REMOVED && !removed) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        n = snprintf(text, sizeof(text), "{\"StatusCode\":%d}\n", c->exit_code);
        w->conn->on_close = NULL;
        http_stream_data(w->conn, text, (size_t)n);
        http_stream_end(w->conn);
        free(w);
    }
}

void container_remove(struct container *c)
{
    char *path = container_path(c, "");

    c->state = C_REMOVING;
    ev_timer_del(&c->stop_timer);
    for (struct container **at = &container_list; *at; at = &(*at)->next) {
        if (*at != c)
            continue;
        *at = c->next;
        break;
    }
    log_end(c);
    log_close(c);
    if (tree_remove(AT_FDCWD, path))
        engine_log("cannot remove all of %s", path);
    free(path);
    event_container(c, "destroy", NULL, NULL);
    waiters_fire(c, true);
    container_free(c);
}

static int exit_code_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void exec_exited(struct exec *x, int status)
{
    char code[16];

    x->running = false;
    x->exit_code = exit_code_of(status);
    x->proc = NULL;
    x->pid = 0;
    snprintf(code, sizeof(code), "%d", x->exit_code);
    event_container(x->c, "exec_die", "exitCode", code);
}

/* Upcall from process.c: the program is gone and its output has been passed on. */
void process_exited(struct process *p)
{
    struct container *c = p->c;
    struct http_conn *conns[8];
    stopped_fn done[8];
    char code[16];
    int n = c->nstoppers, removers = 0;

    if (p->x) {
        exec_exited(p->x, p->status);
        process_free(p);
        return;
    }
    c->oom_killed = p->vm_oom || cgroup_oom(c);
    c->exit_code = exit_code_of(p->status);
    c->state = C_EXITED;
    c->pid = 0;
    c->proc = NULL;
    engine_now(&c->finished);
    ev_timer_del(&c->stop_timer);
    log_flush(c);
    log_end(c);
    process_free(p);
    cgroup_remove(c);
    if (c->oom_killed)
        event_container(c, "oom", NULL, NULL);
    snprintf(code, sizeof(code), "%d", c->exit_code);
    event_container(c, "die", "exitCode", code);
    waiters_fire(c, false);
    memcpy(conns, c->stopper, sizeof(conns));
    memcpy(done, c->stopped, sizeof(done));
    c->nstoppers = 0;
    for (int i = 0; i < n; i++) {
        conns[i]->on_close = NULL;
        if (done[i](conns[i], c))
            conns[removers++] = conns[i];
    }
    if (c->auto_remove || removers)
        container_remove(c);
    for (int i = 0; i < removers; i++)
        http_reply(conns[i], 204, NULL, "", 0);
}

// SPDX-License-Identifier: MIT
// The API's system half: ping, version, info, events, disk use.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/listen.h"
#include "engine/network.h"
#include "engine/usage.h"
#include "engine/volume.h"
#include "lib/str.h"

API(api_ping)
{
    if (!strcmp(call->req->method, "HEAD"))
        http_reply_head(call->conn, "Cache-Control: no-cache, no-store, must-revalidate\r\n");
    else
        http_reply(call->conn, 200, "text/plain; charset=utf-8", "OK", 2);
}

static void version_fields(struct jw *w, const struct utsname *u)
{
    jw_str(w, "ApiVersion", ENGINE_API);
    jw_str(w, "MinAPIVersion", ENGINE_API_MIN);
    jw_str(w, "Os", "linux");
    jw_str(w, "Arch", "amd64");
    jw_str(w, "GitCommit", "");
    jw_str(w, "GoVersion", "none: written in C");
    jw_str(w, "BuildTime", "");
    jw_str(w, "KernelVersion", u->release);
}

API(api_version)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    struct utsname u;

    uname(&u);
    jw_object(&w, NULL);
    jw_object(&w, "Platform");
    jw_str(&w, "Name", "Bothy");
    jw_object_end(&w);
    jw_array(&w, "Components");
    jw_object(&w, NULL);
    jw_str(&w, "Name", "Engine");
    jw_str(&w, "Version", ENGINE_VERSION);
    jw_object(&w, "Details");
    version_fields(&w, &u);
    jw_str(&w, "Experimental", "false");
    jw_object_end(&w);
    jw_object_end(&w);
    jw_array_end(&w);
    jw_str(&w, "Version", ENGINE_VERSION);
    version_fields(&w, &u);
    jw_object_end(&w);
    api_json(call->conn, 200, &b);
}

static void info_counts(struct jw *w)
{
    int running = 0, paused = 0, stopped = 0, images = 0;

    for (struct container *c = container_first(); c; c = c->next) {
        running += c->state == C_RUNNING || c->state == C_STARTING || c->state == C_RESTARTING;
        paused += c->state == C_PAUSED;
        stopped += c->state == C_STOPPED;
    }
    for (struct image *img = image_first(); img; img = img->next)
        images += image_listed(img);
    jw_int(w, "Containers", running + paused + stopped);
    jw_int(w, "ContainersRunning", running);
    jw_int(w, "ContainersPaused", paused);
    jw_int(w, "ContainersStopped", stopped);
    jw_int(w, "Images", images);
}

static void info_fixed(struct jw *w)
{
    static const char *const yes[] = {"MemoryLimit",       "SwapLimit",      "CpuCfsPeriod",
                                      "CpuCfsQuota",       "CPUShares",      "CPUSet",
                                      "PidsLimit",         "IPv4Forwarding", "BridgeNfIptables",
                                      "BridgeNfIp6tables", "OomKillDisable"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        jw_bool(w, yes[i], true);
    jw_str(w, "Driver", "overlay");
    jw_array(w, "DriverStatus");
    jw_array_end(w);
    jw_str(w, "LoggingDriver", "json-file");
    jw_str(w, "CgroupDriver", "cgroupfs");
    jw_str(w, "CgroupVersion", "2");
    jw_str(w, "OSType", "linux");
    jw_str(w, "OperatingSystem", "Bothy");
    jw_str(w, "OSVersion", ENGINE_VERSION);
    jw_str(w, "Architecture", "x86_64");
    jw_str(w, "ServerVersion", ENGINE_VERSION);
    jw_str(w, "DefaultRuntime", "domain");
    jw_object(w, "Runtimes");
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"domain", "runc", "vm"};

        jw_object(w, names[i]);
        jw_str(w, "path", names[i]);
        jw_object_end(w);
    }
    jw_object_end(w);
    jw_object(w, "Swarm");
    jw_str(w, "LocalNodeState", "inactive");
    jw_object_end(w);
    jw_object(w, "Plugins");
    jw_array(w, "Network");
    for (const struct network *n = network_first(); n; n = n->next)
        jw_str(w, NULL, n->driver);
    jw_array_end(w);
    jw_array(w, "Volume");
    jw_str(w, NULL, "local");
    jw_array_end(w);
    jw_object_end(w);
    jw_object(w, "RegistryConfig");
    jw_object_end(w);
    jw_array(w, "SecurityOptions");
    jw_str(w, NULL, "name=seccomp,profile=builtin");
    jw_str(w, NULL, "name=cgroupns");
    jw_array_end(w);
}

API(api_info)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    struct utsname u;
    struct sysinfo si;
    struct timespec now;
    char when[48], *why = runtime_vm_check();

    uname(&u);
    memset(&si, 0, sizeof(si));
    sysinfo(&si);
    engine_now(&now);
    time_rfc3339(when, &now);
    jw_object(&w, NULL);
    jw_str(&w, "ID", engine.id);
    jw_str(&w, "Name", u.nodename);
    info_counts(&w);
    info_fixed(&w);
    jw_str(&w, "KernelVersion", u.release);
    jw_str(&w, "SystemTime", when);
    jw_int(&w, "NCPU", sysconf(_SC_NPROCESSORS_ONLN));
    jw_int(&w, "MemTotal", (int64_t)si.totalram * si.mem_unit);
    jw_str(&w, "DockerRootDir", engine.root);
    jw_str(&w, "HttpProxy", "");
    jw_str(&w, "HttpsProxy", "");
    jw_str(&w, "NoProxy", "");
    jw_bool(&w, "Debug", false);
    jw_bool(&w, "ExperimentalBuild", false);
    jw_bool(&w, "LiveRestoreEnabled", true);
    jw_array(&w, "Labels");
    jw_array_end(&w);
    jw_array(&w, "Warnings");
    if (why)
        jw_fmt(&w, NULL, "WARNING: %s", why);
    if (listen_exposed())
        jw_fmt(&w, NULL, "WARNING: the API is open on %s without authentication", listen_exposed());
    jw_array_end(&w);
    jw_object_end(&w);
    free(why);
    api_json(call->conn, 200, &b);
}

API(api_events)
{
    events_serve(call->conn);
}

static void df_images(struct jw *w)
{
    jw_array(w, "Images");
    for (struct image *img = image_first(); img; img = img->next) {
        if (!image_listed(img))
            continue;
        jw_object(w, NULL);
        jw_fmt(w, "Id", "sha256:%s", img->id);
        jw_int(w, "Size", (int64_t)img->size);
        jw_int(w, "VirtualSize", (int64_t)img->size); /* clients before API 1.44 count by it */
        jw_int(w, "SharedSize", 0);
        jw_int(w, "Containers", img->refs);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static int64_t df_layers(void)
{
    int64_t total = 0;

    for (const struct layer *l = layer_first(); l; l = l->next)
        total += (int64_t)l->size;
    return total;
}

static void df_containers(struct jw *w, const struct usage *u)
{
    jw_array(w, "Containers");
    for (const struct container *c = container_first(); c; c = c->next) {
        int64_t size = usage_of(u, "container", c->id);

        jw_object(w, NULL);
        jw_str(w, "Id", c->id);
        jw_array(w, "Names");
        jw_fmt(w, NULL, "/%s", c->name);
        jw_array_end(w);
        jw_str(w, "Image", c->image_name);
        jw_fmt(w, "ImageID", "sha256:%s", c->image->id);
        jw_int(w, "Created", c->created.tv_sec);
        jw_str(w, "State", container_state_name(c));
        jw_int(w, "SizeRw", size > 0 ? size : 0);
        jw_int(w, "SizeRootFs", (size > 0 ? size : 0) + (int64_t)c->image->size);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void df_sized(void *arg, const struct usage *u)
{
    struct answer *a = arg;
    struct jw w = {.out = &a->body};

    jw_object(&w, NULL);
    jw_int(&w, "LayersSize", df_layers());
    df_images(&w);
    df_containers(&w, u);
    jw_array(&w, "Volumes");
    for (const struct volume *v = volume_first(); v; v = v->next) {
        int64_t size = usage_of(u, "volume", v->name);

        volume_write(&w, v, size > 0 ? size : 0);
    }
    jw_array_end(&w);
    jw_array(&w, "BuildCache");
    jw_array_end(&w);
    jw_object_end(&w);
    answer_done(a, NULL);
}

API(api_system_df)
{
    usage_ask(df_sized, answer_new(call->conn, 200, "application/json"));
}

/* Nothing is ever built. */
API(api_build_prune)
{
    static const char none[] = "{\"CachesDeleted\":null,\"SpaceReclaimed\":0}\n";

    http_reply(call->conn, 200, "application/json", none, sizeof(none) - 1);
}

API(api_empty_list)
{
    http_reply(call->conn, 200, "application/json", "[]\n", 3);
}

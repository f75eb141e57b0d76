// SPDX-License-Identifier: MIT
// The API's system half: ping, version, info, events, disk use, and the fixed networks.
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

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
        running += c->state == C_RUNNING || c->state == C_STARTING;
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
    jw_bool(&w, "LiveRestoreEnabled", false);
    jw_array(&w, "Labels");
    jw_array_end(&w);
    jw_array(&w, "Warnings");
    if (why)
        jw_fmt(&w, NULL, "WARNING: %s", why);
    jw_array_end(&w);
    jw_object_end(&w);
    free(why);
    api_json(call->conn, 200, &b);
}

API(api_events)
{
    events_serve(call->conn);
}

API(api_system_df)
{
    struct buf b = {0};
    struct jw w = {.out = &b};
    int64_t total = 0;

    jw_object(&w, NULL);
    jw_array(&w, "Images");
    for (struct image *img = image_first(); img; img = img->next) {
        jw_object(&w, NULL);
        jw_fmt(&w, "Id", "sha256:%s", img->id);
        jw_int(&w, "Size", (int64_t)img->size);
        jw_int(&w, "SharedSize", 0);
        jw_int(&w, "Containers", img->refs);
        jw_object_end(&w);
        total += (int64_t)img->size;
    }
    jw_array_end(&w);
    jw_int(&w, "LayersSize", total);
    jw_array(&w, "Containers");
    jw_array_end(&w);
    jw_array(&w, "Volumes");
    jw_array_end(&w);
    jw_array(&w, "BuildCache");
    jw_array_end(&w);
    jw_object_end(&w);
    api_json(call->conn, 200, &b);
}

API(api_empty_list)
{
    http_reply(call->conn, 200, "application/json", "[]\n", 3);
}

static const struct {
    const char *name, *driver, *id;
} networks[] = {
    {"bridge", "bridge", "b0"},
    {"host", "host", "b1"},
    {"none", "null", "b2"},
};

static void network_json(struct jw *w, int i)
{
    char id[ID_LEN + 1];

    snprintf(id, sizeof(id), "%s%062d", networks[i].id, i);
    jw_object(w, NULL);
    jw_str(w, "Name", networks[i].name);
    jw_str(w, "Id", id);
    jw_str(w, "Created", "1970-01-01T00:00:00Z");
    jw_str(w, "Scope", "local");
    jw_str(w, "Driver", networks[i].driver);
    jw_object(w, "IPAM");
    jw_str(w, "Driver", "default");
    jw_array(w, "Config");
    jw_array_end(w);
    jw_object_end(w);
    jw_bool(w, "Internal", i != 1); /* no container network leads out yet */
    jw_object(w, "Containers");
    jw_object_end(w);
    jw_object(w, "Options");
    jw_object_end(w);
    jw_object(w, "Labels");
    jw_object_end(w);
    jw_object_end(w);
}

API(api_networks)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_array(&w, NULL);
    for (int i = 0; i < 3; i++)
        network_json(&w, i);
    jw_array_end(&w);
    api_json(call->conn, 200, &b);
}

API(api_network)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    for (int i = 0; i < 3; i++) {
        if (strcmp(networks[i].name, call->name))
            continue;
        network_json(&w, i);
        api_json(call->conn, 200, &b);
        return;
    }
    api_error(call->conn, 404, "network %s not found", call->name);
}

API(api_volumes)
{
    static const char none[] = "{\"Volumes\":[],\"Warnings\":null}\n";

    http_reply(call->conn, 200, "application/json", none, sizeof(none) - 1);
}

// SPDX-License-Identifier: MIT
// The types of a request's fields: a value of the wrong type is refused by name, as Docker does,
// and never taken for its default. null stands for absent; fields that are not named here are for
// others to judge.
#include <string.h>

#include "engine/engine.h"
#include "lib/str.h"

struct field {
    const char *name;
    char type; /* n whole number, b boolean, s string, o object, m object of strings, l list,
                  t list of strings, c a command: list of strings, or one string */
};

static const struct field fields_host[] = {
    {"AutoRemove", 'b'},
    {"Binds", 't'},
    {"BlkioWeight", 'n'},
    {"CapAdd", 't'},
    {"CapDrop", 't'},
    {"CgroupParent", 's'},
    {"CgroupnsMode", 's'},
    {"CpuPeriod", 'n'},
    {"CpuQuota", 'n'},
    {"CpuShares", 'n'},
    {"CpusetCpus", 's'},
    {"CpusetMems", 's'},
    {"Devices", 'l'},
    {"Dns", 't'},
    {"DnsOptions", 't'},
    {"DnsSearch", 't'},
    {"ExtraHosts", 't'},
    {"GroupAdd", 't'},
    {"Init", 'b'},
    {"IpcMode", 's'},
    {"Links", 't'},
    {"LogConfig", 'o'},
    {"Memory", 'n'},
    {"MemoryReservation", 'n'},
    {"MemorySwap", 'n'},
    {"MemorySwappiness", 'n'},
    {"Mounts", 'l'},
    {"NanoCpus", 'n'},
    {"NetworkMode", 's'},
    {"OomKillDisable", 'b'},
    {"OomScoreAdj", 'n'},
    {"PidMode", 's'},
    {"PidsLimit", 'n'},
    {"PortBindings", 'o'},
    {"Privileged", 'b'},
    {"PublishAllPorts", 'b'},
    {"ReadonlyRootfs", 'b'},
    {"RestartPolicy", 'o'},
    {"Runtime", 's'},
    {"SecurityOpt", 't'},
    {"ShmSize", 'n'},
    {"StorageOpt", 'm'},
    {"Sysctls", 'm'},
    {"Tmpfs", 'm'},
    {"UTSMode", 's'},
    {"Ulimits", 'l'},
    {"UsernsMode", 's'},
    {"VolumesFrom", 't'},
    {NULL, 0},
};

static const struct field fields_create[] = {
    {"AttachStderr", 'b'}, {"AttachStdin", 'b'},  {"AttachStdout", 'b'},
    {"Cmd", 'c'},          {"Domainname", 's'},   {"Entrypoint", 'c'},
    {"Env", 't'},          {"ExposedPorts", 'o'}, {"HostConfig", 'o'},
    {"Hostname", 's'},     {"Image", 's'},        {"Labels", 'm'},
    {"OpenStdin", 'b'},    {"StdinOnce", 'b'},    {"StopSignal", 's'},
    {"StopTimeout", 'n'},  {"Tty", 'b'},          {"User", 's'},
    {"Volumes", 'o'},      {"WorkingDir", 's'},   {NULL, 0},
};

static const struct field fields_exec[] = {
    {"AttachStderr", 'b'}, {"AttachStdin", 'b'},
    {"AttachStdout", 'b'}, {"Cmd", 't'},
    {"Env", 't'},          {"Privileged", 'b'},
    {"Tty", 'b'},          {"User", 's'},
    {"WorkingDir", 's'},   {NULL, 0},
};

static bool field_strings(const struct json *list, enum json_type type)
{
    for (const struct json *j = list->child; j; j = j->next)
        if (j->type != JSON_STRING)
            return false;
    return list->type == type;
}

static bool field_fits(char type, const struct json *j)
{
    switch (type) {
    case 'n':
        return j->type == JSON_NUMBER && j->whole;
    case 'b':
        return j->type == JSON_BOOL;
    case 's':
        return j->type == JSON_STRING;
    case 'o':
        return j->type == JSON_OBJECT;
    case 'l':
        return j->type == JSON_ARRAY;
    case 't':
        return field_strings(j, JSON_ARRAY);
    case 'm':
        return field_strings(j, JSON_OBJECT);
    default:
        return j->type == JSON_STRING || field_strings(j, JSON_ARRAY);
    }
}

static const char *field_words(char type)
{
    switch (type) {
    case 'n':
        return "a whole number";
    case 'b':
        return "a boolean";
    case 's':
        return "a string";
    case 'o':
        return "an object";
    case 'm':
        return "an object of strings";
    case 'l':
        return "an array";
    default:
        return "an array of strings";
    }
}

static char *judge(const struct json *body, const struct field *fields)
{
    if (!body || body->type != JSON_OBJECT)
        return str_dup("the request body must be a JSON object");
    for (; fields->name; fields++) {
        const struct json *j = json_get(body, fields->name);

        if (j && j->type != JSON_NULL && !field_fits(fields->type, j))
            return str_fmt("invalid JSON in the request body: %s must be %s", fields->name,
                           field_words(fields->type));
    }
    return NULL;
}

char *judge_create(const struct json *body)
{
    char *why = judge(body, fields_create);
    const struct json *host = why ? NULL : json_get(body, "HostConfig");

    return !why && host && host->type != JSON_NULL ? judge(host, fields_host) : why;
}

char *judge_update(const struct json *body)
{
    return judge(body, fields_host);
}

char *judge_exec(const struct json *body)
{
    return judge(body, fields_exec);
}

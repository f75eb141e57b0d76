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
                  t list of strings, c a command: list of strings, or one string, x list of objects,
                  w list of whole numbers */
    const struct field *inner; /* of an object, or of each in a list */
};

static const struct field fields_log[] = {
    {"Config", 'm', NULL}, {"Type", 's', NULL}, {NULL, 0, NULL}};
static const struct field fields_restart[] = {
    {"MaximumRetryCount", 'n', NULL}, {"Name", 's', NULL}, {NULL, 0, NULL}};
static const struct field fields_ulimit[] = {
    {"Hard", 'n', NULL}, {"Name", 's', NULL}, {"Soft", 'n', NULL}, {NULL, 0, NULL}};
static const struct field fields_device[] = {{"CgroupPermissions", 's', NULL},
                                             {"PathInContainer", 's', NULL},
                                             {"PathOnHost", 's', NULL},
                                             {NULL, 0, NULL}};
static const struct field fields_bind[] = {
    {"CreateMountpoint", 'b', NULL},     {"NonRecursive", 'b', NULL},
    {"Propagation", 's', NULL},          {"ReadOnlyForceRecursive", 'b', NULL},
    {"ReadOnlyNonRecursive", 'b', NULL}, {NULL, 0, NULL}};
static const struct field fields_driver[] = {
    {"Name", 's', NULL}, {"Options", 'm', NULL}, {NULL, 0, NULL}};
static const struct field fields_volume[] = {{"DriverConfig", 'o', fields_driver},
                                             {"Labels", 'm', NULL},
                                             {"NoCopy", 'b', NULL},
                                             {"Subpath", 's', NULL},
                                             {NULL, 0, NULL}};
static const struct field fields_tmpfs[] = {
    {"Mode", 'n', NULL}, {"Options", 'l', NULL}, {"SizeBytes", 'n', NULL}, {NULL, 0, NULL}};
static const struct field fields_mount[] = {{"BindOptions", 'o', fields_bind},
                                            {"Consistency", 's', NULL},
                                            {"ReadOnly", 'b', NULL},
                                            {"Source", 's', NULL},
                                            {"Target", 's', NULL},
                                            {"TmpfsOptions", 'o', fields_tmpfs},
                                            {"Type", 's', NULL},
                                            {"VolumeOptions", 'o', fields_volume},
                                            {NULL, 0, NULL}};
static const struct field fields_health[] = {{"Test", 't', NULL}, {NULL, 0, NULL}};

static const struct field fields_host[] = {
    {"AutoRemove", 'b', NULL},
    {"Binds", 't', NULL},
    {"BlkioWeight", 'n', NULL},
    {"CapAdd", 't', NULL},
    {"CapDrop", 't', NULL},
    {"CgroupParent", 's', NULL},
    {"CgroupnsMode", 's', NULL},
    {"ConsoleSize", 'w', NULL},
    {"CpuPeriod", 'n', NULL},
    {"CpuQuota", 'n', NULL},
    {"CpuShares", 'n', NULL},
    {"CpusetCpus", 's', NULL},
    {"CpusetMems", 's', NULL},
    {"Devices", 'x', fields_device},
    {"Dns", 't', NULL},
    {"DnsOptions", 't', NULL},
    {"DnsSearch", 't', NULL},
    {"ExtraHosts", 't', NULL},
    {"GroupAdd", 't', NULL},
    {"Init", 'b', NULL},
    {"IpcMode", 's', NULL},
    {"Links", 't', NULL},
    {"LogConfig", 'o', fields_log},
    {"Memory", 'n', NULL},
    {"MemoryReservation", 'n', NULL},
    {"MemorySwap", 'n', NULL},
    {"MemorySwappiness", 'n', NULL},
    {"Mounts", 'x', fields_mount},
    {"NanoCpus", 'n', NULL},
    {"NetworkMode", 's', NULL},
    {"OomKillDisable", 'b', NULL},
    {"OomScoreAdj", 'n', NULL},
    {"PidMode", 's', NULL},
    {"PidsLimit", 'n', NULL},
    {"PortBindings", 'o', NULL},
    {"Privileged", 'b', NULL},
    {"PublishAllPorts", 'b', NULL},
    {"ReadonlyRootfs", 'b', NULL},
    {"RestartPolicy", 'o', fields_restart},
    {"Runtime", 's', NULL},
    {"SecurityOpt", 't', NULL},
    {"ShmSize", 'n', NULL},
    {"StorageOpt", 'm', NULL},
    {"Sysctls", 'm', NULL},
    {"Tmpfs", 'm', NULL},
    {"UTSMode", 's', NULL},
    {"Ulimits", 'x', fields_ulimit},
    {"UsernsMode", 's', NULL},
    {"VolumesFrom", 't', NULL},
    {NULL, 0, NULL},
};

static const struct field fields_create[] = {
    {"AttachStderr", 'b', NULL},
    {"AttachStdin", 'b', NULL},
    {"AttachStdout", 'b', NULL},
    {"Cmd", 'c', NULL},
    {"Domainname", 's', NULL},
    {"Entrypoint", 'c', NULL},
    {"Env", 't', NULL},
    {"ExposedPorts", 'o', NULL},
    {"HostConfig", 'o', NULL},
    {"Hostname", 's', NULL},
    {"Image", 's', NULL},
    {"Labels", 'm', NULL},
    {"OpenStdin", 'b', NULL},
    {"StdinOnce", 'b', NULL},
    {"StopSignal", 's', NULL},
    {"StopTimeout", 'n', NULL},
    {"Tty", 'b', NULL},
    {"User", 's', NULL},
    {"Volumes", 'o', NULL},
    {"WorkingDir", 's', NULL},
    {"Healthcheck", 'o', fields_health},
    {NULL, 0, NULL},
};

static const struct field fields_exec[] = {
    {"AttachStderr", 'b', NULL},
    {"AttachStdin", 'b', NULL},
    {"AttachStdout", 'b', NULL},
    {"Cmd", 't', NULL},
    {"DetachKeys", 's', NULL},
    {"Env", 't', NULL},
    {"Privileged", 'b', NULL},
    {"Tty", 'b', NULL},
    {"User", 's', NULL},
    {"WorkingDir", 's', NULL},
    {NULL, 0, NULL},
};

/* A list, or an object, of values of one type. */
static bool field_all(const struct json *list, enum json_type type, enum json_type each)
{
    for (const struct json *j = list->child; j; j = j->next)
        if (j->type != each)
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
    case 'x':
        return field_all(j, JSON_ARRAY, JSON_OBJECT);
    case 'w':
        return field_all(j, JSON_ARRAY, JSON_NUMBER);
    case 't':
        return field_all(j, JSON_ARRAY, JSON_STRING);
    case 'm':
        return field_all(j, JSON_OBJECT, JSON_STRING);
    default:
        return j->type == JSON_STRING || field_all(j, JSON_ARRAY, JSON_STRING);
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
    case 'x':
        return "an array of objects";
    case 'w':
        return "an array of numbers";
    default:
        return "an array of strings";
    }
}

static char *judge_members(const struct json *object, const struct field *fields);

static char *judge_field(const struct json *j, const struct field *f)
{
    char *why = NULL;

    if (!j || j->type == JSON_NULL)
        return NULL;
    if (!field_fits(f->type, j))
        return str_fmt("invalid JSON in the request body: %s must be %s", f->name,
                       field_words(f->type));
    if (f->inner && f->type == 'o')
        return judge_members(j, f->inner);
    for (const struct json *one = f->inner ? j->child : NULL; one && !why; one = one->next)
        why = judge_members(one, f->inner);
    return why;
}

static char *judge_members(const struct json *object, const struct field *fields)
{
    char *why = NULL;

    for (; fields->name && !why; fields++)
        why = judge_field(json_get(object, fields->name), fields);
    return why;
}

static char *judge(const struct json *body, const struct field *fields)
{
    if (!body || body->type != JSON_OBJECT)
        return str_dup("the request body must be a JSON object");
    return judge_members(body, fields);
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

// SPDX-License-Identifier: MIT
// Names that clients use for constants: capabilities, signals, resource limits.
#include "engine/engine.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "engine/constants.h"
#include "lib/str.h"

static const char *const cap_names[CAP_COUNT] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

uint64_t caps_default(void)
{
    static const int set[] = {
        CAP_CHOWN,      CAP_DAC_OVERRIDE, CAP_FOWNER,      CAP_FSETID,           CAP_KILL,
        CAP_SETGID,     CAP_SETUID,       CAP_SETPCAP,     CAP_NET_BIND_SERVICE, CAP_NET_RAW,
        CAP_SYS_CHROOT, CAP_MKNOD,        CAP_AUDIT_WRITE, CAP_SETFCAP};
    uint64_t caps = 0;

    for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
        caps |= 1ull << set[i];
    return caps;
}

static bool caps_named(const char *name, uint64_t *out)
{
    if (!strncasecmp(name, "CAP_", 4))
        name += 4;
    if (str_case_eq(name, "ALL")) {
        *out = CAPS_ALL;
        return true;
    }
    for (int i = 0; i < CAP_COUNT; i++) {
        if (!str_case_eq(cap_names[i], name))
            continue;
        *out = 1ull << i;
        return true;
    }
    return false;
}

/* The union of a list's capabilities; NULL or a sentence. */
static char *caps_list(const struct json *host, const char *key, uint64_t *out)
{
    *out = 0;
    for (struct json *j = json_list(host, key); j; j = j->next) {
        uint64_t bits;

        if (j->type != JSON_STRING || !caps_named(j->str, &bits))
            return str_fmt("invalid %s: unknown capability: \"%s\"", key,
                           j->type == JSON_STRING ? j->str : "?");
        *out |= bits;
    }
    return NULL;
}

char *caps_apply(uint64_t *caps, const struct json *host)
{
    uint64_t add, drop;
    char *why = caps_list(host, "CapAdd", &add);

    why = why ? why : caps_list(host, "CapDrop", &drop);
    if (why)
        return why;
    /* as Docker has it: all but what is dropped, or the default less drops, plus additions */
    if (add == CAPS_ALL)
        *caps = drop == CAPS_ALL ? add : add & ~drop;
    else
        *caps = (drop == CAPS_ALL ? 0 : *caps & ~drop) | add;
    return NULL;
}

static const struct {
    const char *name;
    int number;
} signal_names[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT}, {"ILL", SIGILL},
    {"TRAP", SIGTRAP}, {"ABRT", SIGABRT},     {"IOT", SIGABRT},  {"BUS", SIGBUS},
    {"FPE", SIGFPE},   {"KILL", SIGKILL},     {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},
    {"USR2", SIGUSR2}, {"PIPE", SIGPIPE},     {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"CHLD", SIGCHLD}, {"CONT", SIGCONT},     {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},
    {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},   {"XCPU", SIGXCPU},
    {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH},
    {"IO", SIGIO},     {"PWR", SIGPWR},       {"SYS", SIGSYS},   {"RTMIN", 34},
    {"RTMAX", 64},
};

int signal_parse(const char *text)
{
    uint64_t n;

    if (str_u64(text, &n))
        return n >= 1 && n <= 64 ? (int)n : -1;
    if (!strncasecmp(text, "SIG", 3))
        text += 3;
    for (size_t i = 0; i < sizeof(signal_names) / sizeof(signal_names[0]); i++)
        if (str_case_eq(signal_names[i].name, text))
            return signal_names[i].number;
    if (!strncasecmp(text, "RTMIN+", 6) && str_u64(text + 6, &n) && n <= 30)
        return 34 + (int)n;
    return -1;
}

int rlimit_parse(const char *name)
{
    static const struct {
        const char *name;
        int resource;
    } table[] = {
        {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
        {"data", RLIMIT_DATA},         {"fsize", RLIMIT_FSIZE},
        {"locks", RLIMIT_LOCKS},       {"memlock", RLIMIT_MEMLOCK},
        {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
        {"nofile", RLIMIT_NOFILE},     {"nproc", RLIMIT_NPROC},
        {"rss", RLIMIT_RSS},           {"rtprio", RLIMIT_RTPRIO},
        {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
        {"stack", RLIMIT_STACK},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (!strcmp(table[i].name, name))
            return table[i].resource;
    return -1;
}

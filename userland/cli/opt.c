// SPDX-License-Identifier: MIT
// Command-line options, as Docker reads them: -it, -eA=b, -e A=b, --name x, --name=x, --.
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_usage(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(CLI_USAGE);
}

static bool opt_truth(const char *verb, const char *name, const char *value)
{
    static const char *const yes[] = {"true", "TRUE", "True", "t", "T", "1"};
    static const char *const no[] = {"false", "FALSE", "False", "f", "F", "0"};

    for (int i = 0; value && i < 6; i++) {
        if (!strcmp(value, yes[i]))
            return true;
        if (!strcmp(value, no[i]))
            return false;
    }
    if (!value)
        return true;
    cli_usage("invalid argument \"%s\" for \"--%s\" flag: see 'bothy %s --help'", value, name,
              verb);
}

static void opt_set(const struct opt *o, const char *verb, const char *value)
{
    struct opt_list *list = o->value;

    switch (o->type) {
    case OPT_BOOL:
        *(bool *)o->value = opt_truth(verb, o->name, value);
        return;
    case OPT_STR:
        *(const char **)o->value = value;
        return;
    case OPT_LIST:
        list->item = mem_resize(list->item, sizeof(char *) * (size_t)(list->n + 1));
        list->item[list->n++] = value;
        return;
    }
}

static const struct opt *opt_find(const struct opt *opts, size_t n, char letter, const char *name,
                                  size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (letter ? opts[i].letter == letter
                   : strlen(opts[i].name) == len && !strncmp(opts[i].name, name, len))
            return &opts[i];
    return NULL;
}

/* One "--name"; returns how many further arguments it used. */
static int opt_long(const char *verb, const struct opt *opts, size_t n, char **argv)
{
    const char *name = argv[0] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct opt *o = opt_find(opts, n, 0, name, len);

    if (!o)
        cli_usage("unknown flag: --%.*s: see 'bothy help'", (int)len, name);
    if (equals || o->type == OPT_BOOL) {
        opt_set(o, verb, equals ? equals + 1 : NULL);
        return 0;
    }
    if (!argv[1])
        cli_usage("flag needs an argument: --%s", name);
    opt_set(o, verb, argv[1]);
    return 1;
}

/* One "-abc"; returns how many further arguments it used. */
static int opt_short(const char *verb, const struct opt *opts, size_t n, char **argv)
{
    for (const char *p = argv[0] + 1; *p; p++) {
        const struct opt *o = opt_find(opts, n, *p, NULL, 0);

        if (!o)
            cli_usage("unknown shorthand flag: '%c' in %s: see 'bothy help'", *p, argv[0]);
        if (o->type == OPT_BOOL) {
            opt_set(o, verb, NULL);
            continue;
        }
        if (p[1]) {
            opt_set(o, verb, p[1] == '=' ? p + 2 : p + 1);
            return 0;
        }
        if (!argv[1])
            cli_usage("flag needs an argument: '%c' in %s", *p, argv[0]);
        opt_set(o, verb, argv[1]);
        return 1;
    }
    return 0;
}

int opt_parse(const char *verb, const struct opt *opts, size_t n, int argc, char **argv,
              bool interspersed)
{
    char **operand = mem_alloc(sizeof(char *) * (size_t)(argc + 1));
    int i = 1, operands = 0, first;

    while (i < argc) {
        char *a = argv[i];

        if (!strcmp(a, "--")) {
            i++;
            break;
        }
        if (a[0] == '-' && a[1] == '-')
            i += 1 + opt_long(verb, opts, n, argv + i);
        else if (a[0] == '-' && a[1])
            i += 1 + opt_short(verb, opts, n, argv + i);
        else if (interspersed)
            operand[operands++] = argv[i++];
        else
            break;
    }
    while (i < argc)
        operand[operands++] = argv[i++];
    first = argc - operands;
    memcpy(argv + first, operand, sizeof(char *) * (size_t)operands);
    free(operand);
    return first;
}

void opt_operands(const char *verb, int have, int min, int max)
{
    if (have < min && min == max)
        cli_usage("\"bothy %s\" requires %d argument%s", verb, min, min == 1 ? "" : "s");
    if (have < min)
        cli_usage("\"bothy %s\" requires at least %d argument%s", verb, min, min == 1 ? "" : "s");
    if (max >= 0 && have > max)
        cli_usage("\"bothy %s\" accepts at most %d argument%s", verb, max, max == 1 ? "" : "s");
}

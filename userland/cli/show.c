// SPDX-License-Identifier: MIT
// The verbs that show what there is: images, ps, inspect, version, info, top.
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/str.h"

struct json *cli_get(const char *path)
{
    struct buf answer = {0};
    struct json *j;

    if (cli_call("GET", path, NULL, &answer) != 200) {
        cli_error(&answer);
        exit(1);
    }
    j = cli_json(&answer);
    buf_free(&answer);
    return j;
}

static char *short_id(const char *id, bool full)
{
    if (!id)
        return str_dup("");
    if (full)
        return str_dup(id);
    return str_fmt("%.12s", str_starts(id, "sha256:") ? id + 7 : id);
}

/* The array that a listing has written, as format_rows wants it. */
static struct json *rows_of(struct buf *b)
{
    struct json *j = json_parse(b->data, b->len, NULL);

    buf_free(b);
    return j;
}

/* A time as Docker's listings print it; one that no calendar has is empty. */
static void jw_time(struct jw *w, const char *key, time_t t)
{
    const struct tm *tm = localtime(&t);
    char text[64];

    jw_strn(w, key, text, tm ? strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", tm) : 0);
}

static void jw_taken(struct jw *w, const char *key, char *text)
{
    jw_str(w, key, text);
    free(text);
}

/* "repo:tag" or "repo@digest", and the digest that the image has in that repository, or NULL. */
static void image_row(struct jw *w, const struct json *img, const char *name, const char *digest,
                      bool full)
{
    const char *at = name ? strchr(name, '@') : NULL, *colon = name ? strrchr(name, ':') : NULL;
    const char *end = at ? at : colon;
    int64_t created = json_int(img, "Created", 0);

    jw_object(w, NULL);
    jw_taken(w, "ID", short_id(json_str(img, "Id"), full));
    jw_taken(w, "Repository", end ? str_dupn(name, (size_t)(end - name)) : str_dup("<none>"));
    jw_str(w, "Tag", colon && !at ? colon + 1 : "<none>");
    jw_str(w, "Digest", digest ? digest : "<none>");
    jw_taken(w, "CreatedSince", created ? human_ago(created) : str_dup("N/A"));
    jw_time(w, "CreatedAt", created);
    jw_taken(w, "Size", human_size((double)json_int(img, "Size", 0)));
    jw_object_end(w);
}

/* Of the repository that a tag is of. */
static const char *image_digest(const struct json *img, const char *tag)
{
    size_t repo = (size_t)(strrchr(tag, ':') - tag);

    for (struct json *d = json_list(img, "RepoDigests"); d; d = d->next)
        if (!strncmp(d->str, tag, repo) && d->str[repo] == '@')
            return d->str + repo + 1;
    return NULL;
}

/* One for each tag; of an image without any, one for each repository that it was pulled from. */
static void image_rows(struct jw *w, const struct json *img, bool quiet, bool full)
{
    const struct json *tag = json_list(img, "RepoTags"), *digest = json_list(img, "RepoDigests");

    if (quiet || (!tag && !digest)) {
        image_row(w, img, NULL, NULL, full);
        return;
    }
    for (; tag; tag = tag->next) {
        image_row(w, img, tag->str, image_digest(img, tag->str), full);
        digest = NULL;
    }
    for (; digest; digest = digest->next)
        image_row(w, img, digest->str, strchr(digest->str, '@') + 1, full);
}

#define IMAGE_TITLES                                                                            \
    "{\"ID\":\"IMAGE ID\",\"Repository\":\"REPOSITORY\",\"Tag\":\"TAG\",\"Digest\":\"DIGEST\"," \
    "\"CreatedSince\":\"CREATED\",\"CreatedAt\":\"CREATED AT\",\"Size\":\"SIZE\"}"
#define IMAGE_DIGESTS \
    "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
#define IMAGE_FORMAT "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"

static struct json *titles_of(const char *text)
{
    return json_parse(text, strlen(text), NULL);
}

int verb_images(int argc, char **argv)
{
    bool quiet = false, full = false, all = false, digests = false;
    const char *format = NULL;
    const struct opt opts[] = {{'q', "quiet", OPT_BOOL, &quiet},
                               {0, "digests", OPT_BOOL, &digests},
                               {'a', "all", OPT_BOOL, &all},
                               {0, "no-trunc", OPT_BOOL, &full},
                               {0, "format", OPT_STR, &format}};
    struct buf rows = {0};
    struct jw w = {.out = &rows};
    struct json *list;
    int first = opt_parse("images", opts, 5, argc, argv, true);

    opt_operands("images", argc - first, 0, 1);
    if (first < argc) {
        struct buf f = {0};
        struct jw filter = {.out = &f};

        jw_object(&filter, NULL);
        jw_object(&filter, "reference");
        jw_bool(&filter, argv[first], true);
        jw_object_end(&filter);
        jw_object_end(&filter);
        list = cli_get(cli_path("/images/json?filters=%s", cli_encode(f.data)));
    } else {
        list = cli_get("/images/json");
    }
    jw_array(&w, NULL);
    for (struct json *img = list->child; img; img = img->next)
        image_rows(&w, img, quiet, full);
    jw_array_end(&w);
    format_rows(rows_of(&rows), titles_of(IMAGE_TITLES),
                quiet     ? "{{.ID}}"
                : format  ? format
                : digests ? IMAGE_DIGESTS
                          : IMAGE_FORMAT);
    return 0;
}

/* In quotes, as Go's strconv.Quote has it. */
static char *quoted(const char *text, size_t len)
{
    static const char escaped[] = "\a\b\t\n\v\f\r", letters[] = "abtnvfr";
    struct buf b = {0};

    buf_char(&b, '"');
    for (const char *p = text; p < text + len; p++) {
        const char *at = memchr(escaped, *p, sizeof(escaped) - 1);

        if (at)
            buf_fmt(&b, "\\%c", letters[at - escaped]);
        else if (*p == '"' || *p == '\\')
            buf_fmt(&b, "\\%c", *p);
        else if ((unsigned char)*p < 0x20 || *p == 0x7f)
            buf_fmt(&b, "\\x%02x", (unsigned)*p);
        else
            buf_char(&b, *p);
    }
    buf_char(&b, '"');
    return buf_take(&b);
}

/* Cut to twenty characters as Docker does. */
static char *command_cell(const char *text, bool full)
{
    size_t chars = 0, cut = 0, len = 0;
    char *shorter, *cell;

    for (; text[len]; len++) {
        chars += ((unsigned char)text[len] & 0xc0) != 0x80;
        if (chars == 20 && !cut)
            cut = len;
    }
    if (full || chars <= 20)
        return quoted(text, len);
    shorter = str_fmt("%.*s\xe2\x80\xa6", (int)cut, text);
    cell = quoted(shorter, strlen(shorter));
    free(shorter);
    return cell;
}

/* {"a":"b"} as a=b,c=d. */
static char *labels_text(const struct json *labels)
{
    struct buf b = {0};

    for (const struct json *l = labels ? labels->child : NULL; l; l = l->next)
        buf_fmt(&b, "%s%s=%s", b.len ? "," : "", l->key, l->str ? l->str : "");
    return b.data ? buf_take(&b) : str_dup("");
}

static void container_row(struct jw *w, const struct json *c, bool full)
{
    struct json *name = json_list(c, "Names");
    const char *command = json_str(c, "Command");

    jw_object(w, NULL);
    jw_taken(w, "ID", short_id(json_str(c, "Id"), full));
    jw_str(w, "Image", json_str(c, "Image"));
    jw_taken(w, "Command", command_cell(command ? command : "", full));
    jw_taken(w, "RunningFor", human_ago(json_int(c, "Created", 0)));
    jw_time(w, "CreatedAt", json_int(c, "Created", 0));
    jw_str(w, "State", json_str(c, "State"));
    jw_str(w, "Status", json_str(c, "Status"));
    jw_str(w, "Ports", "");
    jw_str(w, "Names", name && name->str ? name->str + 1 : "");
    jw_taken(w, "Labels", labels_text(json_get(c, "Labels")));
    jw_object_end(w);
}

#define CONTAINER_TITLES                                                                          \
    "{\"ID\":\"CONTAINER "                                                                        \
    "ID\",\"Image\":\"IMAGE\",\"Command\":\"COMMAND\",\"RunningFor\":\"CREATED\","                \
    "\"CreatedAt\":\"CREATED AT\",\"State\":\"STATE\",\"Status\":\"STATUS\",\"Ports\":\"PORTS\"," \
    "\"Names\":\"NAMES\",\"Labels\":\"LABELS\"}"
#define CONTAINER_FORMAT                                                      \
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t" \
    "{{.Ports}}\t{{.Names}}"

/* --filter KEY=VALUE options as the engine wants them. */
static char *filters_json(const struct opt_list *l)
{
    struct buf b = {0};
    struct jw w = {.out = &b};

    jw_object(&w, NULL);
    for (int i = 0; i < l->n; i++) {
        const char *equals = strchr(l->item[i], '=');
        char *key;

        if (!equals)
            cli_usage("invalid argument \"%s\" for \"-f, --filter\" flag: bad format of filter "
                      "(expected name=value)",
                      l->item[i]);
        key = str_dupn(l->item[i], (size_t)(equals - l->item[i]));
        jw_object(&w, key);
        jw_bool(&w, equals + 1, true);
        jw_object_end(&w);
        free(key);
    }
    jw_object_end(&w);
    return buf_take(&b);
}

int verb_ps(int argc, char **argv)
{
    bool all = false, quiet = false, full = false, latest = false;
    const char *last = "0", *format = CONTAINER_FORMAT;
    struct opt_list filters = {0};
    const struct opt opts[] = {
        {'a', "all", OPT_BOOL, &all},     {'q', "quiet", OPT_BOOL, &quiet},
        {0, "no-trunc", OPT_BOOL, &full}, {'l', "latest", OPT_BOOL, &latest},
        {'n', "last", OPT_STR, &last},    {'f', "filter", OPT_LIST, &filters},
        {0, "format", OPT_STR, &format},
    };
    struct buf rows = {0};
    struct jw w = {.out = &rows};
    struct json *list;

    opt_operands("ps", argc - opt_parse("ps", opts, 7, argc, argv, true), 0, 0);
    list = cli_get(cli_path("/containers/json?all=%d&limit=%s&filters=%s", all,
                            latest ? "1" : cli_encode(last), cli_encode(filters_json(&filters))));
    jw_array(&w, NULL);
    for (struct json *c = list->child; c; c = c->next)
        container_row(&w, c, full);
    jw_array_end(&w);
    format_rows(rows_of(&rows), titles_of(CONTAINER_TITLES), quiet ? "{{.ID}}" : format);
    return 0;
}

static void pretty_key(char *key)
{
    const struct json text = {.type = JSON_STRING, .str = key};
    struct buf b = {0};

    json_write(&b, &text);
    printf("%s: ", b.data);
    buf_free(&b);
}

/* Indented by four, as `docker inspect` prints. */
static void pretty(const struct json *j, int depth)
{
    struct buf b = {0};

    if ((j->type != JSON_ARRAY && j->type != JSON_OBJECT) || !j->child) {
        json_write(&b, j);
        fputs(b.data, stdout);
        buf_free(&b);
        return;
    }
    puts(j->type == JSON_ARRAY ? "[" : "{");
    for (const struct json *c = j->child; c; c = c->next) {
        printf("%*s", 4 * (depth + 1), "");
        if (j->type == JSON_OBJECT)
            pretty_key(c->key);
        pretty(c, depth + 1);
        puts(c->next ? "," : "");
    }
    printf("%*s%c", 4 * depth, "", j->type == JSON_ARRAY ? ']' : '}');
}

void cli_pretty(const struct json *j)
{
    pretty(j, 0);
    putchar('\n');
}

static struct json *inspect_one(const char *name, const char *type)
{
    static const char *const kinds[] = {"containers", "images", "networks", "volumes"};

    for (int i = 0; i < 4; i++) {
        struct buf answer = {0};
        struct json *j = NULL;

        if (type && !str_starts(kinds[i], type))
            continue;
        if (cli_call("GET", cli_path("/%s/%s%s", kinds[i], cli_encode(name), i < 2 ? "/json" : ""),
                     NULL, &answer) == 200)
            j = cli_json(&answer);
        buf_free(&answer);
        if (j)
            return j;
    }
    return NULL;
}

int verb_inspect(int argc, char **argv)
{
    const char *format = NULL, *type = NULL;
    const struct opt opts[] = {{'f', "format", OPT_STR, &format}, {0, "type", OPT_STR, &type}};
    int first = opt_parse("inspect", opts, 2, argc, argv, true), rc = 0;
    struct json *found = json_parse("[]", 2, NULL), **tail = &found->child;

    opt_operands("inspect", argc - first, 1, -1);
    for (int i = first; i < argc; i++) {
        struct json *j = inspect_one(argv[i], type);

        if (!j) {
            fprintf(stderr, "Error: No such %s: %s\n", type ? type : "object", argv[i]);
            rc = 1;
            continue;
        }
        if (format) {
            struct buf b = {0};

            format_text(&b, j, format);
            puts(b.data ? b.data : "");
            buf_free(&b);
        }
        *tail = j;
        tail = &j->next;
    }
    if (!format)
        cli_pretty(found);
    return rc;
}

int verb_version(int argc, char **argv)
{
    static const char *const keys[] = {"Version",       "ApiVersion", "MinAPIVersion",
                                       "KernelVersion", "Os",         "Arch"};
    struct json *v;

    opt_operands("version", argc - opt_parse("version", NULL, 0, argc, argv, true), 0, 0);
    v = cli_get("/version");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        printf("%-14s %s\n", keys[i], json_str(v, keys[i]) ? json_str(v, keys[i]) : "");
    return 0;
}

int verb_info(int argc, char **argv)
{
    static const char *const keys[] = {"Containers",        "ContainersRunning",
                                       "ContainersStopped", "Images",
                                       "ServerVersion",     "Driver",
                                       "CgroupVersion",     "DefaultRuntime",
                                       "KernelVersion",     "OperatingSystem",
                                       "Architecture",      "NCPU",
                                       "MemTotal",          "Name",
                                       "DockerRootDir"};
    struct json *v, *w;

    opt_operands("info", argc - opt_parse("info", NULL, 0, argc, argv, true), 0, 0);
    v = cli_get("/info");
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct buf b = {0};

        format_value(&b, json_get(v, keys[i]), false);
        printf("%-18s %s\n", keys[i], b.data);
        buf_free(&b);
    }
    for (w = json_list(v, "Warnings"); w; w = w->next)
        fprintf(stderr, "%s\n", w->str ? w->str : "");
    return 0;
}

int verb_top(int argc, char **argv)
{
    struct table t = {0};
    struct json *top, *cell;

    opt_parse("top", NULL, 0, argc, argv, true);
    opt_operands("top", argc - 1, 1, -1);
    top = cli_get(cli_path("/containers/%s/top", cli_encode(argv[1])));
    t.columns = json_count(json_get(top, "Titles"));
    if (!t.columns || t.columns > TABLE_COLUMNS)
        return 1;
    for (cell = json_list(top, "Titles"); cell; cell = cell->next)
        table_cell(&t, str_dup(cell->str));
    for (struct json *row = json_list(top, "Processes"); row; row = row->next)
        for (cell = row->child; cell; cell = cell->next)
            table_cell(&t, str_dup(cell->str));
    table_print(&t);
    return 0;
}

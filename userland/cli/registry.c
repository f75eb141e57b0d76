// SPDX-License-Identifier: MIT
// pull, push and login. Credentials lie where docker has them, in $DOCKER_CONFIG/config.json or
// ~/.docker/config.json: {"auths":{HOST:{"auth":base64 of "user:password"}}}.
#include "cli/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/base64.h"
#include "lib/str.h"

#define CONFIG_MAX (1024u * 1024)
#define DOCKER_AUTH "https://index.docker.io/v1/"

/* ---- names ----------------------------------------------------------------------------------- */

/* The bytes of the registry's name in front of an image's; 0 when it names none. */
static size_t name_host(const char *image)
{
    size_t n = strcspn(image, "/");

    if (!image[n] ||
        (!memchr(image, '.', n) && !memchr(image, ':', n) && strncmp(image, "localhost/", 10)))
        return 0;
    return n;
}

static char *name_registry(const char *image)
{
    size_t n = name_host(image);

    return n && strncmp(image, "docker.io/", 10) ? str_dupn(image, n) : str_dup(DOCKER_AUTH);
}

static bool name_has_tag(const char *image)
{
    const char *colon = strrchr(image, ':');

    return strchr(image, '@') || (colon && !strchr(colon, '/'));
}

/* Docker's last line of a pull: the whole name. */
static void name_print(const char *image, bool all)
{
    bool host = name_host(image);

    printf("%s%s%s%s\n", host ? "" : "docker.io/", host || strchr(image, '/') ? "" : "library/",
           image, all || name_has_tag(image) ? "" : ":latest");
}

/* ---- credentials ----------------------------------------------------------------------------- */

static char *config_path(void)
{
    const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");

    return dir && *dir ? str_fmt("%s/config.json", dir)
                       : str_fmt("%s/.docker/config.json", home ? home : "/root");
}

static struct json *config_read(void)
{
    char *path = config_path();
    struct buf text = {0};
    struct json *j =
        file_read(path, CONFIG_MAX, &text) == 0 ? json_parse(text.data, text.len, NULL) : NULL;

    buf_free(&text);
    free(path);
    return j;
}

/* "user:password" that is kept for the registry, or NULL. */
static char *config_secret(const char *registry)
{
    struct json *j = config_read();
    const char *auth = json_str(json_get(json_get(j, "auths"), registry), "auth");
    struct buf b = {0};
    bool ok = auth && base64_decode(&b, auth) == 0 && b.len && strchr(b.data, ':');

    json_free(j);
    if (ok)
        return buf_take(&b);
    buf_free(&b);
    return NULL;
}

/* The header for an image's registry, to be freed. */
static char *auth_header(const char *image)
{
    char *registry = name_registry(image), *secret = config_secret(registry), *header;
    struct buf json = {0}, b = {0};
    struct jw w = {.out = &json};

    jw_object(&w, NULL);
    if (secret) {
        char *colon = strchr(secret, ':');

        jw_strn(&w, "username", secret, (size_t)(colon - secret));
        jw_str(&w, "password", colon + 1);
        jw_str(&w, "serveraddress", registry);
    }
    jw_object_end(&w);
    base64_encode(&b, json.data, json.len);
    for (char *c = b.data; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    header = str_fmt("X-Registry-Auth: %s\r\n", b.data);
    buf_free(&json);
    buf_free(&b);
    free(secret);
    free(registry);
    return header;
}

static int config_save(const char *registry, const char *secret)
{
    struct json *old = config_read();
    char *path = config_path(), *dir = str_dupn(path, (size_t)(strrchr(path, '/') - path));
    struct buf b = {0}, auth = {0};
    struct jw w = {.out = &b};
    int err;

    base64_encode(&auth, secret, strlen(secret));
    jw_object(&w, NULL);
    for (const struct json *j = old ? old->child : NULL; j; j = j->next)
        if (strcmp(j->key, "auths"))
            jw_json(&w, j->key, j);
    jw_object(&w, "auths");
    for (const struct json *j = json_list(old, "auths"); j; j = j->next)
        if (strcmp(j->key, registry))
            jw_json(&w, j->key, j);
    jw_object(&w, registry);
    jw_str(&w, "auth", auth.data);
    jw_object_end(&w);
    jw_object_end(&w);
    jw_object_end(&w);
    err = dir_make(dir, 0700);
    err = err ? err : file_replace(path, b.data, b.len, 0600);
    if (err)
        fprintf(stderr, "bothy: cannot keep the credentials in %s: %s\n", path, strerror(-err));
    buf_free(&auth);
    buf_free(&b);
    json_free(old);
    free(dir);
    free(path);
    return err;
}

/* ---- progress -------------------------------------------------------------------------------- */

/* One line of a stream: false when it is an error, which has been told. */
static bool progress_line(const char *text, size_t len, FILE *out)
{
    struct json *j = json_parse(text, len, NULL);
    const char *error = json_str(j, "error"), *status = json_str(j, "status");
    const char *id = json_str(j, "id");

    if (error)
        fprintf(stderr, "%s\n", error);
    else if (status && out && !json_get(json_get(j, "progressDetail"), "total"))
        fprintf(out, "%s%s%s\n", id ? id : "", id ? ": " : "", status);
    if (out)
        fflush(out);
    json_free(j);
    return !error;
}

/* A stream of them to its end: 0 or 1. `out` NULL: only errors are told. */
static int progress_show(struct client *c, FILE *out)
{
    struct buf b = {0};
    bool well = true;
    char *end;
    ssize_t n;

    do {
        buf_reserve(&b, 4096);
        n = client_read(c, b.data + b.len, 4096);
        b.len += n > 0 ? (size_t)n : 0;
        while (b.len && (end = memchr(b.data, '\n', b.len))) {
            size_t len = (size_t)(end - b.data);

            well = progress_line(b.data, len, out) && well;
            buf_drop(&b, len + 1);
        }
    } while (n > 0);
    buf_free(&b);
    return cli_ended(n) && well ? 0 : 1;
}

static int registry_call(char *path, const char *image, FILE *out)
{
    char *header = auth_header(image);
    struct buf answer = {0};
    struct client c;
    int status, rc = 1;

    cli_connect(&c);
    c.headers = header;
    client_send(&c, "POST", path, NULL, false);
    status = client_wait_head(&c);
    if (status == 200) {
        rc = progress_show(&c, out);
    } else if (client_read_all(&c, &answer, CONFIG_MAX) == 0) {
        cli_error(&answer);
    }
    client_close(&c);
    buf_free(&answer);
    free(header);
    free(path);
    return rc;
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static int pull(const char *image, const char *platform, bool all, FILE *out)
{
    const char *at = strchr(image, '@');
    const char *colon = at ? at : name_has_tag(image) ? strrchr(image, ':') : NULL;
    char *name = colon ? str_dupn(image, (size_t)(colon - image)) : str_dup(image);
    int rc;

    if (!at && name_has_tag(name)) {
        fputs("invalid reference format\n", stderr);
        return 1;
    }
    rc = registry_call(cli_path("/images/create?fromImage=%s&tag=%s&platform=%s", cli_encode(name),
                                all     ? ""
                                : colon ? cli_encode(colon + 1)
                                        : "latest",
                                platform ? cli_encode(platform) : ""),
                       image, out);

    free(name);
    return rc;
}

int registry_pull_for(const char *create, const char *platform, bool lacks)
{
    struct json *j = json_parse(create, strlen(create), NULL);
    const char *image = json_str(j, "Image");
    int rc = 1;

    if (image) {
        if (lacks)
            fprintf(stderr, "Unable to find image '%s%s' locally\n", image,
                    name_has_tag(image) ? "" : ":latest");
        rc = pull(image, platform, false, stderr);
    }
    json_free(j);
    return rc;
}

int verb_pull(int argc, char **argv)
{
    bool all = false, quiet = false;
    const char *platform = NULL;
    const struct opt opts[] = {{'a', "all-tags", OPT_BOOL, &all},
                               {'q', "quiet", OPT_BOOL, &quiet},
                               {0, "platform", OPT_STR, &platform}};
    int first = opt_parse("pull", opts, 3, argc, argv, true);
    const char *image;

    opt_operands("pull", argc - first, 1, 1);
    image = argv[first];
    if (all && name_has_tag(image))
        cli_usage("tag can't be used with --all-tags/-a");
    if (!all && !quiet && !name_has_tag(image))
        puts("Using default tag: latest");
    if (pull(image, platform, all, quiet ? NULL : stdout))
        return 1;
    name_print(image, all);
    return 0;
}

int verb_push(int argc, char **argv)
{
    bool all = false, quiet = false;
    const struct opt opts[] = {{'a', "all-tags", OPT_BOOL, &all}, {'q', "quiet", OPT_BOOL, &quiet}};
    int first = opt_parse("push", opts, 2, argc, argv, true), rc;
    const char *image, *colon;
    char *name;

    opt_operands("push", argc - first, 1, 1);
    image = argv[first];
    if (all && name_has_tag(image))
        cli_usage("tag can't be used with --all-tags/-a");
    if (!all && !quiet && !name_has_tag(image))
        puts("Using default tag: latest");
    colon = name_has_tag(image) ? strrchr(image, ':') : NULL;
    name = colon ? str_dupn(image, (size_t)(colon - image)) : str_dup(image);
    rc = registry_call(cli_path("/images/%s/push?tag=%s", cli_encode(name),
                                all     ? ""
                                : colon ? cli_encode(colon + 1)
                                        : "latest"),
                       image, quiet ? NULL : stdout);
    free(name);
    return rc;
}

/* A line of standard input, which is not shown on a terminal. */
static char *login_ask(const char *what, bool secret)
{
    struct termios shown, hidden;
    bool terminal = tcgetattr(0, &shown) == 0;
    char line[1024] = "";

    if (terminal)
        fputs(what, stdout), fflush(stdout);
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    if (terminal && secret)
        tcsetattr(0, TCSADRAIN, &hidden);
    if (fd_line(0, line, sizeof(line)) < 0 && !*line)
        cli_usage("bothy: cannot read the %s", secret ? "password" : "user's name");
    if (terminal && secret) {
        tcsetattr(0, TCSADRAIN, &shown);
        puts("");
    }
    return str_dup(line);
}

static int login(const char *registry, const char *user, const char *password)
{
    struct buf body = {0}, answer = {0};
    struct jw w = {.out = &body};
    char *secret;
    int err;

    jw_object(&w, NULL);
    jw_str(&w, "username", user);
    jw_str(&w, "password", password);
    jw_str(&w, "serveraddress", registry);
    jw_object_end(&w);
    if (cli_call("POST", "/auth", body.data, &answer) != 200) {
        cli_error(&answer);
        return 1;
    }
    secret = str_fmt("%s:%s", user, password);
    err = config_save(registry, secret);
    if (!err)
        puts("Login Succeeded");
    free(secret);
    buf_free(&body);
    buf_free(&answer);
    return err ? 1 : 0;
}

int verb_login(int argc, char **argv)
{
    const char *user = NULL, *password = NULL;
    bool from_stdin = false;
    const struct opt opts[] = {{'u', "username", OPT_STR, &user},
                               {'p', "password", OPT_STR, &password},
                               {0, "password-stdin", OPT_BOOL, &from_stdin}};
    int first = opt_parse("login", opts, 3, argc, argv, true);

    opt_operands("login", argc - first, 0, 1);
    if (from_stdin && (password || !user))
        cli_usage("--password-stdin needs --username and no --password");
    if (!user)
        user = login_ask("Username: ", false);
    if (!password)
        password = login_ask("Password: ", true);
    if (strchr(user, ':'))
        cli_usage("bothy: a user's name has no colon");
    return login(first < argc ? argv[first] : DOCKER_AUTH, user, password);
}

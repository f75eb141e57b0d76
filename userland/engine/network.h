// SPDX-License-Identifier: MIT
// Networks. There are those that every engine has, and no others yet: `none` and `host`, and
// `bridge`, the default, which is a namespace of its own with nothing but its loopback until
// there are bridges. Which one a container is on follows from its HostConfig.
//
// On disk: networks/<name>.json, for the id, which clients keep.
#pragma once

#include <stdbool.h>
#include <time.h>

struct container;
struct json;
struct jw;

struct network {
    struct network *next;
    char id[64 + 1];
    const char *name, *driver;
    bool internal; /* it leads nowhere */
    bool fresh;    /* its file is to be written */
    struct timespec created;
};

struct network *network_first(void);
/* By name, id or unique prefix of it; NULL. */
struct network *network_find(const char *name);
struct network *network_of(const struct container *c);
/* Its network as inspect and lists show it: a member of NetworkSettings. */
void network_write_endpoint(struct jw *w, const struct container *c);
void networks_open(void);
void networks_opened(void); /* the engine serves: what is new of them is written */

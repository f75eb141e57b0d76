// SPDX-License-Identifier: MIT
// Where clients come in: the unix socket, and what -H and bothy.api= name.
//
// Over TCP there is no authentication: who reaches the port is root on this machine. The log says
// that it is open, and to whom. What cannot be opened is told and left out, since the unix socket
// serves all the same; an address that is not there yet is waited for.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define LISTEN_NAME 64
#define LISTEN_FROM ",from="

/* A place to listen at, as a pure function of its name. */
struct listen_place {
    struct sockaddr_storage addr;
    socklen_t len;
    bool any;                     /* every address of the machine */
    bool local;                   /* only programs of this machine reach it */
    struct sockaddr_storage from; /* clients come from that address alone; family 0: from any */
};

/* tcp://ADDRESS:PORT[,from=ADDRESS]; an IPv4 address, or an IPv6 address in brackets, no names.
 * -EINVAL. */
int listen_parse(const char *name, struct listen_place *place);
/* Whether a client with that address may come in there. */
bool listen_admits(const struct listen_place *place, const struct sockaddr *client);

void listen_add(const char *name); /* for listen_open(); borrows the name */
int listen_unix(const char *path); /* 0 or -errno */
void listen_open(void);
void listen_close(void);
/* The first name under which the API is open over TCP to other machines, or NULL. */
const char *listen_exposed(void);

// SPDX-License-Identifier: MIT
// The console's line that says how the API is reached from elsewhere. It comes when there is an
// address to be reached at, before the prompt that is next.
#include "init/init.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/str.h"

#define INTERFACES_MAX 64
#define ADDRESS_TENTATIVE 0x40 /* in /proc/net/if_inet6 */

/* The first IPv4 address of this machine that others may know, as text; false without one. */
static bool address_find(char *text, size_t size)
{
    struct ifreq all[INTERFACES_MAX];
    struct ifconf conf = {.ifc_len = sizeof(all), .ifc_req = all};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found = false;

    if (fd < 0)
        return false;
    if (ioctl(fd, SIOCGIFCONF, &conf) < 0)
        conf.ifc_len = 0;
    close(fd);
    for (int i = 0; !found && i < conf.ifc_len / (int)sizeof(all[0]); i++) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&all[i].ifr_addr;

        found = a->sin_family == AF_INET && a->sin_addr.s_addr &&
                (ntohl(a->sin_addr.s_addr) >> 24) != 127;
        if (found)
            inet_ntop(AF_INET, &a->sin_addr, text, (socklen_t)size);
    }
    return found;
}

/* The same of IPv6. */
static bool address_find6(char *text)
{
    char line[128], name[24], digits[33];
    unsigned index, prefix, scope, flags;
    struct in6_addr a;
    bool found = false;
    FILE *f = fopen("/proc/net/if_inet6", "re");

    while (f && !found && fgets(line, sizeof(line), f)) {
        found = sscanf(line, "%32s %x %x %x %x %20s", digits, &index, &prefix, &scope, &flags,
                       name) == 6 &&
                !scope && !(flags & ADDRESS_TENTATIVE) && strlen(digits) == 32;
        for (int i = 0; found && i < 16; i++)
            found = sscanf(digits + 2 * i, "%2hhx", &a.s6_addr[i]) == 1;
    }
    if (f)
        fclose(f);
    return found && inet_ntop(AF_INET6, &a, text, INET6_ADDRSTRLEN);
}

/* Where the API is open, as bothy.api= has it. */
struct api_place {
    bool v6, any;
    char address[INET6_ADDRSTRLEN];
    unsigned port;
};

/* False for what the engine leaves out, and for what is open to this machine alone. */
static bool place_read(const char *option, struct api_place *p)
{
    struct in6_addr a6;
    struct in_addr a4;
    char end;

    p->v6 = str_starts(option, "tcp://[");
    if (sscanf(option, p->v6 ? "tcp://[%45[^]]]:%u%c" : "tcp://%45[^:]:%u%c", p->address, &p->port,
               &end) < 2 ||
        !p->port || p->port > 65535)
        return false;
    if (p->v6) {
        if (inet_pton(AF_INET6, p->address, &a6) != 1 || IN6_IS_ADDR_LOOPBACK(&a6))
            return false;
        p->any = IN6_IS_ADDR_UNSPECIFIED(&a6);
        return true;
    }
    if (inet_pton(AF_INET, p->address, &a4) != 1 || ntohl(a4.s_addr) >> 24 == 127)
        return false;
    p->any = !a4.s_addr;
    return true;
}

/* One place; false while there is no address to be reached at. */
static bool place_announce(const struct api_place *p)
{
    const char *seen = boot_option("bothy.api.seen", NULL), *at;
    char address[INET6_ADDRSTRLEN];

    if (!(p->v6 ? address_find6(address) : address_find(address, sizeof(address))))
        return false;
    at = p->any ? address : p->address;
    if (seen)
        printf("This machine is %s. From where it was started: docker -H %s ps\n", address, seen);
    else
        printf("This machine is %s. From there: docker -H tcp://%s%s%s:%u ps\n", address,
               p->v6 ? "[" : "", at, p->v6 ? "]" : "", p->port);
    return true;
}

void api_announce(void)
{
    static bool said;
    struct api_place p;

    for (const char *option = NULL; !said && (option = boot_option("bothy.api", option));)
        said = place_read(option, &p) && place_announce(&p);
}

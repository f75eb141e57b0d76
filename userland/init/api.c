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
#define API_PLACE_MAX 128

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

void api_announce(void)
{
    const char *option = boot_option("bothy.api", NULL), *seen, *port;
    char address[INET_ADDRSTRLEN], place[API_PLACE_MAX];
    static bool said;

    if (said || !option)
        return;
    snprintf(place, sizeof(place), "%.*s", (int)strcspn(option, ","), option); /* without from= */
    port = strrchr(place, ':');
    if (!port || !address_find(address, sizeof(address)))
        return;
    said = true;
    seen = boot_option("bothy.api.seen", NULL);
    if (seen)
        printf("This machine is %s. From where it was started: docker -H %s ps\n", address, seen);
    else if (str_starts(place, "tcp://0.0.0.0:"))
        printf("This machine is %s. From there: docker -H tcp://%s%s ps\n", address, address, port);
    else
        printf("This machine is %s. From there: docker -H %s ps\n", address, place);
}

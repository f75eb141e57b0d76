/* SPDX-License-Identifier: MIT
 *
 * Where the words of IP's and the transports' headers lie (RFC 791, 8200, 9293, 768), for the pure
 * cores here, which lie below net.
 */
#pragma once

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17

#define IPV4_HEADER 20 /* bytes */
#define IPV4_LENGTH 2
#define IPV4_ID 4
#define IPV4_FRAGMENT 6
#define IPV4_DONT 0x4000
#define IPV4_PROTOCOL 9
#define IPV4_SUM 10
#define IPV4_FROM 12

#define IPV6_HEADER 40
#define IPV6_LENGTH 4
#define IPV6_NEXT 6
#define IPV6_FROM 8

#define TCP_HEADER 20
#define TCP_SEQUENCE 4
#define TCP_ACK 8
#define TCP_OFFSET 12
#define TCP_FLAGS 13
#define TCP_WINDOW 14
#define TCP_SUM 16
#define TCP_URGENT 18
#define TCP_BIT_FIN 0x01
#define TCP_BIT_PSH 0x08
#define TCP_BIT_ACK 0x10
#define TCP_BIT_CWR 0x80

#define UDP_HEADER 8
#define UDP_LENGTH 4
#define UDP_SUM 6

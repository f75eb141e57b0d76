/* SPDX-License-Identifier: MIT
 *
 * What messages of netlink look like when they are well-formed: linux/rtnetlink.h, if_link.h,
 * sock_diag.h, genetlink.h.
 */
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>

#include "net.h"

#define END           \
    {                 \
        0, 0, 0, NULL \
    }

static const struct attr_form info_data[] = {
    {1, V_U16, 4, NULL}, {1, V_U32, 2, NULL}, {2, V_BYTES, 3, NULL}, {5, V_U16, 3, NULL}, END};
static const struct attr_form link_info[] = {{1, V_KIND, 8, NULL}, {2, V_NEST, 2, info_data}, END};
static const struct attr_form inet_conf[] = {{1, V_U32, 4, NULL}, {2, V_U8, 4, NULL}, END};
static const struct attr_form af_spec[] = {
    {2, V_NEST, 4, inet_conf}, {10, V_NEST, 4, inet_conf}, {7, V_BYTES, 1, NULL}, END};
static const struct attr_form prop_list[] = {{53, V_NAME, 8, NULL}, {53, V_TEXT, 2, NULL}, END};
static const struct attr_form link_new[] = {{3, V_NAME, 7, NULL},
                                            {18, V_NEST, 7, link_info},
                                            {4, V_U32, 2, NULL},
                                            {1, V_LINK, 2, NULL},
                                            {5, V_INDEX, 2, NULL},
                                            {10, V_INDEX, 1, NULL},
                                            {13, V_U32, 1, NULL},
                                            {27, V_U32, 1, NULL},
                                            {28, V_NS, 1, NULL},
                                            {19, V_PID, 1, NULL},
                                            {20, V_TEXT, 1, NULL},
                                            {37, V_U32, 1, NULL},
                                            {26, V_NEST, 1, af_spec},
                                            {33, V_U8, 1, NULL},
                                            {31, V_U32, 1, NULL},
                                            {16, V_U8, 1, NULL},
                                            END};
static const struct attr_form link_set[] = {
    {3, V_NAME, 5, NULL},       {4, V_U32, 2, NULL},    {1, V_LINK, 2, NULL},
    {28, V_NS, 2, NULL},        {19, V_PID, 1, NULL},   {13, V_U32, 1, NULL},
    {52, V_NEST, 1, prop_list}, {53, V_NAME, 1, NULL},  {18, V_NEST, 1, link_info},
    {27, V_U32, 1, NULL},       {10, V_INDEX, 1, NULL}, END};
static const struct attr_form link_get[] = {{3, V_NAME, 4, NULL},
                                            {29, V_U32, 3, NULL},
                                            {18, V_NEST, 2, link_info},
                                            {10, V_INDEX, 1, NULL},
                                            {53, V_NAME, 1, NULL},
                                            {46, V_U32, 1, NULL},
                                            END};
static const struct attr_form link_props[] = {
    {52, V_NEST, 7, prop_list}, {3, V_NAME, 5, NULL}, END};

static const struct attr_form address[] = {
    {2, V_ADDR, 7, NULL}, {1, V_ADDR, 3, NULL},   {4, V_ADDR, 2, NULL},
    {3, V_TEXT, 2, NULL}, {8, V_U32, 3, NULL},    {6, V_BYTES, 2, NULL},
    {9, V_U32, 1, NULL},  {10, V_INDEX, 1, NULL}, END};

static const struct attr_form metrics[] = {{2, V_U32, 4, NULL},  {8, V_U32, 3, NULL},
                                           {3, V_U32, 2, NULL},  {16, V_TEXT, 2, NULL},
                                           {10, V_U32, 1, NULL}, END};
static const struct attr_form hop_attrs[] = {{5, V_ADDR, 5, NULL}, {18, V_BYTES, 1, NULL}, END};
static const struct attr_form route[] = {
    {1, V_ADDR, 6, NULL},      {4, V_INDEX, 5, NULL},  {5, V_ADDR, 3, NULL},
    {6, V_U32, 4, NULL},       {7, V_ADDR, 2, NULL},   {8, V_NEST, 2, metrics},
    {9, V_HOPS, 2, hop_attrs}, {15, V_U32, 2, NULL},   {20, V_U8, 1, NULL},
    {18, V_BYTES, 1, NULL},    {2, V_ADDR, 1, NULL},   {30, V_U32, 1, NULL},
    {16, V_U32, 1, NULL},      {12, V_BYTES, 1, NULL}, END};
static const struct attr_form route_get[] = {{1, V_ADDR, 7, NULL},
                                             {2, V_ADDR, 2, NULL},
                                             {4, V_INDEX, 3, NULL},
                                             {3, V_INDEX, 2, NULL},
                                             {16, V_U32, 2, NULL},
                                             {25, V_U32, 2, NULL},
                                             {27, V_U8, 1, NULL},
                                             {28, V_U16, 1, NULL},
                                             {29, V_U16, 1, NULL},
                                             {15, V_U32, 2, NULL},
                                             END};

static const struct attr_form rule[] = {{1, V_ADDR, 3, NULL},
                                        {2, V_ADDR, 3, NULL},
                                        {3, V_NAME, 2, NULL},
                                        {17, V_NAME, 2, NULL},
                                        {6, V_U32, 5, NULL},
                                        {10, V_U32, 2, NULL},
                                        {16, V_U32, 2, NULL},
                                        {15, V_U32, 4, NULL},
                                        {4, V_U32, 2, NULL},
                                        {14, V_U32, 1, NULL},
                                        {20, V_U64, 1, NULL},
                                        {22, V_U8, 1, NULL},
                                        {23, V_U32, 1, NULL},
                                        {24, V_U32, 1, NULL},
                                        {19, V_U8, 1, NULL},
                                        {21, V_U8, 1, NULL},
                                        END};

static const struct attr_form neighbour[] = {
    {1, V_ADDR, 7, NULL},  {2, V_LINK, 6, NULL}, {4, V_U32, 1, NULL}, {8, V_INDEX, 2, NULL},
    {9, V_INDEX, 1, NULL}, {12, V_U8, 1, NULL},  {5, V_U16, 1, NULL}, END};
static const struct attr_form table_parms[] = {{1, V_INDEX, 4, NULL}, {4, V_U64, 2, NULL}, END};
static const struct attr_form neighbour_table[] = {
    {1, V_TEXT, 6, NULL}, {2, V_U32, 2, NULL}, {6, V_NEST, 2, table_parms}, END};

static const struct attr_form nsid[] = {
    {3, V_NS, 5, NULL}, {2, V_PID, 3, NULL}, {1, V_U32, 4, NULL}, {4, V_U32, 1, NULL}, END};
static const struct attr_form netconf[] = {{1, V_INDEX, 6, NULL}, END};
static const struct attr_form label[] = {{1, V_ADDR, 7, NULL}, {2, V_U32, 6, NULL}, END};
static const struct attr_form filter[] = {{1, V_FILTER, 5, NULL}, {3, V_U32, 1, NULL}, END};
/* ethtool's family, which has this number on Bothy. */
#define ETHTOOL_FAMILY 20
static const struct attr_form ethtool_header[] = {
    {1, V_INDEX, 5, NULL}, {2, V_NAME, 5, NULL}, {3, V_U8, 3, NULL}, {3, V_U32, 3, NULL}, END};
static const struct attr_form ethtool_set[] = {{1, V_U32, 8, NULL}, END};
static const struct attr_form ethtool_sets[] = {{1, V_NEST, 8, ethtool_set}, END};
static const struct attr_form ethtool[] = {
    {1, V_NEST, 8, ethtool_header}, {2, V_NEST, 3, ethtool_sets}, {3, V_BYTES, 1, NULL}, END};
static const struct attr_form family[] = {{2, V_TEXT, 6, NULL}, {1, V_U16, 2, NULL}, END};
static const struct attr_form queue[] = {
    {1, V_TEXT, 7, NULL}, {2, V_BYTES, 2, NULL}, {2, V_NEST, 1, metrics}, END};
static const struct attr_form none[] = {END};

#define LINK "f0hiFF"
#define ADDRESS "fpbbi"
#define ROUTE "fppbtbbbw"
#define NEIGH "f00bi00bb" /* padded to 12 bytes */
#define RULE "fppbt00bw"
#define ALL(group, body, new, get)                                                          \
    {NETLINK_ROUTE, RTM_NEW##group, body, new}, {NETLINK_ROUTE, RTM_DEL##group, body, new}, \
    {                                                                                       \
        NETLINK_ROUTE, RTM_GET##group, body, get                                            \
    }

const struct form forms[] = {
    {NETLINK_ROUTE, RTM_NEWLINK, LINK, link_new},
    {NETLINK_ROUTE, RTM_NEWLINK, LINK, link_new},
    {NETLINK_ROUTE, RTM_SETLINK, LINK, link_set},
    {NETLINK_ROUTE, RTM_SETLINK, LINK, link_set},
    {NETLINK_ROUTE, RTM_DELLINK, LINK, link_get},
    {NETLINK_ROUTE, RTM_GETLINK, LINK, link_get},
    {NETLINK_ROUTE, 108, LINK, link_props},
    {NETLINK_ROUTE, 109, LINK, link_props},
    ALL(ADDR, ADDRESS, address, address),
    ALL(ROUTE, ROUTE, route, route_get),
    ALL(NEIGH, NEIGH, neighbour, neighbour),
    ALL(RULE, RULE, rule, rule),
    ALL(QDISC, "f000iwww", queue, queue),
    ALL(TCLASS, "f000iwww", queue, queue),
    ALL(TFILTER, "f000iwww", queue, queue),
    {NETLINK_ROUTE, RTM_GETNEIGHTBL, "f000", neighbour_table},
    {NETLINK_ROUTE, 67, "f000", neighbour_table},
    {NETLINK_ROUTE, RTM_NEWNSID, "f000", nsid},
    {NETLINK_ROUTE, RTM_GETNSID, "f000", nsid},
    {NETLINK_ROUTE, RTM_GETSTATS, "f000iw", none},
    {NETLINK_ROUTE, RTM_GETNETCONF, "f000", netconf},
    ALL(ADDRLABEL, "f0p0iw", label, label),
    {NETLINK_ROUTE, RTM_GETMULTICAST, ADDRESS, none},
    {NETLINK_ROUTE, RTM_GETANYCAST, ADDRESS, none},
    {NETLINK_ROUTE, RTM_GETMDB, "f000i", none},
    {NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, "fPb0SooaaiC", filter},
    {NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, "fPb0SooaaiC", filter},
    {NETLINK_SOCK_DIAG, SOCK_DESTROY, "fPb0SooaaiC", filter},
    {NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, "U000SwwC", none},
    {NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, "K000wwC", none},
    {NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, "NP00wwC", none},
    {NETLINK_GENERIC, GENL_ID_CTRL, "bb00", family},
    {NETLINK_GENERIC, ETHTOOL_FAMILY, "bb00", ethtool},
    {NETLINK_GENERIC, ETHTOOL_FAMILY, "bb00", ethtool},
};
const unsigned form_count = sizeof(forms) / sizeof(forms[0]);

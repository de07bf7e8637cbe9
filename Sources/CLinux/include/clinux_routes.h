// SPDX-License-Identifier: MIT
// What the kernel reports of this host's own addresses (rtnetlink).
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "clinux.h"

/// A socket that hears of addresses that come and go.
static inline int lrp2p_addresses_open(void) {
  int fd = lrp2p_result(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (fd < 0) return fd;
  struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
  int result = lrp2p_result(bind(fd, (struct sockaddr *)&name, sizeof name));
  if (result < 0) close(fd);
  return result < 0 ? result : fd;
}

/// One change of an address: it is there from now on, or not any more. The port is 0.
struct lrp2p_address_change {
  struct lrp2p_address address;
  uint32_t interface;
  bool is_there;
};

static inline bool lrp2p_addresses_parse(const struct nlmsghdr *header, struct lrp2p_address_change *change) {
  bool is_there = header->nlmsg_type == RTM_NEWADDR;
  if (!is_there && header->nlmsg_type != RTM_DELADDR) return false;
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifaddrmsg))) return false;
  const struct ifaddrmsg *message = (const struct ifaddrmsg *)NLMSG_DATA(header);
  int left = (int)IFA_PAYLOAD(header);
  const unsigned char *own = NULL;
  size_t length = message->ifa_family == AF_INET ? 4 : message->ifa_family == AF_INET6 ? 16 : 0;
  if (length == 0) return false;
  for (const struct rtattr *part = IFA_RTA(message); RTA_OK(part, left); part = RTA_NEXT(part, left)) {
    if (RTA_PAYLOAD(part) != length) continue;
    // IFA_ADDRESS is the other end's where there is one, and then there is IFA_LOCAL, too.
    if (part->rta_type == IFA_LOCAL || (part->rta_type == IFA_ADDRESS && own == NULL)) own = RTA_DATA(part);
  }
  if (own == NULL) return false;
  struct sockaddr_in6 name = {0};
  if (length == 4) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&name;
    v4->sin_family = AF_INET;
    memcpy(&v4->sin_addr, own, 4);
  } else {
    name.sin6_family = AF_INET6;
    memcpy(&name.sin6_addr, own, 16);
  }
  *change = (struct lrp2p_address_change){lrp2p_load_address(&name), message->ifa_index, is_there};
  return true;
}

/// Reads one message of the kernel's, up to `capacity` changes of it. Returns their number, which may be 0; -EAGAIN when there is no
/// message, -ENOBUFS when some are lost.
static inline int lrp2p_addresses_read(int fd, struct lrp2p_address_change *changes, int capacity) {
  _Alignas(struct nlmsghdr) unsigned char bytes[8192];
  struct sockaddr_nl name = {0};
  socklen_t length = sizeof name;
  int left = lrp2p_result(recvfrom(fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&name, &length));
  if (left < 0) return left;
  // Not from the kernel.
  if (name.nl_pid != 0) return 0;
  int count = 0;
  struct nlmsghdr *header = (struct nlmsghdr *)bytes;
  // `left` may end below 0, as a message's length is rounded up.
  for (; left >= (int)sizeof *header && NLMSG_OK(header, (unsigned)left) && count < capacity;
       header = NLMSG_NEXT(header, left)) {
    if (lrp2p_addresses_parse(header, &changes[count])) count++;
  }
  return count;
}

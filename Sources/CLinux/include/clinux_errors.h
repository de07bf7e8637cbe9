// SPDX-License-Identifier: MIT
// What the network has to say of datagrams that were sent: a socket's error queue (IP_RECVERR).
#pragma once

#include "clinux.h"

/// The kernel's struct sock_extended_err, whose own header brings more than that.
struct lrp2p_extended_error {
  uint32_t code;
  uint8_t origin, type, icmp_code, padding;
  uint32_t information, data;
};

enum { LRP2P_ORIGIN_ICMP = 2, LRP2P_ORIGIN_ICMP6 = 3 };

/// An ICMP error about a datagram of the socket's.
struct lrp2p_heard {
  /// Where the datagram went.
  struct lrp2p_address address;
  /// Its first eight bytes, in host order of the big-endian value.
  uint64_t id;
  uint8_t type, icmp_code;
  bool is_v6;
};

/// Has the network's errors queued for the socket, or not. What is queued when it is switched off goes.
static inline int lrp2p_hear(int fd, bool is_on) {
  int value = is_on;
  int v4 = lrp2p_result(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &value, sizeof value));
  int v6 = lrp2p_result(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &value, sizeof value));
  return v4 < 0 ? v4 : v6;
}

/// Forgets the error that the socket has kept for the next call.
static inline void lrp2p_clear_error(int fd) {
  int code = 0;
  socklen_t length = sizeof code;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length);
}

/// Takes one entry of the error queue: 1 when it is an ICMP error that quotes the start of the datagram, 0 when it is anything else,
/// -EAGAIN when there is none.
static inline int lrp2p_next_heard(int fd, struct lrp2p_heard *to) {
  unsigned char quoted[64];
  struct { _Alignas(struct cmsghdr) unsigned char bytes[512]; } control;
  struct sockaddr_in6 name;
  memset(&name, 0, sizeof name);
  struct iovec vector = {quoted, sizeof quoted};
  struct msghdr header = {
      .msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &vector, .msg_iovlen = 1,
      .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t length = recvmsg(fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
  if (length < 0) return -errno;
  // Others quote the header of UDP alone: such an error anyone can make up.
  if (length < 8 || header.msg_namelen == 0) return 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
    bool is_error = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
    struct lrp2p_extended_error error;
    if (!is_error || c->cmsg_len < CMSG_LEN(sizeof error)) continue;
    memcpy(&error, CMSG_DATA(c), sizeof error);
    if (error.origin != LRP2P_ORIGIN_ICMP && error.origin != LRP2P_ORIGIN_ICMP6) return 0;
    to->address = lrp2p_load_address(&name);
    to->id = 0;
    for (int i = 0; i < 8; i++) to->id = to->id << 8 | quoted[i];
    to->type = error.type;
    to->icmp_code = error.icmp_code;
    to->is_v6 = error.origin == LRP2P_ORIGIN_ICMP6;
    return 1;
  }
  return 0;
}

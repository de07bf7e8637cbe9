// SPDX-License-Identifier: MIT
// Many messages in one system call (sendmmsg, recvmmsg), and the control messages that go with them.
#pragma once

#include "clinux.h"

// MARK: Message ring

/// The kernel's struct mmsghdr.
struct lrp2p_mmsghdr {
  struct msghdr msg_hdr;
  unsigned int msg_len;
};

/// The kernel's struct in6_pktinfo.
struct lrp2p_in6_pktinfo {
  struct in6_addr ipi6_addr;
  unsigned int ipi6_ifindex;
};

/// Room for the control messages of one message: all that the kernel can add take 184 bytes.
enum { LRP2P_CONTROL_BYTES = 256 };

/// How every message is sent, and what says that a part of a received one is lost: its end, or control messages.
enum { LRP2P_SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL, LRP2P_TRUNCATED = MSG_TRUNC | MSG_CTRUNC };

/// The message headers of one recvmmsg or sendmmsg, with the parts they point to: one allocation, made once.
struct lrp2p_message_ring {
  struct lrp2p_mmsghdr *headers;
  struct iovec *vectors;
  struct sockaddr_in6 *names;
  unsigned char *control;
  uint32_t count;
};

/// Returns NULL without memory; free() releases it.
static inline struct lrp2p_message_ring *lrp2p_ring_create(uint32_t count) {
  size_t bytes = sizeof(struct lrp2p_message_ring) +
                 count * (sizeof(struct lrp2p_mmsghdr) + sizeof(struct iovec) + LRP2P_CONTROL_BYTES +
                          sizeof(struct sockaddr_in6));
  struct lrp2p_message_ring *ring = (struct lrp2p_message_ring *)calloc(1, bytes);
  if (ring == NULL) return NULL;
  // In order of falling alignment, so that no part needs padding.
  ring->headers = (struct lrp2p_mmsghdr *)(ring + 1);
  ring->vectors = (struct iovec *)(ring->headers + count);
  ring->control = (unsigned char *)(ring->vectors + count);
  ring->names = (struct sockaddr_in6 *)(void *)(ring->control + (size_t)count * LRP2P_CONTROL_BYTES);
  ring->count = count;
  for (uint32_t i = 0; i < count; i++) {
    struct msghdr *header = &ring->headers[i].msg_hdr;
    header->msg_name = &ring->names[i];
    header->msg_iov = &ring->vectors[i];
    header->msg_iovlen = 1;
    header->msg_control = ring->control + (size_t)i * LRP2P_CONTROL_BYTES;
  }
  return ring;
}

static inline void lrp2p_ring_destroy(struct lrp2p_message_ring *ring) { free(ring); }

/// Points message `i` at its bytes.
static inline void lrp2p_ring_set_bytes(struct lrp2p_message_ring *ring, uint32_t i, void *base, size_t length) {
  ring->vectors[i].iov_base = base;
  ring->vectors[i].iov_len = length;
}

/// Sets the destination of message `i`; false when the family cannot express it.
static inline bool lrp2p_ring_set_address(
    struct lrp2p_message_ring *ring, uint32_t i, int family, struct lrp2p_address address) {
  socklen_t length = lrp2p_store_address(&ring->names[i], family, address);
  ring->headers[i].msg_hdr.msg_namelen = length;
  return length != 0;
}

/// Restores what the kernel shortens in the headers of messages 0 ..< count, before the next recvmmsg.
static inline void lrp2p_ring_rearm(struct lrp2p_message_ring *ring, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    ring->headers[i].msg_hdr.msg_namelen = sizeof(struct sockaddr_in6);
    ring->headers[i].msg_hdr.msg_controllen = LRP2P_CONTROL_BYTES;
    ring->headers[i].msg_hdr.msg_flags = 0;
  }
}

/// Receives into messages 0 ..< count without blocking.
static inline int lrp2p_ring_receive(int fd, struct lrp2p_message_ring *ring, uint32_t count) {
  return lrp2p_result(syscall(SYS_recvmmsg, fd, ring->headers, count, MSG_DONTWAIT, NULL));
}

/// Receives into message 0 without blocking, and does not look for another.
static inline int lrp2p_ring_receive_one(int fd, struct lrp2p_message_ring *ring) {
  ssize_t length = recvmsg(fd, &ring->headers[0].msg_hdr, MSG_DONTWAIT);
  if (length < 0) return -errno;
  ring->headers[0].msg_len = (unsigned int)length;
  return 1;
}

/// The header of message `i`, for a system call that takes one.
static inline const struct msghdr *lrp2p_ring_header(const struct lrp2p_message_ring *ring, uint32_t i) {
  return &ring->headers[i].msg_hdr;
}

/// Sends messages 0 ..< count without blocking. An error is reported for the first message only; one behind it ends
/// the call early and shows in the next.
static inline int lrp2p_ring_send(int fd, struct lrp2p_message_ring *ring, uint32_t count) {
  return lrp2p_result(syscall(SYS_sendmmsg, fd, ring->headers, count, LRP2P_SEND_FLAGS));
}

/// Sends messages first ..< first + count, as `lrp2p_ring_send` does.
static inline int lrp2p_ring_send_from(int fd, struct lrp2p_message_ring *ring, uint32_t first, uint32_t count) {
  return lrp2p_result(syscall(SYS_sendmmsg, fd, ring->headers + first, count, LRP2P_SEND_FLAGS));
}

/// Sends message 0 without blocking.
static inline int lrp2p_ring_send_one(int fd, const struct lrp2p_message_ring *ring) {
  return sendmsg(fd, &ring->headers[0].msg_hdr, LRP2P_SEND_FLAGS) < 0 ? -errno : 1;
}

/// Sends message 0, which has no control messages, without blocking: the kernel has no header to read.
static inline int lrp2p_ring_send_bytes(int fd, const struct lrp2p_message_ring *ring) {
  const struct msghdr *header = &ring->headers[0].msg_hdr;
  ssize_t length = sendto(
      fd, header->msg_iov->iov_base, header->msg_iov->iov_len, LRP2P_SEND_FLAGS,
      (const struct sockaddr *)header->msg_name, header->msg_namelen);
  return length < 0 ? -errno : 1;
}

static inline uint32_t lrp2p_ring_length(const struct lrp2p_message_ring *ring, uint32_t i) {
  return ring->headers[i].msg_len;
}

/// Whether the message was longer than its place (its end is lost), or its control messages were.
static inline bool lrp2p_ring_truncated(const struct lrp2p_message_ring *ring, uint32_t i) {
  return (ring->headers[i].msg_hdr.msg_flags & LRP2P_TRUNCATED) != 0;
}

static inline struct lrp2p_address lrp2p_ring_address(const struct lrp2p_message_ring *ring, uint32_t i) {
  return lrp2p_load_address(&ring->names[i]);
}

// MARK: Control messages

/// Whether message `i` is sent with control messages.
static inline bool lrp2p_control_any(const struct lrp2p_message_ring *ring, uint32_t i) {
  return ring->headers[i].msg_hdr.msg_controllen != 0;
}

/// Removes all control messages of message `i`, before the first is put, or before it is sent once more without.
static inline void lrp2p_control_clear(struct lrp2p_message_ring *ring, uint32_t i) {
  ring->headers[i].msg_hdr.msg_controllen = 0;
}

static inline void lrp2p_control_put(
    struct lrp2p_message_ring *ring, uint32_t i, int level, int type, const void *data, size_t length) {
  struct msghdr *header = &ring->headers[i].msg_hdr;
  if (header->msg_controllen + CMSG_SPACE(length) > LRP2P_CONTROL_BYTES) return;
  struct cmsghdr *c = (struct cmsghdr *)(void *)((unsigned char *)header->msg_control + header->msg_controllen);
  c->cmsg_len = CMSG_LEN(length);
  c->cmsg_level = level;
  c->cmsg_type = type;
  memcpy(CMSG_DATA(c), data, length);
  header->msg_controllen += CMSG_SPACE(length);
}

/// UDP_SEGMENT: the kernel (or the device) cuts the message into datagrams of `size` bytes.
static inline void lrp2p_control_put_segment(struct lrp2p_message_ring *ring, uint32_t i, uint16_t size) {
  lrp2p_control_put(ring, i, SOL_UDP, UDP_SEGMENT, &size, sizeof size);
}

/// DSCP and the ECN bits: IP_TOS for an IPv4 destination (a mapped one too), else IPV6_TCLASS.
static inline void lrp2p_control_put_traffic_class(struct lrp2p_message_ring *ring, uint32_t i, bool v4, int octet) {
  lrp2p_control_put(ring, i, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &octet, sizeof octet);
}

/// The source address (port and scope are ignored) and, unless 0, the interface to send from. An IPv6 socket takes
/// IPV6_PKTINFO for mapped addresses too.
static inline void lrp2p_control_put_source(
    struct lrp2p_message_ring *ring, uint32_t i, int family, struct lrp2p_address source, uint32_t interface) {
  if (family == AF_INET) {
    struct in_pktinfo info = {.ipi_ifindex = (int)interface};
    info.ipi_spec_dst.s_addr = htonl((uint32_t)source.low);
    lrp2p_control_put(ring, i, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
  } else {
    struct sockaddr_in6 name;
    lrp2p_store_address(&name, AF_INET6, source);
    struct lrp2p_in6_pktinfo info = {.ipi6_addr = name.sin6_addr, .ipi6_ifindex = interface};
    lrp2p_control_put(ring, i, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
  }
}

/// What the kernel said about a received message.
struct lrp2p_control {
  /// UDP_GRO: bytes of one datagram; 0 when the message is one datagram.
  uint32_t segment_size;
  /// SO_RXQ_OVFL: datagrams this socket has lost so far because its buffer was full, modulo 2^32.
  uint32_t overflow;
  /// IP_PKTINFO, IPV6_PKTINFO: where it came in, 0 when unknown.
  uint32_t interface;
  bool has_overflow, has_destination;
  /// The two low bits of the TOS byte or traffic class.
  uint8_t ecn;
  /// IP_PKTINFO, IPV6_PKTINFO: the own address that it has come to (of an IPv4 socket, what an answer to it leaves from); the port is 0.
  struct lrp2p_address destination;
};

/// Reads the control messages of a header.
static inline struct lrp2p_control lrp2p_control_read_header(struct msghdr *header) {
  struct lrp2p_control info;
  memset(&info, 0, sizeof info);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
    const unsigned char *data = CMSG_DATA(c);
    size_t length = c->cmsg_len - CMSG_LEN(0);
    if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
      // An int today; a 16-bit value in the first kernels that had it.
      if (length >= sizeof(int)) {
        int size;
        memcpy(&size, data, sizeof size);
        if (size > 0) info.segment_size = (uint32_t)size;
      } else if (length >= sizeof(uint16_t)) {
        uint16_t size;
        memcpy(&size, data, sizeof size);
        info.segment_size = size;
      }
    } else if (c->cmsg_level == IPPROTO_IP && (c->cmsg_type == IP_TOS || c->cmsg_type == IP_RECVTOS)) {
      if (length >= 1) info.ecn = data[0] & 3;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
      int traffic_class = 0;
      if (length >= sizeof traffic_class) memcpy(&traffic_class, data, sizeof traffic_class);
      info.ecn = (uint8_t)(traffic_class & 3);
    } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL && length >= sizeof info.overflow) {
      memcpy(&info.overflow, data, sizeof info.overflow);
      info.has_overflow = true;
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO && length >= sizeof(struct in_pktinfo)) {
      struct in_pktinfo packet;
      memcpy(&packet, data, sizeof packet);
      info.destination.low = 0x0000FFFF00000000u | ntohl(packet.ipi_spec_dst.s_addr);
      info.interface = (uint32_t)packet.ipi_ifindex;
      info.has_destination = true;
    } else if (
        c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO && length >= sizeof(struct lrp2p_in6_pktinfo)) {
      struct lrp2p_in6_pktinfo packet;
      memcpy(&packet, data, sizeof packet);
      struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = packet.ipi6_addr};
      info.destination = lrp2p_load_address(&name);
      info.interface = (uint32_t)packet.ipi6_ifindex;
      info.has_destination = true;
    }
  }
  return info;
}

/// Reads all control messages of message `i`.
static inline struct lrp2p_control lrp2p_control_read(struct lrp2p_message_ring *ring, uint32_t i) {
  return lrp2p_control_read_header(&ring->headers[i].msg_hdr);
}

/// Reads the control messages at `bytes`, which is aligned like struct cmsghdr.
static inline struct lrp2p_control lrp2p_control_read_bytes(void *bytes, size_t length) {
  struct msghdr header = {.msg_control = bytes, .msg_controllen = length};
  return lrp2p_control_read_header(&header);
}

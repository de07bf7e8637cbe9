// SPDX-License-Identifier: MIT
// liburing, and of its interface what Swift cannot call: macros, and structures with parts of no fixed length.
//
// <features.h> comes first: liburing.h defines _GNU_SOURCE, which would change types (fd_set) that Swift also imports
// from elsewhere, and has no effect once this header is read.
#pragma once

#include <features.h>
#include <liburing.h>

/// Flags of a request.
enum { LRP2P_URING_FIXED_FILE = IOSQE_FIXED_FILE, LRP2P_URING_BUFFER_SELECT = IOSQE_BUFFER_SELECT };

/// Lets requests in, those of the calling thread only. (liburing 2.3 declares io_uring_enable_rings and does not export it.)
static inline int lrp2p_uring_enable(struct io_uring *ring) {
  return io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

/// Completion `i` of those that io_uring_cq_ready() counts.
static inline struct io_uring_cqe lrp2p_uring_completion(const struct io_uring *ring, unsigned i) {
  return ring->cq.cqes[(*ring->cq.khead + i) & ring->cq.ring_mask];
}

/// Registers memory for a ring of buffers as group `group`; `entries` is a power of two, `memory` of 16 bytes each and
/// aligned to a page.
static inline int lrp2p_uring_register_buffers(struct io_uring *ring, void *memory, unsigned entries, uint16_t group) {
  struct io_uring_buf_reg registration = {
      .ring_addr = (unsigned long)memory, .ring_entries = entries, .bgid = group};
  io_uring_buf_ring_init((struct io_uring_buf_ring *)memory);
  return io_uring_register_buf_ring(ring, &registration, 0);
}

/// Writes the entry `offset` places behind the tail of the ring at `memory`, or before it.
static inline void lrp2p_uring_put_buffer(
    void *memory, unsigned entries, int offset, void *base, unsigned length, uint16_t id) {
  io_uring_buf_ring_add((struct io_uring_buf_ring *)memory, base, length, id, (int)entries - 1, offset);
}

/// Hands `count` more entries to the kernel.
static inline void lrp2p_uring_advance_buffers(void *memory, int count) {
  io_uring_buf_ring_advance((struct io_uring_buf_ring *)memory, count);
}

/// Cancels every request of the ring and waits until they are gone. Needs Linux 6.0, and the thread that submitted them.
static inline int lrp2p_uring_cancel_all(struct io_uring *ring) {
  struct io_uring_sync_cancel_reg registration = {
      .fd = -1, .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL, .timeout = {-1, -1}};
  return io_uring_register_sync_cancel(ring, &registration);
}

// SPDX-License-Identifier: MIT
// BLAKE3 (https://github.com/BLAKE3-team/BLAKE3-specs), the hash without a key, 256 bits of output. One thread; eight chunks at a time, by what
// vector instructions the processor has.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct lrp2p_blake3 {
  // Roots of whole subtrees that wait for their right sides, the largest first.
  uint32_t stack[54][8];
  uint32_t depth;
  // Of the last chunk, which is only hashed when more follows.
  uint32_t buffered;
  // Whole chunks ahead of it.
  uint64_t chunks;
  uint8_t buffer[1024];
};

void lrp2p_blake3_begin(struct lrp2p_blake3 *state);
void lrp2p_blake3_update(struct lrp2p_blake3 *state, const void *bytes, size_t count);
// The digest of all so far; the state stays as it is.
void lrp2p_blake3_digest(const struct lrp2p_blake3 *state, uint8_t digest[32]);

// The digest of bytes that are all there: the fastest way where they are few.
void lrp2p_blake3_small(const void *bytes, size_t count, uint8_t digest[32]);

// SPDX-License-Identifier: MIT
#include "cblake3.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as they are in memory"
#endif

enum { chunk_start = 1, chunk_end = 2, parent = 4, root = 8 };
enum { block_bytes = 64, chunk_bytes = 1024, most_chunks = 64, few_chunks = 8 };

static const uint32_t initial[8] = {
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
};

// The message words' order in each round.
static const uint8_t order[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1}, {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4}, {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

#define ROTATE(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
#define MIX(v, a, b, c, d, x, y) \
  do { \
    v[a] += v[b] + (x); \
    v[d] = ROTATE(v[d] ^ v[a], 16); \
    v[c] += v[d]; \
    v[b] = ROTATE(v[b] ^ v[c], 12); \
    v[a] += v[b] + (y); \
    v[d] = ROTATE(v[d] ^ v[a], 8); \
    v[c] += v[d]; \
    v[b] = ROTATE(v[b] ^ v[c], 7); \
  } while (0)
#define ROUND(v, m, o) \
  do { \
    MIX(v, 0, 4, 8, 12, m[o[0]], m[o[1]]); \
    MIX(v, 1, 5, 9, 13, m[o[2]], m[o[3]]); \
    MIX(v, 2, 6, 10, 14, m[o[4]], m[o[5]]); \
    MIX(v, 3, 7, 11, 15, m[o[6]], m[o[7]]); \
    MIX(v, 0, 5, 10, 15, m[o[8]], m[o[9]]); \
    MIX(v, 1, 6, 11, 12, m[o[10]], m[o[11]]); \
    MIX(v, 2, 7, 8, 13, m[o[12]], m[o[13]]); \
    MIX(v, 3, 4, 9, 14, m[o[14]], m[o[15]]); \
  } while (0)

// One block; the chaining value is replaced.
static void compress(uint32_t cv[8], const uint8_t *block, uint32_t length, uint64_t counter, uint32_t flags) {
  uint32_t m[16], v[16];
  memcpy(m, block, sizeof m);
  memcpy(v, cv, 32);
  memcpy(v + 8, initial, 16);
  v[12] = (uint32_t)counter;
  v[13] = (uint32_t)(counter >> 32);
  v[14] = length;
  v[15] = flags;
  ROUND(v, m, order[0]);
  ROUND(v, m, order[1]);
  ROUND(v, m, order[2]);
  ROUND(v, m, order[3]);
  ROUND(v, m, order[4]);
  ROUND(v, m, order[5]);
  ROUND(v, m, order[6]);
  for (int index = 0; index < 8; index++) cv[index] = v[index] ^ v[index + 8];
}

// So many inputs of `blocks` whole blocks each, side by side in memory, at a time: word i of each in the lanes of one vector. Their chaining
// values follow each other in `out`.
typedef uint32_t eight __attribute__((vector_size(32)));
typedef uint32_t eight_at __attribute__((vector_size(32), aligned(1)));

static inline __attribute__((always_inline)) void transpose_8(eight r[8]) {
  eight t[8], u[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    for (int k = 0; k < 2; k++) {
      u[i + 2 * k] = __builtin_shufflevector(t[i + k], t[i + 2 + k], 0, 1, 8, 9, 4, 5, 12, 13);
      u[i + 2 * k + 1] = __builtin_shufflevector(t[i + k], t[i + 2 + k], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
  for (int i = 0; i < 4; i++) {
    r[i] = __builtin_shufflevector(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    r[i + 4] = __builtin_shufflevector(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

static inline __attribute__((always_inline)) void load_8(eight m[16], const uint8_t *in, size_t stride) {
  for (int half = 0; half < 2; half++) {
    for (int i = 0; i < 8; i++) m[8 * half + i] = *(const eight_at *)(in + i * stride + 32 * half);
    transpose_8(m + 8 * half);
  }
}

static inline __attribute__((always_inline)) void store_8(uint8_t *out, eight cv[8]) {
  transpose_8(cv);
  for (int i = 0; i < 8; i++) *(eight_at *)(out + 32 * i) = cv[i];
}

#define WIDE(name, vector, lanes, load, store) \
  static inline __attribute__((always_inline)) void name( \
      const uint8_t *in, size_t blocks, uint64_t counter, uint32_t flags, uint32_t first, uint32_t last, uint8_t *out) { \
    const uint64_t step = flags & parent ? 0 : 1; \
    vector cv[8], low, high; \
    for (int i = 0; i < 8; i++) cv[i] = (vector){} + initial[i]; \
    for (int i = 0; i < lanes; i++) { \
      low[i] = (uint32_t)(counter + step * i); \
      high[i] = (uint32_t)((counter + step * i) >> 32); \
    } \
    for (size_t block = 0; block < blocks; block++) { \
      vector m[16], v[16]; \
      load(m, in + block * block_bytes, blocks * block_bytes); \
      for (int i = 0; i < 8; i++) v[i] = cv[i]; \
      for (int i = 0; i < 4; i++) v[8 + i] = (vector){} + initial[i]; \
      v[12] = low; \
      v[13] = high; \
      v[14] = (vector){} + (uint32_t)block_bytes; \
      v[15] = (vector){} + (flags | (block == 0 ? first : 0) | (block + 1 == blocks ? last : 0)); \
      ROUND(v, m, order[0]); \
      ROUND(v, m, order[1]); \
      ROUND(v, m, order[2]); \
      ROUND(v, m, order[3]); \
      ROUND(v, m, order[4]); \
      ROUND(v, m, order[5]); \
      ROUND(v, m, order[6]); \
      for (int i = 0; i < 8; i++) cv[i] = v[i] ^ v[i + 8]; \
    } \
    store(out, cv); \
  }

WIDE(hash_8, eight, 8, load_8, store_8)

static inline __attribute__((always_inline)) void load_lanes(eight m[16], const uint8_t *const in[8], size_t offset) {
  for (int half = 0; half < 2; half++) {
    for (int i = 0; i < 8; i++) m[8 * half + i] = *(const eight_at *)(in[i] + offset + 32 * half);
    transpose_8(m + 8 * half);
  }
}

// The chunks of a small input, each in its lane. The one in `last` has fewer blocks, and its last block so many bytes.
static inline __attribute__((always_inline)) void chunks_8(
    const uint8_t *const in[8], size_t last, size_t last_blocks, uint32_t last_bytes, uint8_t *out) {
  const size_t blocks = chunk_bytes / block_bytes;
  eight cv[8], low, is_last;
  for (int i = 0; i < 8; i++) cv[i] = (eight){} + initial[i];
  for (size_t i = 0; i < 8; i++) {
    low[i] = (uint32_t)i;
    is_last[i] = i == last ? UINT32_MAX : 0;
  }
  for (size_t block = 0; block < blocks; block++) {
    eight m[16], v[16];
    load_lanes(m, in, block * block_bytes);
    const uint32_t usual = (block == 0 ? chunk_start : 0) | (block + 1 == blocks ? chunk_end : 0);
    const uint32_t other = (block == 0 ? chunk_start : 0) | (block + 1 == last_blocks ? chunk_end : 0);
    const uint32_t length = block + 1 == last_blocks ? last_bytes : block_bytes;
    for (int i = 0; i < 8; i++) v[i] = cv[i];
    for (int i = 0; i < 4; i++) v[8 + i] = (eight){} + initial[i];
    v[12] = low;
    v[13] = (eight){};
    v[14] = (((eight){} + length) & is_last) | (((eight){} + (uint32_t)block_bytes) & ~is_last);
    v[15] = (((eight){} + other) & is_last) | (((eight){} + usual) & ~is_last);
    ROUND(v, m, order[0]);
    ROUND(v, m, order[1]);
    ROUND(v, m, order[2]);
    ROUND(v, m, order[3]);
    ROUND(v, m, order[4]);
    ROUND(v, m, order[5]);
    ROUND(v, m, order[6]);
    // The last chunk has its value before the others.
    const eight keeps = block >= last_blocks ? is_last : (eight){};
    for (int i = 0; i < 8; i++) cv[i] = (cv[i] & keeps) | ((v[i] ^ v[i + 8]) & ~keeps);
  }
  store_8(out, cv);
}

typedef void function(const uint8_t *, size_t, uint64_t, uint32_t, uint32_t, uint32_t, uint8_t *);
typedef void small_function(const uint8_t *const[8], size_t, size_t, uint32_t, uint8_t *);

struct hasher {
  size_t lanes;
  function *hash;
  // Eight at a time.
  function *few;
  small_function *small;
};

static void hash_plain(
    const uint8_t *in, size_t blocks, uint64_t counter, uint32_t flags, uint32_t first, uint32_t last, uint8_t *out) {
  hash_8(in, blocks, counter, flags, first, last, out);
}

static void small_plain(
    const uint8_t *const in[8], size_t last, size_t last_blocks, uint32_t last_bytes, uint8_t *out) {
  chunks_8(in, last, last_blocks, last_bytes, out);
}

static const struct hasher plain = {8, hash_plain, hash_plain, small_plain};

#if defined(__x86_64__)
#include <cpuid.h>

__attribute__((target("avx2"))) static void hash_avx2(
    const uint8_t *in, size_t blocks, uint64_t counter, uint32_t flags, uint32_t first, uint32_t last, uint8_t *out) {
  hash_8(in, blocks, counter, flags, first, last, out);
}

__attribute__((target("avx2"))) static void small_avx2(
    const uint8_t *const in[8], size_t last, size_t last_blocks, uint32_t last_bytes, uint8_t *out) {
  chunks_8(in, last, last_blocks, last_bytes, out);
}

// The same eight lanes, with one instruction for a rotation instead of three.
__attribute__((target("avx2,avx512f,avx512vl"))) static void hash_avx512vl(
    const uint8_t *in, size_t blocks, uint64_t counter, uint32_t flags, uint32_t first, uint32_t last, uint8_t *out) {
  hash_8(in, blocks, counter, flags, first, last, out);
}

__attribute__((target("avx2,avx512f,avx512vl"))) static void small_avx512vl(
    const uint8_t *const in[8], size_t last, size_t last_blocks, uint32_t last_bytes, uint8_t *out) {
  chunks_8(in, last, last_blocks, last_bytes, out);
}

typedef uint32_t sixteen __attribute__((vector_size(64)));
typedef uint32_t sixteen_at __attribute__((vector_size(64), aligned(1)));

// Groups of four rows by words and pairs of words, within quarters of the vector; then the quarters.
static inline __attribute__((always_inline)) void transpose_16(sixteen r[16]) {
  sixteen t[16], u[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int k = 0; k < 2; k++) {
      u[i + 2 * k] =
          __builtin_shufflevector(t[i + k], t[i + 2 + k], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
      u[i + 2 * k + 1] =
          __builtin_shufflevector(t[i + k], t[i + 2 + k], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
  }
  for (int k = 0; k < 4; k++) {
    sixteen p[4];
    for (int i = 0; i < 2; i++) {
      const sixteen a = u[8 * i + k], b = u[8 * i + 4 + k];
      p[2 * i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
      p[2 * i + 1] = __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
    for (int i = 0; i < 2; i++) {
      r[8 * i + k] = __builtin_shufflevector(p[i], p[i + 2], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
      r[8 * i + 4 + k] =
          __builtin_shufflevector(p[i], p[i + 2], 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
  }
}

static inline __attribute__((always_inline)) void load_16(sixteen m[16], const uint8_t *in, size_t stride) {
  for (int i = 0; i < 16; i++) m[i] = *(const sixteen_at *)(in + i * stride);
  transpose_16(m);
}

static inline __attribute__((always_inline)) void store_16(uint8_t *out, sixteen cv[8]) {
  sixteen rows[16] = {cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7]};
  transpose_16(rows);
  for (int i = 0; i < 16; i++) memcpy(out + 32 * i, &rows[i], 32);
}

WIDE(hash_16, sixteen, 16, load_16, store_16)

__attribute__((target("avx512f"))) static void hash_avx512(
    const uint8_t *in, size_t blocks, uint64_t counter, uint32_t flags, uint32_t first, uint32_t last, uint8_t *out) {
  hash_16(in, blocks, counter, flags, first, last, out);
}

static const struct hasher avx2 = {8, hash_avx2, hash_avx2, small_avx2};
static const struct hasher avx512 = {16, hash_avx512, hash_avx2, small_avx2};
static const struct hasher avx512vl = {16, hash_avx512, hash_avx512vl, small_avx512vl};

static const struct hasher *best(void) {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return &plain;
  // What of it the system saves for each thread.
  uint32_t enabled, unused;
  __asm__("xgetbv" : "=a"(enabled), "=d"(unused) : "c"(0));
  if ((enabled & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return &plain;
  if ((enabled & 0xE6) != 0xE6 || !(b & bit_AVX512F)) return &avx2;
  return b & bit_AVX512VL ? &avx512vl : &avx512;
}
#else
static const struct hasher *best(void) { return &plain; }
#endif

static const struct hasher *chosen(void) {
  static const struct hasher *known;
  const struct hasher *result = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (!result) {
    result = best();
    __atomic_store_n(&known, result, __ATOMIC_RELAXED);
  }
  return result;
}

static void hash_parent(uint32_t left[8], const uint32_t right[8], uint32_t flags) {
  uint8_t block[block_bytes];
  memcpy(block, left, 32);
  memcpy(block + 32, right, 32);
  memcpy(left, initial, 32);
  compress(left, block, block_bytes, 0, parent | flags);
}

// A chunk of 0 to 1,024 bytes.
static void hash_chunk(const uint8_t *in, size_t count, uint64_t counter, uint32_t flags, uint32_t cv[8]) {
  memcpy(cv, initial, 32);
  size_t at = 0;
  do {
    uint8_t block[block_bytes] = {0};
    const size_t length = count - at < block_bytes ? count - at : block_bytes;
    memcpy(block, in + at, length);
    const uint32_t first = at == 0 ? chunk_start : 0;
    at += length;
    compress(cv, block, (uint32_t)length, counter, first | (at == count ? chunk_end | flags : 0));
  } while (at < count);
}

// The chaining value of 2^k whole chunks, 64 at most.
static void hash_subtree(const uint8_t *in, size_t chunks, uint64_t counter, uint32_t cv[8]) {
  uint8_t values[most_chunks * 32];
  uint8_t above[most_chunks / 2 * 32];
  const struct hasher *const wide = chosen();
  const struct hasher *const hasher = chunks < wide->lanes ? &plain : wide;
  const size_t lanes = hasher->lanes;
  if (chunks < lanes) {
    for (size_t i = 0; i < chunks; i++) {
      uint32_t value[8];
      hash_chunk(in + i * chunk_bytes, chunk_bytes, counter + i, 0, value);
      memcpy(values + 32 * i, value, 32);
    }
  } else {
    for (size_t i = 0; i < chunks; i += lanes) {
      hasher->hash(in + i * chunk_bytes, chunk_bytes / block_bytes, counter + i, 0, chunk_start, chunk_end, values + 32 * i);
    }
  }
  for (; chunks > 1; chunks /= 2) {
    size_t i = 0;
    for (; i + lanes <= chunks / 2; i += lanes) hasher->hash(values + 64 * i, 1, 0, parent, 0, 0, above + 32 * i);
    for (; i < chunks / 2; i++) {
      uint32_t left[8], right[8];
      memcpy(left, values + 64 * i, 32);
      memcpy(right, values + 64 * i + 32, 32);
      hash_parent(left, right, 0);
      memcpy(above + 32 * i, left, 32);
    }
    memcpy(values, above, chunks / 2 * 32);
  }
  memcpy(cv, values, 32);
}

static void push(struct lrp2p_blake3 *state, uint32_t cv[8], uint64_t chunks) {
  state->chunks += chunks;
  for (uint64_t total = state->chunks / chunks; !(total & 1); total /= 2) {
    uint32_t *left = state->stack[--state->depth];
    hash_parent(left, cv, 0);
    memcpy(cv, left, 32);
  }
  memcpy(state->stack[state->depth++], cv, 32);
}

// Whole chunks of a small file, or of the end of a larger one, in the lanes of one call, some of which have nothing to do. At most eight.
static void hash_few(struct lrp2p_blake3 *state, const uint8_t *in, size_t chunks) {
  uint8_t padded[few_chunks * chunk_bytes], values[few_chunks * 32];
  if (chunks < few_chunks) {
    memcpy(padded, in, chunks * chunk_bytes);
    memset(padded + chunks * chunk_bytes, 0, sizeof padded - chunks * chunk_bytes);
    in = padded;
  }
  chosen()->few(in, chunk_bytes / block_bytes, state->chunks, 0, chunk_start, chunk_end, values);
  for (size_t i = 0; i < chunks; i++) {
    uint32_t cv[8];
    memcpy(cv, values + 32 * i, 32);
    push(state, cv, 1);
  }
}

void lrp2p_blake3_begin(struct lrp2p_blake3 *state) { state->depth = state->buffered = 0, state->chunks = 0; }

void lrp2p_blake3_update(struct lrp2p_blake3 *state, const void *bytes, size_t count) {
  const uint8_t *in = bytes;
  uint32_t cv[8];
  while (count > 0) {
    if (state->buffered == chunk_bytes) {
      hash_chunk(state->buffer, chunk_bytes, state->chunks, 0, cv);
      push(state, cv, 1);
      state->buffered = 0;
    }
    size_t taken;
    if (state->buffered == 0 && count > chunk_bytes) {
      // The largest whole subtree that begins here and is not the end.
      size_t chunks = most_chunks;
      while (chunks * chunk_bytes >= count || state->chunks % chunks) chunks /= 2;
      // Up to the next eighth, or to the end: two lanes at once are not faster than one chunk after the other.
      const size_t whole = (count - 1) / chunk_bytes, room = few_chunks - state->chunks % few_chunks;
      const size_t few = whole < room ? whole : room;
      if (chunks < few_chunks && few > 2) {
        chunks = few;
        hash_few(state, in, chunks);
      } else {
        hash_subtree(in, chunks, state->chunks, cv);
        push(state, cv, chunks);
      }
      taken = chunks * chunk_bytes;
    } else {
      const size_t room = chunk_bytes - state->buffered;
      taken = count < room ? count : room;
      memcpy(state->buffer + state->buffered, in, taken);
      state->buffered += (uint32_t)taken;
    }
    in += taken;
    count -= taken;
  }
}

void lrp2p_blake3_digest(const struct lrp2p_blake3 *state, uint8_t digest[32]) {
  uint32_t cv[8];
  hash_chunk(state->buffer, state->buffered, state->chunks, state->depth == 0 ? root : 0, cv);
  for (uint32_t level = state->depth; level > 0; level--) {
    uint32_t left[8];
    memcpy(left, state->stack[level - 1], 32);
    hash_parent(left, cv, level == 1 ? root : 0);
    memcpy(cv, left, 32);
  }
  memcpy(digest, cv, 32);
}

void lrp2p_blake3_small(const void *bytes, size_t count, uint8_t digest[32]) {
  const uint8_t *in = bytes;
  if (count <= chunk_bytes || count > few_chunks * chunk_bytes) {
    struct lrp2p_blake3 state;
    lrp2p_blake3_begin(&state);
    lrp2p_blake3_update(&state, bytes, count);
    lrp2p_blake3_digest(&state, digest);
    return;
  }
  size_t values = (count + chunk_bytes - 1) / chunk_bytes;
  const size_t last = values - 1, rest = count - last * chunk_bytes;
  // `few` reads a pair for each lane, used or not.
  uint8_t end[chunk_bytes], now[few_chunks * 64], above[few_chunks * 32];
  memcpy(end, in + last * chunk_bytes, rest);
  memset(end + rest, 0, chunk_bytes - rest);
  const uint8_t *lanes[few_chunks];
  for (size_t i = 0; i < few_chunks; i++) lanes[i] = i < last ? in + i * chunk_bytes : end;
  const size_t last_blocks = (rest + block_bytes - 1) / block_bytes;
  const struct hasher *const hasher = chosen();
  hasher->small(lanes, last, last_blocks, (uint32_t)(rest - (last_blocks - 1) * block_bytes), now);
  // Neighbours in pairs, level by level; one without a neighbour goes up as it is.
  memset(now + 32 * values, 0, sizeof now - 32 * values);
  while (values > 2) {
    hasher->few(now, 1, 0, parent, 0, 0, above);
    if (values & 1) memcpy(above + values / 2 * 32, now + 32 * (values - 1), 32);
    values = (values + 1) / 2;
    memcpy(now, above, 32 * values);
  }
  uint32_t left[8], right[8];
  memcpy(left, now, 32);
  memcpy(right, now + 32, 32);
  hash_parent(left, right, root);
  memcpy(digest, left, 32);
}

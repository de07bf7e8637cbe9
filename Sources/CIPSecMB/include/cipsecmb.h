// SPDX-License-Identifier: MIT
// libipsec-mb, as Swift can call it: loaded at run time, so that neither its header nor the library itself is needed to
// build or to run. No policy: which versions are good and what to do without is decided by the caller.
//
// What is declared here of its two structs is the same in every version that the caller accepts; what follows behind it
// is not, so both are made by the library only.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lrp2p_mb_manager;

// One datagram for ChaCha20-Poly1305.
struct lrp2p_mb_job {
  const void *sealing_key;
  const void *opening_key;
  uint64_t key_length;
  const uint8_t *source;
  uint8_t *target;
  uint64_t cipher_offset;
  uint64_t cipher_length;
  uint64_t hash_offset;
  uint64_t hash_length;
  const uint8_t *nonce;
  uint64_t nonce_length;
  uint8_t *tag;
  uint64_t tag_length;
  const void *associated;
  uint64_t associated_length;
  uint64_t unused;
  int status;
  int cipher;
  int direction;
  int hash;
  int order;
};

typedef struct lrp2p_mb_job *lrp2p_mb_next(struct lrp2p_mb_manager *);
typedef void lrp2p_mb_gcm(
    const void *expanded, void *context, uint8_t *target, const uint8_t *source, uint64_t length, const uint8_t *nonce,
    const uint8_t *associated, uint64_t associated_length, uint8_t *tag, uint64_t tag_length);
typedef void lrp2p_mb_gcm_expand(const void *key, void *expanded);

// An instance of the library, for one thread: its functions for this processor, and places for jobs.
struct lrp2p_mb_manager {
  uint64_t flags;
  uint64_t features;
  uint64_t reserved[5];
  uint32_t architecture;
  int error;
  lrp2p_mb_next *get_next_job;
  lrp2p_mb_next *submit_job;
  lrp2p_mb_next *submit_job_nocheck;
  void *others1[23];
  lrp2p_mb_gcm *gcm256_seal;
  void *others2[2];
  lrp2p_mb_gcm *gcm256_open;
  void *others3[20];
  lrp2p_mb_gcm_expand *gcm256_expand;
};

#if defined(__x86_64__)
_Static_assert(offsetof(struct lrp2p_mb_job, tag) == 88, "layout of a job");
_Static_assert(offsetof(struct lrp2p_mb_job, associated) == 104, "layout of a job");
_Static_assert(offsetof(struct lrp2p_mb_job, order) == 144, "layout of a job");
_Static_assert(offsetof(struct lrp2p_mb_manager, get_next_job) == 64, "layout of the manager");
_Static_assert(offsetof(struct lrp2p_mb_manager, gcm256_seal) == 272, "layout of the manager");
_Static_assert(offsetof(struct lrp2p_mb_manager, gcm256_open) == 296, "layout of the manager");
_Static_assert(offsetof(struct lrp2p_mb_manager, gcm256_expand) == 464, "layout of the manager");
#endif

enum lrp2p_mb_constant {
  LRP2P_MB_SEAL = 1,
  LRP2P_MB_OPEN = 2,
  LRP2P_MB_CIPHER_CHACHA20_POLY1305 = 19,
  LRP2P_MB_HASH_CHACHA20_POLY1305 = 29,
  LRP2P_MB_CIPHER_BEFORE_HASH = 1,
  LRP2P_MB_HASH_BEFORE_CIPHER = 2,
  LRP2P_MB_COMPLETED = 3,
};

// Bits of `features`; the higher ones differ from version to version.
enum lrp2p_mb_feature {
  LRP2P_MB_AESNI = 1 << 1,
  LRP2P_MB_PCLMULQDQ = 1 << 2,
};

// The loaded library.
struct lrp2p_mb_library {
  unsigned (*version)(void);
  struct lrp2p_mb_manager *(*allocate)(uint64_t flags);
  void (*initialise)(struct lrp2p_mb_manager *, int *architecture);
  void (*release)(struct lrp2p_mb_manager *);
};

// Loads the library of this name, for good. Returns NULL, or what stands in the way.
const char *lrp2p_mb_load(const char *name, struct lrp2p_mb_library *library);

// Makes a manager with what is best for this processor; NULL without memory.
struct lrp2p_mb_manager *lrp2p_mb_make(const struct lrp2p_mb_library *library);

// The value, of which the compiler knows nothing: it would else make a branch for each part of a comparison.
static inline uint64_t lrp2p_mb_opaque(uint64_t value) {
  __asm__("" : "+r"(value));
  return value;
}

// Overwrites with zeros, also what nobody reads any more.
void lrp2p_mb_wipe(void *bytes, size_t count);

static inline void lrp2p_mb_release(const struct lrp2p_mb_library *library, struct lrp2p_mb_manager *manager) {
  library->release(manager);
}

// AES-256-GCM in place; the tag that belongs to the text goes to `tag`, when opening, too. `expanded` is aligned to 64.
static inline void lrp2p_mb_aes_expand(const struct lrp2p_mb_manager *manager, const uint8_t *key, void *expanded) {
  manager->gcm256_expand(key, expanded);
}

static inline void lrp2p_mb_aes_seal(
    const struct lrp2p_mb_manager *manager, const void *expanded, void *context, uint8_t *text, uint64_t length,
    const uint8_t *nonce, const uint8_t *associated, uint64_t associated_length, uint8_t *tag) {
  manager->gcm256_seal(expanded, context, text, text, length, nonce, associated, associated_length, tag, 16);
}

static inline void lrp2p_mb_aes_open(
    const struct lrp2p_mb_manager *manager, const void *expanded, void *context, uint8_t *text, uint64_t length,
    const uint8_t *nonce, const uint8_t *associated, uint64_t associated_length, uint8_t *tag) {
  manager->gcm256_open(expanded, context, text, text, length, nonce, associated, associated_length, tag, 16);
}

// ChaCha20-Poly1305 in place; the tag that belongs to the text goes to `tag`, when opening, too. False when the library
// did not do it.
static inline bool lrp2p_mb_chacha(
    struct lrp2p_mb_manager *manager, int direction, const uint8_t *key, uint8_t *text, uint64_t length,
    const uint8_t *nonce, const uint8_t *associated, uint64_t associated_length, uint8_t *tag) {
  struct lrp2p_mb_job *job = manager->get_next_job(manager);
  job->sealing_key = key;
  job->opening_key = key;
  job->key_length = 32;
  job->source = text;
  job->target = text;
  job->cipher_offset = 0;
  job->cipher_length = length;
  job->hash_offset = 0;
  job->hash_length = length;
  job->nonce = nonce;
  job->nonce_length = 12;
  job->tag = tag;
  job->tag_length = 16;
  job->associated = associated;
  job->associated_length = associated_length;
  job->cipher = LRP2P_MB_CIPHER_CHACHA20_POLY1305;
  job->hash = LRP2P_MB_HASH_CHACHA20_POLY1305;
  job->direction = direction;
  job->order = direction == LRP2P_MB_SEAL ? LRP2P_MB_CIPHER_BEFORE_HASH : LRP2P_MB_HASH_BEFORE_CIPHER;
  job = manager->submit_job_nocheck(manager);
  return job != NULL && job->status == LRP2P_MB_COMPLETED;
}

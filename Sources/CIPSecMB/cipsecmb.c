// SPDX-License-Identifier: MIT
#define _DEFAULT_SOURCE
#include "cipsecmb.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

const char *lrp2p_mb_load(const char *name, struct lrp2p_mb_library *library) {
  void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) return dlerror();
  *(void **)&library->version = dlsym(handle, "imb_get_version");
  *(void **)&library->allocate = dlsym(handle, "alloc_mb_mgr");
  *(void **)&library->initialise = dlsym(handle, "init_mb_mgr_auto");
  *(void **)&library->release = dlsym(handle, "free_mb_mgr");
  if (library->version == NULL || library->allocate == NULL || library->initialise == NULL || library->release == NULL)
    return "functions are missing";
  return NULL;
}

struct lrp2p_mb_manager *lrp2p_mb_make(const struct lrp2p_mb_library *library) {
  // The library notes the processor's features in variables of its own.
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&lock);
  struct lrp2p_mb_manager *manager = library->allocate(0);
  if (manager != NULL) library->initialise(manager, NULL);
  pthread_mutex_unlock(&lock);
  return manager;
}

void lrp2p_mb_wipe(void *bytes, size_t count) { explicit_bzero(bytes, count); }

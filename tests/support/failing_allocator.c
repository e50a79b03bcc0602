// Copyright 2026 The alexnet_tf authors. Apache-2.0.
//
// Preloaded into a process, this makes large allocations fail once a test asks for it,
// as they do where memory is short.

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static volatile size_t least = SIZE_MAX;

// From now on, no allocation of this many bytes or more succeeds.
void fail_allocations_from(size_t bytes) { least = bytes; }

static int fails(size_t bytes) {
  if (bytes < least) return 0;
  errno = ENOMEM;
  return 1;
}

void *malloc(size_t bytes) { return fails(bytes) ? NULL : __libc_malloc(bytes); }

void *calloc(size_t count, size_t bytes) {
  return fails(count * bytes) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes) {
  return fails(bytes) ? NULL : __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
  return fails(bytes) ? NULL : __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  return memalign(alignment, bytes);
}

int posix_memalign(void **result, size_t alignment, size_t bytes) {
  *result = memalign(alignment, bytes);
  return *result == NULL ? ENOMEM : 0;
}

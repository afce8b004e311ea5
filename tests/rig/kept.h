/* kept.h - what a store does with the script of idempotency keys: the same in C, on a small table. */
#ifndef RIG_KEPT_H
#define RIG_KEPT_H

#include "base/span.h"

enum { KEPT_MAX = 16, KEPT_KEY = 160, KEPT_VALUE = 2048 };
struct kept { char key[KEPT_KEY], value[KEPT_VALUE]; size_t key_len, len; uint64_t until_us; };      /* len 0: free */

/* words: number of keys, key, operation, token, fingerprint, time to live, kind, answer. .at NULL: it does not fit. */
struct span kept_run(struct kept table[KEPT_MAX], const struct span *words, unsigned count, uint64_t now_us);

#endif

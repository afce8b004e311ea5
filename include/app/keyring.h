/* keyring.h - gets the keys that tokens are checked with, on the control thread: whatever sources of keys (core/keys.h) have users.
 *
 * A URL is fetched when it is first seen, and again when its Cache-Control: max-age (else `refresh`) is over, a bit early and not all at once.
 * After a failure again after 0.5 s, doubling to 60 s; what was got before goes on being used, however old. A token that names an unknown
 * key makes it be fetched at once, at most every ten seconds. A file is read again when it has changed.
 */
#ifndef APP_KEYRING_H
#define APP_KEYRING_H

#include <uv.h>

#include "core/keys.h"
#include "edge/fetch.h"

struct keyring;

struct keyring *keyring_new(uv_loop_t *, struct fetcher *, struct shared *);      /* NULL: out of memory */
/* Looks for sources that are new, or have no users any more. It does so every second anyway. */
void keyring_look(struct keyring *);
/* Calls back once each source that is known now was tried; maybe at once. */
void keyring_on_settled(struct keyring *, void (*settled)(void *), void *self);
/* Before fetcher_free(). Memory goes when the loop has closed its handles. */
void keyring_free(struct keyring *);

/* Until the next fetch. unit: a random number from 0 to 1. */
uint64_t keyring_pause_us(const struct key_terms *, const struct fetch_result *, unsigned failures, double unit);

#endif

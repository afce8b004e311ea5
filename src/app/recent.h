/* recent.h - how long requests take now: histograms that forget, per route and in all. */
#ifndef SRC_APP_RECENT_H
#define SRC_APP_RECENT_H

#include "app/server.h"
#include "base/json.h"

struct recent;
struct recent *recent_new(const struct server *);
void recent_free(struct recent *);
/* Once a second while somebody looks: what came in since the last call weighs in full, what was there before nine tenths of that. */
void recent_tick(struct recent *);
/* "recent": {"p50_ms", "p95_ms", "p99_ms", "routes": {NAME: {...}}}; null where there was nothing. */
void recent_json(const struct recent *, struct json *);

#endif

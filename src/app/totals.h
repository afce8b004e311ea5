/* totals.h - what the data threads count, summed; and how things are with an upstream now. Relaxed loads: a sum may be a request behind. */
#ifndef SRC_APP_TOTALS_H
#define SRC_APP_TOTALS_H

#include <stddef.h>

#include "app/server.h"
#include "core/stats.h"

/* `route` is the index of conf->routes; conf->route_count is "none". `field` is the offset of a counter, or a histogram, in the struct. */
uint64_t route_total(const struct server *, unsigned route, size_t field);
/* By the way that was gone: 0 is the route's first upstream, 1 the first of its conf's `others`. */
uint64_t route_retries(const struct server *, unsigned route, unsigned way, enum retry_result);
void     route_hist(const struct server *, unsigned route, size_t field, struct hist *out);
void     route_examples(const struct server *, unsigned route, unsigned class, struct exemplars *out);
/* Returns their sum; 0: nothing was put out. */
uint64_t route_statuses(const struct server *, unsigned route, enum method, uint64_t out[STATUS_SLOTS]);
uint64_t upstream_total(const struct server *, unsigned upstream, size_t field);
void     upstream_hist(const struct server *, unsigned upstream, size_t field, struct hist *out);
struct span route_name(const struct server *, unsigned route);

struct route_summary { uint64_t requests, by_class[STATUS_CLASSES], in_flight, retries; struct hist all; };
void route_summary(const struct server *, unsigned route, struct route_summary *);

struct upstream_summary { unsigned endpoints, by_state[ENDPOINT_STATE_COUNT], usable; uint64_t in_flight, connections; };
/* usable: healthy, and its address is known. */
void upstream_summary(struct upstream *, uint64_t now_us, struct upstream_summary *);

uint64_t server_connections(const struct server *, unsigned listener);
/* Every loop has turned within five seconds. */
bool server_is_alive(const struct server *);

#endif

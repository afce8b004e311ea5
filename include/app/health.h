/* health.h - active health checks (behaviour §11), on the control thread, through edge/fetch.
 *
 * Each endpoint of an upstream with `health_check:` is asked for its path, one check at a time, `interval` (± jitter) after the
 * last one ended. A good answer is a whole one with an expected status within `timeout`; a new connection each time, so that an
 * app that accepts no more is seen. An endpoint starts healthy; `unhealthy_after` failures in a row make it unhealthy,
 * `healthy_after` good checks healthy again. Changes of the set of endpoints are followed within a second.
 */
#ifndef APP_HEALTH_H
#define APP_HEALTH_H

#include <uv.h>

#include "core/target.h"
#include "edge/fetch.h"

struct health;
struct health_counts { uint64_t ok, failed; };     /* outrigger_health_checks_total{upstream,result} */

struct health *health_new(uv_loop_t *, struct fetcher *);          /* NULL: out of memory */
/* Ends all checks; endpoints keep their marks. Before fetcher_free(). Memory goes when the loop has closed its handles. */
void health_free(struct health *);
/* Takes a reference. Harmless for an upstream without checks. false: out of memory. */
bool health_add(struct health *, struct upstream *);
/* Gives it back, and takes the marks away from its endpoints: nobody would do that any more. */
void health_remove(struct health *, struct upstream *);
/* Zero for an upstream without checks. Control thread. */
struct health_counts health_counts(const struct health *, const struct upstream *);

#endif

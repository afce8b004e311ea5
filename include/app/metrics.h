/* metrics.h - GET /metrics: Prometheus text, or OpenMetrics (interface §8). Control thread; data threads are not stopped and not asked. */
#ifndef APP_METRICS_H
#define APP_METRICS_H

#include "base/text.h"

struct server;
struct metrics;                           /* what is told "since the last scrape": loop lag, busy share */

struct metrics *metrics_new(const struct server *);                /* NULL: out of memory */
void metrics_free(struct metrics *);
void metrics_print(struct metrics *, bool openmetrics, struct text *out);

#endif

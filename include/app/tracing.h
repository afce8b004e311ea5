/* tracing.h - spans for a collector, by OTLP over HTTP in JSON: one SERVER span per request, one CLIENT span per try.
 *
 *   data thread ──▶ ring of records (one per thread, one writer, one reader, no lock) ──▶ control thread: a batch ──▶ edge/fetch ──▶ collector
 *
 * Kept are sampled traces (tracing.sample, or whatever their caller decided), and every request that failed. What does not keep up costs spans,
 * never a request, and is counted: a full ring drops; a batch that the collector does not take after a few tries is dropped.
 */
#ifndef APP_TRACING_H
#define APP_TRACING_H

#include "app/observe.h"
#include "conf/conf.h"
#include "edge/fetch.h"
#include "edge/loop.h"

/* Batches: those that the collector took, tries that are made again, batches given up. Requests whose spans were dropped, by cause. */
struct tracing_counts { uint64_t ok, retried, failed, dropped_full, dropped_failed; };

struct tracing;
struct tracing *tracing_new(struct loop *control, struct fetcher *, unsigned workers, struct span instance);     /* NULL: out of memory */
/* Cancels what is on its way; before fetcher_free(), when no data thread runs. Memory goes when the loop has closed its handle. */
void tracing_free(struct tracing *);
/* Another configuration; or the first one. */
void tracing_adopt(struct tracing *, struct conf *);
/* On the data thread of that worker. */
void tracing_note(struct tracing *, struct worker *, const struct exchange *, const struct measured *);
/* Sends what there is, and then calls done, after a second at the latest. false: there is nothing to wait for. */
bool tracing_flush(struct tracing *, void (*done)(void *self), void *self);
struct tracing_counts tracing_counts(const struct tracing *);

#endif

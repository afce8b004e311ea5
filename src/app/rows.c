/* rows.c - see rows.h. */
#include "rows.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct ring { pthread_mutex_t lock; struct row *at; uint64_t next; };      /* next: rows noted so far */
struct rows { unsigned threads, watchers; struct ring rings[]; };

struct rows *rows_new(unsigned threads)
{
	struct rows *rows = calloc(1, sizeof(*rows) + threads * sizeof(struct ring));
	if (!rows)
		return NULL;
	rows->threads = threads;
	for (unsigned i = 0; i < threads; i++)
		pthread_mutex_init(&rows->rings[i].lock, NULL);
	return rows;
}

void rows_free(struct rows *rows)
{
	for (unsigned i = 0; rows && i < rows->threads; i++) {
		free(rows->rings[i].at);
		pthread_mutex_destroy(&rows->rings[i].lock);
	}
	free(rows);
}

void rows_watch(struct rows *rows, bool watch) { __atomic_fetch_add(&rows->watchers, watch ? 1 : -1, __ATOMIC_RELAXED); }

bool rows_wanted(const struct rows *rows, const struct exchange *ex)
{
	return ex->reason != REASON_NONE || ex->would_refuse != REASON_NONE || __atomic_load_n(&rows->watchers, __ATOMIC_RELAXED);
}

/* What does not fit loses its end, and never half a UTF-8 character's worth of trouble: json_escape sees to that. */
static void keep(char *to, size_t size, struct span from)
{
	size_t n = from.len < size - 1 ? from.len : size - 1;
	if (n)
		memcpy(to, from.at, n);
	to[n] = '\0';
}
#define KEEP(to, from) keep(to, sizeof(to), from)

static void fill(struct row *r, const struct exchange *ex, const struct measured *m)
{
	r->wall_ms = ex->worker->wall_ms;
	KEEP(r->request_id, ((struct span){ ex->trace.request_id, ex->trace.request_id_len }));
	KEEP(r->client, ex->client_address);
	KEEP(r->method, ex->request.method_text);
	KEEP(r->host, ex->request.authority);
	KEEP(r->path, ex->request.path);          /* never the query: it is where people put tokens */
	KEEP(r->route, ex->route->name);
	KEEP(r->upstream, ex->route->upstream ? ex->route->upstream->name : SPAN_NONE);
	KEEP(r->endpoint, ex->endpoint ? ex->endpoint->name : SPAN_NONE);
	r->status = m->status;
	r->reason = ex->reason;
	r->would_refuse = ex->would_refuse;
	r->served_by = ex->served_by;
	r->attempts = ex->attempt;
	r->duration_us = m->duration_us;
	r->queue_us = ex->timing.queue_us;
	r->pause_us = ex->timing.pause_us;
	r->connect_us = ex->timing.connect_us;
	r->first_byte_us = m->replied ? m->first_byte_us : 0;
	r->overhead_us = m->overhead_us;
	r->bytes_in = ex->request_body.total;
	r->bytes_out = m->bytes_out;
	r->tried_count = ex->tried_count < ROW_TRIED ? ex->tried_count : ROW_TRIED;
	for (unsigned i = 0; i < r->tried_count; i++) {
		KEEP(r->tried[i].endpoint, ex->tried[i].endpoint);
		r->tried[i].reason = ex->tried[i].reason;
		r->tried[i].status = ex->tried[i].status;
		r->tried[i].us = ex->tried[i].us;
	}
}

void rows_note(struct rows *rows, unsigned thread, const struct exchange *ex, const struct measured *m)
{
	struct ring *ring = &rows->rings[thread];
	pthread_mutex_lock(&ring->lock);
	if (!ring->at)
		ring->at = calloc(ROWS_PER_THREAD, sizeof(*ring->at));
	if (ring->at)
		fill(&ring->at[ring->next++ % ROWS_PER_THREAD], ex, m);
	pthread_mutex_unlock(&ring->lock);
}

uint64_t rows_now(struct rows *rows, unsigned thread)
{
	struct ring *ring = &rows->rings[thread];
	pthread_mutex_lock(&ring->lock);
	uint64_t now = ring->next;
	pthread_mutex_unlock(&ring->lock);
	return now;
}

bool rows_next(struct rows *rows, unsigned thread, uint64_t *cursor, uint64_t *missed, struct row *out)
{
	struct ring *ring = &rows->rings[thread];
	pthread_mutex_lock(&ring->lock);
	uint64_t oldest = ring->next > ROWS_PER_THREAD ? ring->next - ROWS_PER_THREAD : 0;
	if (*cursor < oldest) {
		*missed += oldest - *cursor;
		*cursor = oldest;
	}
	bool found = *cursor < ring->next;
	if (found)
		*out = ring->at[(*cursor)++ % ROWS_PER_THREAD];
	pthread_mutex_unlock(&ring->lock);
	return found;
}

static void put_word(struct json *j, const char *key, const char *word)
{
	if (word[0])
		json_text(j, key, word);
}

static void put_ms(struct json *j, const char *key, uint64_t us) { json_fixed(j, key, (double)us / 1e3, 3); }

void row_json(const struct row *r, struct json *j)
{
	json_open(j, NULL, '{');
	json_u64(j, "time_ms", r->wall_ms);
	json_text(j, "request_id", r->request_id);
	put_word(j, "client", r->client);
	json_text(j, "method", r->method);
	json_text(j, "host", r->host);
	json_text(j, "path", r->path);
	json_text(j, "route", r->route);
	put_word(j, "upstream", r->upstream);
	put_word(j, "endpoint", r->endpoint);
	json_u64(j, "status", (uint64_t)r->status);
	put_word(j, "reason", reason_name(r->reason));
	put_word(j, "would_refuse", reason_name(r->would_refuse));
	json_text(j, "served_by", served_by_name(r->served_by));
	json_u64(j, "attempts", r->attempts);
	put_ms(j, "duration_ms", r->duration_us);
	put_ms(j, "queue_ms", r->queue_us);
	put_ms(j, "pause_ms", r->pause_us);
	put_ms(j, "connect_ms", r->connect_us);
	put_ms(j, "ttfb_ms", r->first_byte_us);
	put_ms(j, "overhead_ms", r->overhead_us);
	json_u64(j, "bytes_in", r->bytes_in);
	json_u64(j, "bytes_out", r->bytes_out);
	json_open(j, "tried", '[');
	for (unsigned i = 0; i < r->tried_count; i++) {
		json_open(j, NULL, '{');
		json_text(j, "endpoint", r->tried[i].endpoint);
		put_word(j, "reason", reason_name(r->tried[i].reason));
		json_u64(j, "status", (uint64_t)r->tried[i].status);
		put_ms(j, "ms", r->tried[i].us);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

/* 12:04:05.123 GET    503    0.4ms orders           shop.example.com/orders/42 → circuit_open  (id 019a…) */
void row_text(const struct row *r, struct text *out)
{
	time_t second = (time_t)(r->wall_ms / 1000);
	struct tm tm = { 0 };
	gmtime_r(&second, &tm);
	text_f(out, "%02d:%02d:%02d.%03u %-7s %3d %9.1fms  %-16s ", tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(r->wall_ms % 1000), r->method,
		r->status, (double)r->duration_us / 1e3, r->route);
	json_escape(out, span_of(r->host));
	json_escape(out, span_of(r->path));
	if (r->endpoint[0])
		text_f(out, " → %s", r->endpoint);
	if (r->reason != REASON_NONE)
		text_f(out, "  %s", reason_name(r->reason));
	if (r->would_refuse != REASON_NONE)
		text_f(out, "  would_refuse=%s", reason_name(r->would_refuse));
	if (r->served_by != SERVED_BY_upstream && r->served_by != SERVED_BY_proxy)
		text_f(out, "  (%s)", served_by_name(r->served_by));
	for (unsigned i = 0; i < r->tried_count; i++)
		text_f(out, "  [%s %s]", r->tried[i].endpoint,
			r->tried[i].reason != REASON_NONE ? reason_name(r->tried[i].reason) : "answered badly");
	text_f(out, "  %s\n", r->request_id);
}

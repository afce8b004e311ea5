/* trace_record.c - an exchange that is over, copied. On its data thread, and only for those requests whose trace is kept. */
#include "trace_record.h"

static void keep(char *to, size_t size, struct span from)
{
	size_t n = from.len < size - 1 ? from.len : size - 1;
	if (n)
		memcpy(to, from.at, n);
	to[n] = '\0';
}
#define KEEP(to, from) keep(to, sizeof(to), from)

static void add_try(struct trace_record *r, const struct exchange *ex, const struct attempt *a, struct span endpoint)
{
	struct trace_try *t = &r->tries[r->try_count];
	if (!a->number || r->try_count == TRACE_TRIES)
		return;
	r->try_count++;
	KEEP(t->endpoint, endpoint);
	trace_try_id(&ex->trace, a->number, t->span_id);
	t->number = a->number;
	t->status = a->status;
	t->reason = a->reason;
	t->at_us = a->at_us > ex->timing.first_byte_us ? a->at_us - ex->timing.first_byte_us : 0;
	t->us = a->us ? a->us : r->duration_us > t->at_us ? r->duration_us - t->at_us : 0;
	t->connect_us = a->connect_us;
	t->reply_us = a->reply_us > a->at_us ? a->reply_us - a->at_us : 0;
}

static void fill_tries(struct trace_record *r, const struct exchange *ex)
{
	struct attempt last = exchange_last_try(ex);
	r->tries_total = ex->attempt;
	r->try_count = 0;
	for (unsigned i = 0; i < ex->tried_count && i < TRACE_TRIES - 1; i++)
		add_try(r, ex, &ex->tried[i], ex->tried[i].endpoint);
	add_try(r, ex, &last, ex->endpoint ? ex->endpoint->name : SPAN_NONE);
}

static void fill_ids(struct trace_record *r, const struct exchange *ex)
{
	memcpy(r->trace_id, ex->trace.trace_id, sizeof(r->trace_id));
	memcpy(r->span_id, ex->trace.span_id, sizeof(r->span_id));
	memcpy(r->parent_id, ex->trace.caller_id, sizeof(r->parent_id));
	r->has_parent = ex->trace.continued;
	r->link = ex->link;
	KEEP(r->request_id, ((struct span){ ex->trace.request_id, ex->trace.request_id_len }));
}

static void fill_request(struct trace_record *r, const struct exchange *ex)
{
	const struct request *q = &ex->request;
	const struct conf_route *conf = ex->route->conf;
	KEEP(r->client, ex->client_address);
	KEEP(r->method, q->method_text);
	KEEP(r->scheme, ex->scheme);
	KEEP(r->host, q->authority);
	KEEP(r->path, q->path);                   /* never the query: it is where people put tokens */
	KEEP(r->agent, fields_value(&q->fields, FIELD_USER_AGENT));
	KEEP(r->route, ex->route->name);
	KEEP(r->pattern, conf ? conf->path : SPAN_NONE);
	KEEP(r->upstream, ex->route->upstream ? ex->route->upstream->name : SPAN_NONE);
	r->http11 = q->minor > 0;
	r->bytes_in = ex->request_body.total;
}

void trace_record_fill(struct trace_record *r, const struct exchange *ex, const struct measured *m)
{
	r->wall_us = ex->worker->wall_ms * 1000 - (ex->timing.over_us - ex->timing.first_byte_us);
	fill_ids(r, ex);
	fill_request(r, ex);
	r->status = m->status;
	r->reason = ex->reason;
	r->would_refuse = ex->would_refuse;
	r->served_by = ex->served_by;
	r->replied = m->replied;
	r->duration_us = m->duration_us;
	r->first_byte_us = m->first_byte_us;
	r->overhead_us = m->overhead_us;
	r->queue_us = ex->timing.queue_us;
	r->pause_us = ex->timing.pause_us;
	r->bytes_out = m->bytes_out;
	fill_tries(r, ex);
}

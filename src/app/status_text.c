/* status_text.c - the state of things in 80 columns of plain text: `outrigger status`, and GET / for whoever does not ask for HTML. */
#include "app/flags.h"
#include "app/version.h"
#include "core/keys.h"
#include "pages.h"
#include "totals.h"
#include "words.h"

enum { NAME_COLUMNS = 24, ENDPOINT_COLUMNS = 26, CELL_MAX = 64 };

/* ── columns ── */

/* Characters, not bytes: names are UTF-8. */
static size_t columns_of(struct span s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.at[i] & 0xc0) != 0x80;
	return n;
}

static void put_blanks(struct text *out, size_t n)
{
	while (n-- > 0)
		text_char(out, ' ');
}

/* Flush left; too long a name loses its end. */
static void put_name(struct text *out, struct span name, size_t width)
{
	size_t columns = columns_of(name), n = name.len;
	if (columns > width) {
		for (n = 0, columns = 0; columns < width - 1 || ((unsigned char)name.at[n] & 0xc0) == 0x80; n++)
			columns += ((unsigned char)name.at[n] & 0xc0) != 0x80;
		text_add(out, span_first(name, n));
		text_add(out, SPAN("…"));
		return;
	}
	text_add(out, name);
	put_blanks(out, width - columns);
}

static void put_right(struct text *out, struct span cell, size_t width)
{
	size_t columns = columns_of(cell);
	put_blanks(out, columns < width ? width - columns : 1);
	text_add(out, cell);
}

static void put_count(struct text *out, uint64_t n, size_t width)
{
	char memory[CELL_MAX];
	struct text cell;
	text_over(&cell, memory, sizeof(memory));
	words_count(&cell, n);
	put_right(out, text_span(&cell), width);
}

static void put_latency(struct text *out, const struct hist *h, double q, size_t width)
{
	char memory[CELL_MAX];
	struct text cell;
	text_over(&cell, memory, sizeof(memory));
	if (hist_count_below(h, UINT64_MAX))
		words_latency(&cell, hist_quantile_us(h, q));
	else
		text_char(&cell, '-');
	put_right(out, text_span(&cell), width);
}

/* A hundred is only said when there was no failure at all. */
static void put_success(struct text *out, const struct route_summary *sum, size_t width)
{
	char memory[CELL_MAX];
	struct text cell;
	uint64_t bad = sum->by_class[5] + sum->by_class[0];
	double share = sum->requests ? 100.0 * (double)(sum->requests - bad) / (double)sum->requests : 0;
	text_over(&cell, memory, sizeof(memory));
	if (!sum->requests)
		text_char(&cell, '-');
	else if (!bad)
		text_add(&cell, SPAN("100%"));
	else
		text_f(&cell, "%.2f%%", share > 99.99 ? 99.99 : share);
	put_right(out, text_span(&cell), width);
}

/* ── parts ── */

/* replaced    3 servers since the supervisor started: crash 2, watchdog 1 */
static void put_restarts(const struct server *s, struct text *out)
{
	uint64_t all = 0;
	for (unsigned c = 0; s->estate && c < RESTART_CAUSE_COUNT; c++)
		all += s->estate->restarts[c];
	if (!all)
		return;
	text_f(out, "replaced    %llu server%s since the supervisor started:", (unsigned long long)all, all == 1 ? "" : "s");
	for (unsigned c = 0, told = 0; c < RESTART_CAUSE_COUNT; c++)
		if (s->estate->restarts[c])
			text_f(out, "%s %s %llu", told++ ? "," : "", restart_cause_name((enum restart_cause)c),
				(unsigned long long)s->estate->restarts[c]);
	text_char(out, '\n');
}

static void put_head(const struct server *s, struct text *out)
{
	uint64_t now = clock_wall_ms(), loaded = s->conf->loaded_wall_ms;
	struct span file = words_file(s->conf->file);
	text_f(out, "outrigger %s (%s)   %s, %s   up ", version_number(), version_revision(), pages_life(s), pages_ready(s) ? "ready" : "not ready");
	words_age(out, (clock_now_us() - s->started_us) / 1000000);
	text_f(out, "\nconfig      " SPAN_FMT " (%.8s) loaded ", SPAN_ARG(file), s->config_digest);
	words_age(out, now > loaded ? (now - loaded) / 1000 : 0);
	text_f(out, " ago, %u worker%s\n", s->thread_count, s->thread_count == 1 ? "" : "s");
	for (unsigned i = 0; i < s->conf->listener_count; i++) {
		uint64_t open = server_connections(s, i);
		text_f(out, "%s" SPAN_FMT "  %llu connection%s\n", i ? "            " : "listening   ", SPAN_ARG(s->conf->listeners[i].address),
			(unsigned long long)open, open == 1 ? "" : "s");
	}
	flags_text(s, out);
	put_restarts(s, out);
	overload_text(s, out);
}

struct summaries { struct text *out; const char *label; struct span name; };

/*     circuit breaker  open, next try in 3 s */
static void put_summary(void *self, const struct core_kind *kind, struct span name, void *core)
{
	const struct summaries *to = self;
	struct span word = span_of(kind->name);
	if (!kind->summary || strcmp(kind->label, to->label) != 0 || !span_eq(name, to->name))
		return;
	text_add(to->out, SPAN("  "));
	for (size_t i = 0; i < word.len; i++)
		text_char(to->out, word.at[i] == '_' ? ' ' : word.at[i]);
	put_blanks(to->out, word.len < NAME_COLUMNS - 2 ? NAME_COLUMNS - 2 - word.len : 1);
	text_char(to->out, ' ');
	kind->summary(core, clock_now_us(), to->out);
	text_char(to->out, '\n');
}

static void put_summaries(const struct server *s, const char *label, struct span name, struct text *out)
{
	shared_each(s->shared, NULL, put_summary, &(struct summaries){ out, label, name });
}

static void put_route(const struct server *s, unsigned i, struct text *out)
{
	struct route_summary sum;
	route_summary(s, i, &sum);
	if (i == s->conf->route_count && !sum.requests && !sum.in_flight)
		return;                           /* "none" is of interest once there was an unmatched request */
	put_name(out, route_name(s, i), NAME_COLUMNS);
	put_count(out, sum.requests, 9);
	put_success(out, &sum, 9);
	put_latency(out, &sum.all, 0.50, 8);
	put_latency(out, &sum.all, 0.95, 8);
	put_latency(out, &sum.all, 0.99, 8);
	put_count(out, sum.retries, 8);
	put_count(out, sum.in_flight, 6);
	text_char(out, '\n');
	put_summaries(s, "route", route_name(s, i), out);
}

/* KEYS, once there are any. */
static void put_keys(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct summaries *to = self;
	if (!to->name.len)
		text_add(to->out, SPAN("\nKEYS OF TOKENS\n"));
	to->name = name;
	text_add(to->out, name);
	text_add(to->out, SPAN("\n  "));
	kind->summary(core, clock_now_us(), to->out);
	text_char(to->out, '\n');
}

static void put_endpoint(struct endpoint *e, struct text *out)
{
	uint64_t now = clock_now_us(), until = counter_get(&e->ejected_until_us);
	enum endpoint_state state = endpoint_state(e, now);
	bool known = endpoint_address_count(e) > 0;
	text_add(out, state == ENDPOINT_healthy && known ? SPAN("  ● ") : SPAN("  ○ "));
	put_name(out, e->name, ENDPOINT_COLUMNS);
	text_char(out, ' ');
	put_name(out, known ? span_of(endpoint_state_name(state)) : SPAN("no address"), 10);
	put_count(out, counter_get(&e->in_flight), 7);
	put_count(out, counter_get(&e->connections), 7);
	put_count(out, counter_get(&e->served), 10);
	put_count(out, counter_get(&e->errors), 9);
	if (state == ENDPOINT_ejected) {
		text_add(out, SPAN("  back in "));
		words_age(out, (until - now) / 1000000 + 1);
	}
	text_char(out, '\n');
}

static void put_upstream(const struct server *s, unsigned i, struct text *out)
{
	struct endpoint_set *set = upstream_endpoints(s->upstreams[i]);
	struct upstream_summary sum;
	upstream_summary(s->upstreams[i], clock_now_us(), &sum);
	put_name(out, s->conf->upstreams[i].name, NAME_COLUMNS);
	text_f(out, " %u of %u healthy%s\n", sum.usable, sum.endpoints, s->conf->upstreams[i].required ? ", required" : "");
	put_summaries(s, "upstream", s->conf->upstreams[i].name, out);
	for (unsigned k = 0; k < set->count; k++)
		put_endpoint(set->at[k], out);
	endpoint_set_unref(set);
}

void page_status_text(struct admin *a, const struct exchange *ex, struct page *page)
{
	const struct server *s = a->server;
	struct text *out = &page->body;
	(void)ex;
	put_head(s, out);
	text_add(out, SPAN("\nROUTES                   requests  success     p50     p95     p99 retries  busy\n"));
	for (unsigned i = 0; i <= s->conf->route_count; i++)
		put_route(s, i, out);
	if (s->conf->upstream_count)
		text_add(out, SPAN("\nUPSTREAMS                      state        busy  conns    served   errors\n"));
	for (unsigned i = 0; i < s->conf->upstream_count; i++)
		put_upstream(s, i, out);
	if (s->conf->redis_count)
		text_add(out, SPAN("\nSTORES\n"));
	for (unsigned i = 0; i < s->conf->redis_count; i++) {
		text_f(out, SPAN_FMT "\n", SPAN_ARG(s->conf->redis[i].name));
		put_summaries(s, "store", s->conf->redis[i].name, out);
	}
	shared_each(s->shared, &key_source_kind, put_keys, &(struct summaries){ .out = out });
}

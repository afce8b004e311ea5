/* pages_health.c - the probes. /livez never asks about upstreams: restarting outrigger would not heal them. */
#include "app/reload.h"
#include "core/keys.h"
#include "pages.h"
#include "totals.h"
#include "words.h"

enum { LABEL_COLUMNS = 17 };

const char *pages_life(const struct server *s)
{
	return s->asked_to_drain && s->life == LIFE_serving ? "asked to drain" : life_name(s->life);
}

void page_livez(struct admin *a, const struct exchange *ex, struct page *out)
{
	(void)ex;
	bool alive = server_is_alive(a->server);
	page_say(out, alive ? 200 : 503, alive ? "ok" : "A data thread has not turned its loop for five seconds.");
}

void page_startupz(struct admin *a, const struct exchange *ex, struct page *out)
{
	(void)ex;
	bool started = a->server->life != LIFE_starting;
	page_say(out, started ? 200 : 503, started ? "ok" : "starting");
}

/* ── /readyz ── */

static bool upstream_is_ready(const struct server *s, unsigned i)
{
	struct upstream_summary sum;
	upstream_summary(s->upstreams[i], clock_now_us(), &sum);
	return sum.usable > 0 || !s->conf->upstreams[i].required;
}

bool pages_ready(const struct server *s)
{
	bool ready = server_is_ready(s);
	for (unsigned i = 0; ready && i < s->conf->upstream_count; i++)
		ready = upstream_is_ready(s, i);
	return ready;
}

/* "[+] config       " */
static void begin_line(struct text *out, char mark, struct span what)
{
	text_f(out, "[%c] " SPAN_FMT, mark, SPAN_ARG(what));
	for (size_t n = what.len + 4; n < LABEL_COLUMNS; n++)
		text_char(out, ' ');
}

static void config_line(const struct server *s, struct text *out)
{
	uint64_t now = clock_wall_ms(), loaded = s->conf->loaded_wall_ms;
	begin_line(out, '+', SPAN("config"));
	struct span file = words_file(s->conf->file);
	text_f(out, SPAN_FMT " loaded ", SPAN_ARG(file));
	words_age(out, now > loaded ? (now - loaded) / 1000 : 0);
	text_f(out, " ago (sha256 %.8s)\n", s->config_digest);
	if (s->reload->refused) {
		struct span rest = text_span(&s->reload->error), line;
		begin_line(out, '!', SPAN("reload"));
		text_add(out, SPAN("what is on disk was refused: "));
		text_add(out, span_next(&rest, '\n', &line) ? line : SPAN("no reason"));
		text_char(out, '\n');
	}
}

static void listeners_line(const struct server *s, struct text *out)
{
	bool open = s->life == LIFE_serving || s->life == LIFE_delaying;
	begin_line(out, open ? '+' : '-', SPAN("listeners"));
	for (unsigned i = 0; i < s->conf->listener_count; i++)
		text_f(out, "%s" SPAN_FMT, i ? ", " : "", SPAN_ARG(s->conf->listeners[i].address));
	text_add(out, open ? SPAN("\n") : SPAN(" (closed)\n"));
}

static void upstream_line(const struct server *s, unsigned i, struct text *out)
{
	const struct conf_upstream *c = &s->conf->upstreams[i];
	struct upstream_summary sum;
	upstream_summary(s->upstreams[i], clock_now_us(), &sum);
	text_f(out, "[%c] upstream " SPAN_FMT "   %u of %u endpoints healthy (%srequired)\n",
		!c->required ? ' ' : sum.usable ? '+' : '-', SPAN_ARG(c->name), sum.usable, sum.endpoints, c->required ? "" : "not ");
}

/* A mark, not a verdict: other routes serve without them. */
static void keys_line(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct text *out = self;
	begin_line(out, key_source_serial(core) ? '+' : '!', SPAN("keys"));
	text_f(out, SPAN_FMT "   ", SPAN_ARG(name));
	kind->summary(core, clock_now_us(), out);
	text_char(out, '\n');
}

void page_readyz(struct admin *a, const struct exchange *ex, struct page *out)
{
	const struct server *s = a->server;
	bool ready = pages_ready(s);
	struct text *body = &out->body;

	out->status = ready ? 200 : 503;
	if (ex->request.query.at && span_starts(ex->request.query, SPAN("verbose"))) {
		config_line(s, body);
		listeners_line(s, body);
		if (!server_is_ready(s)) {
			begin_line(body, '-', SPAN("life"));
			text_f(body, "%s\n", pages_life(s));
		}
		for (unsigned i = 0; i < s->conf->upstream_count; i++)
			upstream_line(s, i, body);
		shared_each(s->shared, &key_source_kind, keys_line, body);
	}
	text_add(body, ready ? SPAN("ready\n") : SPAN("not ready\n"));
}

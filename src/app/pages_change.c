/* pages_change.c - what POST can do. Each answers with one line that says what is so now. */
#include <stdlib.h>

#include "app/reload.h"
#include "base/log.h"
#include "pages.h"
#include "policy/circuit_breaker.h"
#include "policy/split.h"

void page_drain(struct admin *a, const struct exchange *ex, struct page *out)
{
	(void)ex;
	server_drain(a->server, true);
	page_say(out, 200, "Not ready any more; answers say Connection: close. POST /undrain takes it back.");
}

void page_undrain(struct admin *a, const struct exchange *ex, struct page *out)
{
	(void)ex;
	if (a->server->life != LIFE_serving) {
		page_say(out, 409, "It is stopping already: there is no way back.");
		return;
	}
	server_drain(a->server, false);
	page_say(out, 200, "Ready again.");
}

/* What TERM does. */
void page_quit(struct admin *a, const struct exchange *ex, struct page *out)
{
	(void)ex;
	bool again = a->server->life != LIFE_serving;
	page_say(out, 200, again ? "Stopping at once." : "Draining, then stopping. Once more: at once.");
	server_stop(a->server, false);
}

static struct span query_value(struct span query, struct span name)
{
	struct span one;
	while (query.at && span_next(&query, '&', &one))
		if (one.len > name.len && one.at[name.len] == '=' && span_starts(one, name))
			return span_from(one, name.len + 1);
	return SPAN_NONE;
}

void page_log(struct admin *a, const struct exchange *ex, struct page *out)
{
	enum log_level level;
	(void)a;
	if (!log_level_of(query_value(ex->request.query, SPAN("level")), &level)) {
		page_say(out, 400, "Which level? POST /log?level=error, warn, info or debug.");
		return;
	}
	log_set_level(level);
	text_f(&out->body, "The log level is %s.\n", log_level_name(level));
}

/* BEFORE + NAME + BEHIND */
static bool name_in(struct span path, struct span before, struct span behind, struct span *name)
{
	if (path.len <= before.len + behind.len || !span_starts(path, before) || !span_eq(span_from(path, path.len - behind.len), behind))
		return false;
	*name = span_between(path.at + before.len, span_end(path) - behind.len);
	return true;
}

bool page_breaker_path(struct span path, struct span *upstream) { return name_in(path, SPAN("/upstreams/"), SPAN("/circuit_breaker"), upstream); }
bool page_split_path(struct span path, struct span *route) { return name_in(path, SPAN("/routes/"), SPAN("/split"), route); }

void page_breaker(struct admin *a, const struct exchange *ex, struct page *out)
{
	struct span name = SPAN_NONE, state = query_value(ex->request.query, SPAN("state"));
	page_breaker_path(ex->request.path, &name);
	switch (circuit_breaker_set(a->server->shared, name, state, clock_now_us())) {
	case BREAKER_SET:
		server_save(a->server);           /* an operator's word outlives a crash that comes right behind it */
		text_f(&out->body, "The circuit breaker of " SPAN_FMT " is now: " SPAN_FMT ".\n", SPAN_ARG(name), SPAN_ARG(state));
		break;
	case BREAKER_NO_SUCH_STATE:
		page_say(out, 400, "Which state? ?state=forced_open (refuses all), closed (never opens) or auto (decides itself, clean slate).");
		break;
	case BREAKER_NO_SUCH_UPSTREAM:
		page_say(out, 404, "No upstream of that name has a circuit breaker.");
	}
}

void page_split(struct admin *a, const struct exchange *ex, struct page *out)
{
	struct span name = SPAN_NONE, state = query_value(ex->request.query, SPAN("state"));
	page_split_path(ex->request.path, &name);
	switch (split_set(a->server->shared, name, state)) {
	case SPLIT_SET:
		text_f(&out->body, "The split of route " SPAN_FMT ": %s\n", SPAN_ARG(name), span_eq(state, SPAN("reset"))
			? "each version has its share again." : "all shares are the stable version's, until it is reset.");
		break;
	case SPLIT_NO_SUCH_STATE:
		page_say(out, 400, "Which state? ?state=rollback (all to the stable version) or reset (each version has its share again).");
		break;
	case SPLIT_NO_SUCH_ROUTE:
		page_say(out, 404, "No route of that name is split between upstreams.");
	}
}

/* What has changed, or the errors of what is on disk. It is in force a moment later: the log says "reloaded". */
void page_reload(struct admin *a, const struct exchange *ex, struct page *out)
{
	(void)ex;
	out->status = reload_begin(a->server->reload, &out->body);
}

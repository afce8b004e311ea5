/* admin.c - which page answers which path and method, and who may see it. */
#include "app/admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "accept.h"
#include "admin_access.h"
#include "app/metrics.h"
#include "app/service.h"
#include "events.h"
#include "pages.h"

static void page_metrics(struct admin *a, const struct exchange *ex, struct page *out)
{
	struct span accept = fields_value(&ex->request.fields, FIELD_ACCEPT);
	unsigned weight = accept_weight(accept, SPAN("application/openmetrics-text"));
	bool openmetrics = weight && weight >= accept_weight(accept, SPAN("text/plain"));

	out->content_type = openmetrics ? SPAN("application/openmetrics-text; version=1.0.0; charset=utf-8")
		: SPAN("text/plain; version=0.0.4; charset=utf-8");
	out->packs = true;
	metrics_print(a->metrics, openmetrics, &out->body);
}

struct entry {
	const char *path;
	void (*answer)(struct admin *, const struct exchange *, struct page *);
	bool changes;                         /* POST only; the others are GET and HEAD */
};

static const struct entry entries[] = {
	{ "/",            page_live,        false },
	{ "/live.css",    page_live,        false },
	{ "/live.js",     page_live,        false },
	{ "/uplot.js",    page_live,        false },
	{ "/uplot.css",   page_live,        false },
	{ "/reasons",     page_reasons,     false },
	{ "/requests",    page_requests,    false },
	{ "/config.yaml", page_config_yaml, false },
	{ "/livez",       page_livez,       false },
	{ "/healthz",     page_livez,       false },
	{ "/readyz",      page_readyz,      false },
	{ "/startupz",    page_startupz,    false },
	{ "/metrics",     page_metrics,     false },
	{ "/status.json", page_status_json, false },
	{ "/config",      page_config,      false },
	{ "/routes",      page_routes,      false },
	{ "/upstreams",   page_upstreams,   false },
	{ "/flags",       page_flags,       false },
	{ "/drain",       page_drain,       true },
	{ "/undrain",     page_undrain,     true },
	{ "/quit",        page_quit,        true },
	{ "/log",         page_log,         true },
	{ "/reload",      page_reload,      true },
};

static const struct entry breaker_entry = { "/upstreams/NAME/circuit_breaker", page_breaker, true };
static const struct entry split_entry = { "/routes/NAME/split", page_split, true };

static const struct entry *entry_of(struct span path)
{
	struct span name;
	if (page_breaker_path(path, &name))
		return &breaker_entry;
	if (page_split_path(path, &name))
		return &split_entry;
	for (unsigned i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		if (span_eq(path, span_of(entries[i].path)))
			return &entries[i];
	return NULL;
}

static bool method_fits(const struct entry *e, enum method m)
{
	return e->changes ? m == METHOD_POST : m == METHOD_GET || m == METHOD_HEAD;
}

/* Strangers learn nothing, not even which pages there are. */
static void admin_answer(void *self, struct exchange *ex, struct page *out)
{
	struct admin *a = self;
	const struct entry *e = entry_of(ex->request.path);
	bool changes = e && e->changes && ex->request.method == METHOD_POST;
	const char *refusal = admin_access_refuses(a->access, ex, changes);

	if (refusal)
		page_say(out, 403, refusal);
	else if (!e)
		page_say(out, 404, "There is no such page.");
	else if (!method_fits(e, ex->request.method)) {
		page_say(out, 405, e->changes ? "This changes something: use POST." : "Use GET.");
		out->extra = (struct field){ .name = SPAN("allow"), .value = e->changes ? SPAN("POST") : SPAN("GET, HEAD") };
	} else
		e->answer(a, ex, out);
}

/* The inner end of an admin request: a stream, or a page. */
static void *admin_start(void *self, struct exchange *ex)
{
	struct admin *a = self;
	bool streams = events_wanted(ex) && !admin_access_refuses(a->access, ex, false);
	ex->ops = streams ? &events_ops : &page_ops;       /* from here on it is theirs */
	return streams ? events_ops.start(a->events, ex) : page_ops.start(&a->pages, ex);
}
static const struct upstream_ops admin_ops = { .start = admin_start };

struct admin *admin_new(struct server *server, char why[128])
{
	struct admin *a = calloc(1, sizeof(*a));
	snprintf(why, 128, "out of memory");
	if (!a)
		return NULL;
	a->server = server;
	a->pages = (struct pages){ .loop = &server->control, .answer = admin_answer, .self = a };
	a->access = calloc(1, sizeof(*a->access));
	a->metrics = metrics_new(server);
	a->events = events_new(a);
	if (a->access && a->metrics && a->events && admin_access_init(a->access, &server->conf->admin, why))
		a->service = service_new(&server->control, server->conf->admin.listen, server->sockets.admin, &admin_ops, a, why);
	if (a->service)
		return a;
	admin_free(a);
	return NULL;
}

void admin_adopt(struct admin *a)
{
	if (a)
		a->access->conf = &a->server->conf->admin;
}

void admin_free(struct admin *a)
{
	if (!a)
		return;
	service_free(a->service);
	events_free(a->events);
	metrics_free(a->metrics);
	free(a->access);
	free(a);
}

/* reload.c - see reload.h. All of it on the control thread. */
#include "app/reload.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "app/access_log.h"
#include "app/admin.h"
#include "app/flags.h"
#include "app/health.h"
#include "app/keeper.h"
#include "app/keyring.h"
#include "app/stores.h"
#include "app/tracing.h"
#include "base/log.h"
#include "edge/resolve.h"

enum { ERROR_MAX = 64 * 1024, ROUTE_TEXT_MAX = 1024 * 1024, LEAVING_US = 4 * LISTEN_LAST_LOOK_US, LEAVING_LOOK_MS = 5 };

struct reload *reload_new(struct server *s, struct conf_reader reader)
{
	struct reload *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->server = s;
	r->reader = reader;
	r->last_wall_ms = s->conf->loaded_wall_ms;
	text_init(&r->error, ERROR_MAX);
	return r;
}

static void drop_listeners(struct reload *r)
{
	struct server *s = r->server;
	for (unsigned i = 0; i < s->thread_count; i++)
		data_thread_drop_listeners(&s->threads[i]);
	for (unsigned i = 0; i < r->added.count; i++)
		keeper_release(s->keeper, r->added.rows[i].address);
	sockets_forget(&r->added);
}

static void drop_next(struct reload *r)
{
	for (unsigned i = 0; r->upstreams && r->conf && i < r->conf->upstream_count; i++)
		if (r->upstreams[i])
			upstream_unref(r->upstreams[i]);
	free(r->upstreams);
	drop_listeners(r);
	trust_free(r->trust);
	stores_free(r->stores);
	access_log_discard(r->server->access_log);
	conf_unref(r->conf);
	r->upstreams = NULL;
	r->trust = NULL;
	r->stores = NULL;
	r->conf = NULL;
}

static void drop_old(struct reload *r)
{
	for (unsigned i = 0; i < r->old_count; i++)
		upstream_unref(r->old_upstreams[i]);
	free(r->old_upstreams);
	trust_free(r->old_trust);
	stores_free(r->old_stores);
	conf_unref(r->old_conf);
	r->old_upstreams = NULL;
	r->old_count = 0;
	r->old_trust = NULL;
	r->old_stores = NULL;
	r->old_conf = NULL;
}

/* When no data thread runs any more. Whether the next one was in force already is seen by the server having it. */
void reload_free(struct reload *r)
{
	if (!r)
		return;
	if (r->conf && r->conf != r->server->conf)
		drop_next(r);
	drop_old(r);
	sockets_forget(&r->added);
	text_fini(&r->error);
	free(r);
}

/* ── what has changed ── */

/* What is read at start only. NULL: the same. */
static const char *needs_a_restart(const struct conf *a, const struct conf *b)
{
	if (a->workers != b->workers)
		return "workers";
	if (a->log.format != b->log.format)
		return "log.format";              /* the supervisor writes there too */
	if (a->supervisor != b->supervisor)
		return "supervisor";
	if (a->watchdog_us != b->watchdog_us)
		return "watchdog";
	if (a->sandbox != b->sandbox)
		return "sandbox";
	if (!span_eq(a->user, b->user))
		return "user";
	if (!span_eq(a->admin.listen, b->admin.listen))
		return "admin.listen";
	if (!span_eq(a->admin.token_file, b->admin.token_file))
		return "admin.token_file";
	if (!a->client.max_connections_per_ip != !b->client.max_connections_per_ip)
		return "client.max_connections_per_ip (from or to 0)";
	return NULL;
}

static bool same_texts(const struct conf_texts *a, const struct conf_texts *b)
{
	bool same = a->count == b->count;
	for (unsigned i = 0; same && i < a->count; i++)
		same = span_eq(a->at[i], b->at[i]);
	return same;
}

static bool same_always(const struct conf_always *a, const struct conf_always *b)
{
	return a->status_min == b->status_min && a->status_max == b->status_max && a->slower_us == b->slower_us && a->retried == b->retried;
}

static bool same_access_log(const struct conf_access_log *a, const struct conf_access_log *b)
{
	return a->to == b->to && span_eq(a->file, b->file) && a->format == b->format && a->sample == b->sample && same_always(&a->always, &b->always)
		&& same_texts(&a->skip_paths, &b->skip_paths);
}

static bool same_health(const struct conf_health *a, const struct conf_health *b)
{
	return a->present == b->present && span_eq(a->path, b->path) && a->interval_us == b->interval_us && a->jitter == b->jitter
		&& a->timeout_us == b->timeout_us && a->status_min == b->status_min && a->status_max == b->status_max
		&& a->healthy_after == b->healthy_after && a->unhealthy_after == b->unhealthy_after;
}

/* May its endpoints, with all that is known about them, stay? The index is where its counters stand. */
static bool same_upstream(const struct conf_upstream *a, const struct conf_upstream *b)
{
	bool same = span_eq(a->name, b->name) && a->index == b->index && a->discovery == b->discovery && span_eq(a->discover, b->discover)
		&& a->endpoint_count == b->endpoint_count && a->connect_timeout_us == b->connect_timeout_us && span_eq(a->host_header, b->host_header)
		&& memcmp(&a->pool, &b->pool, sizeof(a->pool)) == 0 && same_health(&a->health_check, &b->health_check) && a->required == b->required;
	for (unsigned i = 0; same && i < a->endpoint_count; i++)
		same = span_eq(a->endpoints[i].url, b->endpoints[i].url) && a->endpoints[i].weight == b->endpoints[i].weight;
	return same;
}

static bool same_route(const struct conf *a, const struct conf_route *ra, const struct conf *b, const struct conf_route *rb)
{
	struct text ta, tb;
	text_init(&ta, ROUTE_TEXT_MAX);
	text_init(&tb, ROUTE_TEXT_MAX);
	conf_print_route(a, ra, false, &ta);
	conf_print_route(b, rb, false, &tb);
	bool same = !ta.cut && !tb.cut && span_eq(text_span(&ta), text_span(&tb));
	text_fini(&ta);
	text_fini(&tb);
	return same;
}

static void put_name(struct text *out, const char *mark, const char *what, struct span name)
{
	text_f(out, "%s%s%s " SPAN_FMT, out->len ? ", " : "", mark, what, SPAN_ARG(name));
}

static void put_listeners(const struct conf *a, const struct conf *b, struct text *out)
{
	for (unsigned i = 0; i < b->listener_count; i++)
		if (!conf_listens(a, b->listeners[i].address))
			put_name(out, "+", "listener", b->listeners[i].address);
	for (unsigned i = 0; i < a->listener_count; i++)
		if (!conf_listens(b, a->listeners[i].address))
			put_name(out, "-", "listener", a->listeners[i].address);
}

/* "+route search, ~route api, -upstream old, ~access_log" */
static void put_changes(const struct conf *a, const struct conf *b, struct text *out)
{
	for (unsigned i = 0; i < b->route_count; i++) {
		const struct conf_route *before = NULL;
		for (unsigned k = 0; k < a->route_count && !before; k++)
			if (span_eq(a->routes[k].name, b->routes[i].name))
				before = &a->routes[k];
		if (!before)
			put_name(out, "+", "route", b->routes[i].name);
		else if (!same_route(a, before, b, &b->routes[i]))
			put_name(out, "~", "route", b->routes[i].name);
	}
	for (unsigned k = 0; k < a->route_count; k++) {
		bool stays = false;
		for (unsigned i = 0; i < b->route_count && !stays; i++)
			stays = span_eq(a->routes[k].name, b->routes[i].name);
		if (!stays)
			put_name(out, "-", "route", a->routes[k].name);
	}
	for (unsigned i = 0; i < b->upstream_count; i++) {
		const struct conf_upstream *before = NULL;
		for (unsigned k = 0; k < a->upstream_count && !before; k++)
			if (span_eq(a->upstreams[k].name, b->upstreams[i].name))
				before = &a->upstreams[k];
		if (!before)
			put_name(out, "+", "upstream", b->upstreams[i].name);
		else if (!same_upstream(before, &b->upstreams[i]))
			put_name(out, "~", "upstream", b->upstreams[i].name);
	}
	for (unsigned k = 0; k < a->upstream_count; k++) {
		bool stays = false;
		for (unsigned i = 0; i < b->upstream_count && !stays; i++)
			stays = span_eq(a->upstreams[k].name, b->upstreams[i].name);
		if (!stays)
			put_name(out, "-", "upstream", a->upstreams[k].name);
	}
	put_listeners(a, b, out);
	if (!same_access_log(&a->access_log, &b->access_log))
		text_f(out, "%s~access_log", out->len ? ", " : "");
	if (!out->len)
		text_add(out, SPAN("no listener, route or upstream is different"));
}

/* ── step by step ── */

static int refuse(struct reload *r, struct text *out)
{
	struct span rest = text_span(&r->error), line;
	drop_next(r);
	r->step = RELOAD_IDLE;
	r->refused = true;
	r->failures++;
	text_add(out, text_span(&r->error));
	if (!span_next(&rest, '\n', &line))
		line = SPAN_NONE;
	struct log_line l;
	log_begin(&l, LOG_ERROR, "reload_refused");
	log_span(&l, "error", line);
	log_end(&l);
	server_tell_ready(r->server);
	return 422;
}

static bool take_upstreams(struct reload *r)
{
	struct server *s = r->server;
	r->upstreams = calloc(r->conf->upstream_count + 1, sizeof(*r->upstreams));
	for (unsigned i = 0; r->upstreams && i < r->conf->upstream_count; i++) {
		bool stays = i < s->conf->upstream_count && same_upstream(&s->conf->upstreams[i], &r->conf->upstreams[i]);
		r->upstreams[i] = stays ? upstream_ref(s->upstreams[i]) : upstream_new(r->conf, &r->conf->upstreams[i]);
		if (!r->upstreams[i])
			return false;
		if (!stays && (!resolver_add(s->resolver, r->upstreams[i]) || !health_add(s->health, r->upstreams[i])))
			return false;
	}
	return r->upstreams != NULL;
}

static bool one_goes(const struct conf *before, const struct conf *now)
{
	for (unsigned i = 0; i < before->listener_count; i++)
		if (!conf_listens(now, before->listeners[i].address))
			return true;
	return false;
}

/* A place that the reload before has given up is free once its listener has had its last look; that is worth waiting for. */
static bool take_place(struct reload *r, struct span address, char why[SOCKETS_WHY])
{
	while (!keeper_open(r->server->keeper, &r->added, address, why)) {
		if (clock_now_us() >= r->left_us + LEAVING_US)
			return false;
		poll(NULL, 0, LEAVING_LOOK_MS);
	}
	return true;
}

/* Bound before anything else is done: what cannot be is a reason to refuse all of it. */
static bool take_listeners(struct reload *r)
{
	struct server *s = r->server;
	char why[SOCKETS_WHY];
	sockets_forget(&r->added);
	r->added.threads = s->thread_count;
	for (unsigned i = 0; i < r->conf->listener_count; i++) {
		struct span address = r->conf->listeners[i].address;
		if (conf_listens(s->conf, address) || take_place(r, address, why))
			continue;
		text_f(&r->error, "listen: " SPAN_FMT ": %s%s\n", SPAN_ARG(address), why,
			one_goes(s->conf, r->conf) ? " (if it is a listener that this change takes away: first reload without either)" : "");
		return false;
	}
	for (unsigned i = 0; i < s->thread_count; i++)
		if (!data_thread_prepare_listeners(&s->threads[i], r->conf, &r->added)) {
			text_add(&r->error, SPAN("out of memory\n"));
			return false;
		}
	return true;
}

/* No longer looked after: those of `from` that are not in `stay`. */
static void leave_upstreams(struct server *s, struct upstream **from, unsigned count, struct upstream **stay, unsigned stay_count)
{
	for (unsigned i = 0; from && i < count; i++) {
		bool stays = false;
		for (unsigned k = 0; k < stay_count; k++)
			stays |= stay[k] == from[i];
		if (stays || !from[i])
			continue;
		health_remove(s->health, from[i]);
		resolver_remove(s->resolver, from[i]);
	}
}

static void tell_all(struct reload *r, void (*what)(struct data_thread *))
{
	struct server *s = r->server;
	r->waiting = s->thread_count;
	for (unsigned i = 0; i < s->thread_count; i++)
		data_thread_order(&s->threads[i], what);
}

static void build(void *self)
{
	struct reload *r = self;
	if (r->step != RELOAD_LOOKING_UP)
		return;
	r->step = RELOAD_BUILDING;
	r->failed = false;
	tell_all(r, data_thread_build);
}

static bool prepare_access_log(struct reload *r)
{
	r->error.len = 0;
	int error = access_log_prepare(r->server->access_log, r->conf, &r->error);
	if (error == EACCES && r->server->sandbox.landlock)
		text_add(&r->error, SPAN(" (in the sandbox it can write only in the folder of the file that 'to' named at the start)"));
	if (error)
		text_char(&r->error, '\n');
	return !error;
}

int reload_begin(struct reload *r, struct text *out)
{
	struct server *s = r->server;
	struct conf_report report;
	const char *fixed;

	if (!r->reader.read || r->step != RELOAD_IDLE || s->life != LIFE_serving) {
		text_f(out, "%s\n", !r->reader.read ? "There is no file to read again."
			: r->step != RELOAD_IDLE ? "A reload is on its way. Try again." : "It is starting or stopping.");
		return 409;
	}
	r->error.len = 0;
	notify_reloading(&s->notify, s->control.worker.now_us);
	conf_report_init(&report);
	r->conf = r->reader.read(r->reader.self, SPAN_NONE, &report);
	text_add(&r->error, text_span(&report.text));
	conf_report_fini(&report);
	if (!r->conf)
		return refuse(r, out);
	if ((fixed = needs_a_restart(s->conf, r->conf))) {
		r->error.len = 0;
		text_f(&r->error, "'%s' is read at start only: restart to change it\n", fixed);
		return refuse(r, out);
	}
	char why[256];
	r->stores = stores_new(r->conf, s->resolver, why);
	if (!r->stores) {
		r->error.len = 0;
		text_f(&r->error, "redis: %s\n", why);
		return refuse(r, out);
	}
	if (!prepare_access_log(r))
		return refuse(r, out);
	r->error.len = 0;
	if (!take_listeners(r))
		return refuse(r, out);
	r->trust = trust_new(&r->conf->trusted_proxies);
	if (!r->trust || !take_upstreams(r)) {
		leave_upstreams(s, r->upstreams, r->conf->upstream_count, s->upstreams, s->conf->upstream_count);
		r->error.len = 0;
		text_add(&r->error, SPAN("out of memory\n"));
		return refuse(r, out);
	}
	put_changes(s->conf, r->conf, out);
	struct log_line l;
	log_begin(&l, LOG_INFO, "reload");
	log_span(&l, "changes", text_span(out));
	log_end(&l);
	text_char(out, '\n');
	r->step = RELOAD_LOOKING_UP;
	resolver_on_settled(s->resolver, build, r);       /* nobody is sent to a name that is not looked up yet */
	return 200;
}

/* From here on it is what is shown, and what new policies and pages refer to. */
static void put_in_force(struct reload *r)
{
	struct server *s = r->server;
	r->old_conf = s->conf;
	r->old_upstreams = s->upstreams;
	r->old_count = s->conf->upstream_count;
	r->old_trust = s->trust;
	r->old_stores = s->stores;
	s->conf = r->conf;
	s->upstreams = r->upstreams;
	s->trust = r->trust;
	s->stores = r->stores;
	for (unsigned i = 0; i < s->thread_count; i++) {
		s->threads[i].shown = s->threads[i].next;
		s->threads[i].shown_listeners = s->threads[i].next_listeners;
	}
	gate_set(s->gate, s->conf->client.max_connections, s->conf->client.max_connections_per_ip);
	log_set_level((enum log_level)s->conf->log.level);
	server_digest(s);
	server_keep_conf(s);
	admin_adopt(s->admin);
	keyring_look(s->keyring);
	tracing_adopt(s->tracing, s->conf);
	flags_adopt(s->flags, s->conf);
}

void reload_built(struct message *m)
{
	struct data_thread *t = container_of(m, struct data_thread, report);
	struct server *s = t->server;
	struct reload *r = s->reload;
	r->failed |= !t->built;
	if (--r->waiting)
		return;
	r->step = RELOAD_ADOPTING;
	if (!r->failed)
		put_in_force(r);
	tell_all(r, r->failed ? data_thread_discard : data_thread_adopt);
}

static void tell_listener(const char *event, struct span address)
{
	struct log_line l;
	log_begin(&l, LOG_INFO, event);
	log_span(&l, "address", address);
	log_end(&l);
}

static void leave_listeners(struct reload *r)
{
	const struct conf *before = r->old_conf, *now = r->server->conf;
	for (unsigned i = 0; i < now->listener_count; i++)
		if (!conf_listens(before, now->listeners[i].address))
			tell_listener("listening", now->listeners[i].address);
	for (unsigned i = 0; i < before->listener_count; i++)
		if (!conf_listens(now, before->listeners[i].address)) {
			keeper_release(r->server->keeper, before->listeners[i].address);
			r->left_us = clock_now_us();
			tell_listener("no_longer_listening", before->listeners[i].address);
		}
	sockets_forget(&r->added);        /* all were handed on */
}

void reload_adopted(struct message *m)
{
	struct server *s = container_of(m, struct data_thread, report)->server;
	struct reload *r = s->reload;
	struct text out;
	if (--r->waiting)
		return;
	r->step = RELOAD_IDLE;
	if (s->conf != r->conf) {
		leave_upstreams(s, r->upstreams, r->conf->upstream_count, s->upstreams, s->conf->upstream_count);
		r->error.len = 0;
		text_add(&r->error, SPAN("out of memory\n"));
		text_init(&out, ERROR_MAX);
		refuse(r, &out);
		text_fini(&out);
		return;
	}
	leave_upstreams(s, r->old_upstreams, r->old_count, s->upstreams, s->conf->upstream_count);
	access_log_adopted(s->access_log);
	leave_listeners(r);
	drop_old(r);
	r->conf = NULL;                           /* the server's now */
	r->upstreams = NULL;
	r->trust = NULL;
	r->stores = NULL;
	r->refused = false;
	r->error.len = 0;
	r->succeeded++;
	r->last_wall_ms = s->control.worker.wall_ms;
	log_event(LOG_INFO, "reloaded", "sha256", s->config_digest, NULL);
	server_tell_ready(s);
}

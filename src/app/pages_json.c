/* pages_json.c - /status.json and /config: the server as a whole. Routes and upstreams are json_parts.c's. */
#include "app/flags.h"
#include "app/reload.h"
#include "app/version.h"
#include "json_parts.h"
#include "pages.h"
#include "totals.h"

static void put_config(const struct server *s, struct json *j)
{
	json_open(j, "config", '{');
	json_span(j, "file", s->conf->file);
	json_text(j, "sha256", s->config_digest);
	json_u64(j, "loaded_at_ms", s->conf->loaded_wall_ms);
	json_u64(j, "reloads", s->reload->succeeded);
	json_u64(j, "reloads_refused", s->reload->failures);
	if (s->reload->refused)
		json_span(j, "reload_error", text_span(&s->reload->error));
	json_close(j, '}');
}

static void put_supervisor(const struct server *s, struct json *j)
{
	json_open(j, "supervisor", '{');
	json_bool(j, "supervised", s->estate != NULL);
	for (unsigned c = 0; s->estate && c < RESTART_CAUSE_COUNT; c++)
		json_u64(j, restart_cause_name((enum restart_cause)c), s->estate->restarts[c]);
	json_close(j, '}');
}

static void put_listeners(const struct server *s, struct json *j)
{
	json_open(j, "listeners", '[');
	for (unsigned i = 0; i < s->conf->listener_count; i++) {
		uint64_t accepted = 0, refused = 0;
		for (unsigned t = 0; t < s->thread_count; t++) {
			accepted += counter_get(&s->threads[t].shown_listeners->at[i]->accepted);
			for (unsigned c = 0; c < REFUSED_CAUSE_COUNT; c++)
				refused += counter_get(&s->threads[t].shown_listeners->at[i]->refused[c]);
		}
		json_open(j, NULL, '{');
		json_span(j, "address", s->conf->listeners[i].address);
		json_u64(j, "connections", server_connections(s, i));
		json_u64(j, "accepted", accepted);
		json_u64(j, "refused", refused);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void put_workers(const struct server *s, struct json *j)
{
	uint64_t now = clock_now_us();
	json_open(j, "workers", '[');
	for (unsigned i = 0; i < s->thread_count; i++) {
		const struct loop *loop = &s->threads[i].loop;
		uint64_t turned = __atomic_load_n(loop->pulse_us, __ATOMIC_RELAXED);
		json_open(j, NULL, '{');
		json_u64(j, "turns", counter_get(&loop->turns));
		json_u64(j, "busy_ms", counter_get(&loop->busy_us) / 1000);
		json_u64(j, "last_turn_ms_ago", now > turned ? (now - turned) / 1000 : 0);
		json_fixed(j, "lag_ms", loop->worker.pressure.delay_us[0] / 1e3, 3);
		json_u64(j, "requests_in_flight", __atomic_load_n(&loop->worker.live_count, __ATOMIC_RELAXED));
		json_u64(j, "timers", counter_get(&loop->timers_armed));
		json_u64(j, "buffer_bytes", __atomic_load_n(&loop->worker.chunks.bytes_out, __ATOMIC_RELAXED));
		json_close(j, '}');
	}
	json_close(j, ']');
}

/* The members of an object that is open. */
void pages_put_status(const struct server *s, struct json *j)
{
	json_text(j, "version", version_number());
	json_text(j, "revision", version_revision());
	json_text(j, "life", life_name(s->life));
	json_bool(j, "asked_to_drain", s->asked_to_drain);
	json_bool(j, "ready", pages_ready(s));
	json_u64(j, "started_at_ms", s->started_wall_ms);
	json_u64(j, "uptime_s", (clock_now_us() - s->started_us) / 1000000);
	json_u64(j, "now_ms", clock_wall_ms());
	put_config(s, j);
	put_supervisor(s, j);
	json_open(j, "sandbox", '{');
	sandbox_json(&s->sandbox, j);
	json_close(j, '}');
	put_listeners(s, j);
	put_workers(s, j);
	overload_json(s, j);
	json_routes(s, j, "routes");
	json_upstreams(s, j, "upstreams");
	json_stores(s, j, "stores");
	json_keys(s, j, "auth_keys");
	flags_json(s, j, "flags", false);
}

void page_status_json(struct admin *a, const struct exchange *ex, struct page *out)
{
	struct json j;
	(void)ex;
	out->content_type = SPAN("application/json");
	json_init(&j, &out->body);
	json_open(&j, NULL, '{');
	pages_put_status(a->server, &j);
	json_close(&j, '}');
	text_char(&out->body, '\n');
}

void page_routes(struct admin *a, const struct exchange *ex, struct page *out)
{
	struct json j;
	(void)ex;
	out->content_type = SPAN("application/json");
	json_init(&j, &out->body);
	json_routes(a->server, &j, NULL);
	text_char(&out->body, '\n');
}

void page_upstreams(struct admin *a, const struct exchange *ex, struct page *out)
{
	struct json j;
	(void)ex;
	out->content_type = SPAN("application/json");
	json_init(&j, &out->body);
	json_upstreams(a->server, &j, NULL);
	text_char(&out->body, '\n');
}

void page_flags(struct admin *a, const struct exchange *ex, struct page *out)
{
	struct json j;
	(void)ex;
	out->content_type = SPAN("application/json");
	json_init(&j, &out->body);
	flags_json(a->server, &j, NULL, true);
	text_char(&out->body, '\n');
}

void page_config(struct admin *a, const struct exchange *ex, struct page *out)
{
	(void)ex;
	out->content_type = SPAN("application/json");
	conf_print_json(a->server->conf, &out->body);
}

/* Each value with where it comes from, as `outrigger config --origin` prints it. */
void page_config_yaml(struct admin *a, const struct exchange *ex, struct page *out)
{
	(void)ex;
	conf_print(a->server->conf, true, &out->body);
}

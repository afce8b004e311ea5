/* server.c - the server process: start, signals, drain, stop. All of it on the control thread. */
#include "app/server.h"

#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "app/access_log.h"
#include "app/admin.h"
#include "app/conf_watch.h"
#include "app/crash.h"
#include "app/flags.h"
#include "app/health.h"
#include "app/keeper.h"
#include "app/keyring.h"
#include "app/reload.h"
#include "app/stores.h"
#include "app/tracing.h"
#include "app/version.h"
#include "base/log.h"
#include "base/must.h"
#include "edge/resolve.h"
#include "resources.h"
#include "rows.h"
#include "totals.h"

enum { SETTLE_PATIENCE_US = 2000000, LOG_AGAIN_US = 500000, FAREWELL_US = 5000000, BEAT_MIN_US = 10000, SAVE_AGAIN_US = 200000, SIGNALS = 6 };

#define X(word) #word,
static const char *const life_names[] = { LIVES(X) };
#undef X
const char *life_name(enum life l) { return life_names[l]; }

/* ── stopping ── */

static void over(struct server *s)
{
	s->life = LIFE_stopping;
	if (s->estate)
		__atomic_store_n(&s->estate->leaving, true, __ATOMIC_RELEASE);
	loop_stop(&s->control);
}

static void over_at_last(void *self) { over(self); }

/* Nobody is served any more; the last spans still go out. */
static void wind_up(struct server *s)
{
	s->life = LIFE_stopping;
	if (!tracing_flush(s->tracing, over_at_last, s))
		over(s);
}

static void out_of_patience(struct timer *t)
{
	struct server *s = container_of(t, struct server, patience);
	struct log_line l;
	uint64_t left = 0;
	for (unsigned i = 0; i < s->thread_count; i++)
		left += __atomic_load_n(&s->threads[i].loop.worker.live_count, __ATOMIC_RELAXED);
	log_begin(&l, LOG_WARN, "drain_timeout");
	log_u64(&l, "requests_cut", left);
	log_end(&l);
	wind_up(s);
}

static void begin_drain(struct timer *t)
{
	struct server *s = container_of(t, struct server, delay);
	s->life = LIFE_draining;
	log_event(LOG_INFO, "draining", NULL);
	for (unsigned i = 0; i < s->thread_count; i++)
		data_thread_tell(&s->threads[i], data_thread_drain);
	worker_arm(&s->control.worker, &s->patience, s->conf->shutdown.timeout_us, out_of_patience);
}

void server_stop(struct server *s, bool at_once)
{
	if (at_once || s->life == LIFE_starting || s->life == LIFE_draining || s->life == LIFE_delaying) {
		over(s);
		return;
	}
	if (s->life != LIFE_serving)
		return;
	s->life = LIFE_delaying;
	notify_stopping(&s->notify, s->conf->shutdown.delay_us + s->conf->shutdown.timeout_us + FAREWELL_US);
	worker_arm(&s->control.worker, &s->delay, s->conf->shutdown.delay_us, begin_drain);
}

void server_drain(struct server *s, bool drain)
{
	s->asked_to_drain = drain;
	if (s->estate)
		s->estate->draining = drain;
	for (unsigned i = 0; i < s->thread_count; i++)
		data_thread_tell(&s->threads[i], drain ? data_thread_keep_alive_off : data_thread_keep_alive_on);
	log_event(LOG_INFO, drain ? "drain_asked" : "undrained", NULL);
}

bool server_is_ready(const struct server *s) { return s->life == LIFE_serving && !s->asked_to_drain; }

struct drained { struct message message; struct server *server; };

static void one_drained(struct message *m)
{
	struct drained *d = container_of(m, struct drained, message);
	struct server *s = d->server;
	free(d);
	if (++s->drained == s->thread_count && s->life == LIFE_draining) {
		worker_disarm(&s->control.worker, &s->patience);
		wind_up(s);
	}
}

void server_thread_drained(struct server *s)
{
	struct drained *d = calloc(1, sizeof(*d));
	if (!d)
		return;                           /* then the drain's timeout ends it */
	d->server = s;
	d->message.run = one_drained;
	loop_post(&s->control, &d->message);
}

/* ── signals ── */

static void reload(struct server *s)
{
	struct text changes;
	text_init(&changes, 64 * 1024);
	reload_begin(s->reload, &changes);        /* the log has it */
	text_fini(&changes);
}

/* One that came to the supervisor as well as here, from a terminal or to the whole group, counts once. */
static void stop_as_often(struct server *s)
{
	unsigned passed_on = s->estate ? __atomic_load_n(&s->estate->stops, __ATOMIC_ACQUIRE) : 0;
	unsigned often = passed_on > s->direct_stops ? passed_on : s->direct_stops;
	for (; s->stops < often; s->stops++)
		server_stop(s, false);
}

static void take_orders(struct server *s)
{
	if (!s->estate)
		return;
	unsigned orders = __atomic_exchange_n(&s->estate->orders, 0, __ATOMIC_ACQ_REL);
	if (orders & ORDER_QUIT)
		server_stop(s, true);
	if (orders & ORDER_RELOAD)
		reload(s);
	if (orders & ORDER_REOPEN)
		access_log_reopen(s->access_log);
	stop_as_often(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct server *s = handle->data;
	switch (number) {
	case SIGQUIT:       server_stop(s, true); break;
	case SIGHUP:        reload(s); break;
	case SIGUSR1:       access_log_reopen(s->access_log); break;
	case ORDERS_SIGNAL: take_orders(s); break;
	default:
		s->direct_stops++;
		stop_as_often(s);
	}
}

static bool watch_signals(struct server *s, const sigset_t *mask)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGHUP, ORDERS_SIGNAL };
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < SIGNALS; i++) {
		s->signals[i].data = s;
		if (uv_signal_init(&s->control.uv, &s->signals[i]) || uv_signal_start(&s->signals[i], on_signal, numbers[i]))
			return false;
	}
	return !mask || sigprocmask(SIG_SETMASK, mask, NULL) == 0;        /* what came meanwhile comes now */
}

/* ── starting ── */

static bool make_upstreams(struct server *s)
{
	s->upstreams = calloc(s->conf->upstream_count + 1, sizeof(*s->upstreams));
	for (unsigned i = 0; s->upstreams && i < s->conf->upstream_count; i++) {
		s->upstreams[i] = upstream_new(s->conf, &s->conf->upstreams[i]);
		if (!s->upstreams[i])
			return false;
	}
	return s->upstreams != NULL;
}

void server_digest(struct server *s)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	EVP_Digest(s->conf->text_read.at, s->conf->text_read.len, hash, &len, EVP_sha256(), NULL);
	for (unsigned i = 0; i < len && i < 32; i++)
		snprintf(s->config_digest + 2 * i, 3, "%02x", hash[i]);
}

/* Random, not counted: instances that know nothing of each other must differ, also those started in the same moment. */
static void draw_instance(struct server *s)
{
	unsigned char bytes[INSTANCE_ID / 2];
	if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != sizeof(bytes)) {
		uint64_t moment = clock_now_us() ^ (uint64_t)getpid() << 20;
		memcpy(bytes, &moment, sizeof(bytes));
	}
	for (unsigned i = 0; i < INSTANCE_ID; i++)
		s->instance[i] = "0123456789abcdef"[bytes[i / 2] >> (i % 2 ? 0 : 4) & 15];
}

/* ── the service manager ── */

/* Not being heard is no reason not to serve. */
static void reach_manager(struct server *s, const struct server_start *how)
{
	const char *why;
	if (!notify_init(&s->notify, how->estate ? how->notify : -1, &why))
		log_event(LOG_WARN, "notify_failed", "error", why, NULL);
}

/* Silence is the alarm: while a loop stands, nothing is said. */
static void beat(struct timer *t)
{
	struct server *s = container_of(t, struct server, heartbeat);
	if (server_is_alive(s))
		notify_alive(&s->notify);
	uint64_t third = s->notify.watchdog_us / 3;
	worker_arm(&s->control.worker, t, third > BEAT_MIN_US ? third : BEAT_MIN_US, beat);
}

void server_tell_ready(struct server *s)
{
	char memory[256];
	struct text status;
	if (s->life != LIFE_serving)
		return;                           /* it has been told already that this ends */
	text_over(&status, memory, sizeof(memory));
	text_add(&status, s->reload->refused ? SPAN("What is on disk was refused; serving on") : SPAN("Serving on"));
	for (unsigned i = 0; i < s->conf->listener_count; i++)
		text_f(&status, " " SPAN_FMT, SPAN_ARG(s->conf->listeners[i].address));
	notify_ready(&s->notify, text_span(&status));
}

/* ── log lines of all threads are written here ── */

static void wake_writer(void *self) { uv_async_send(&((struct server *)self)->log_bell); }
static void write_log(uv_async_t *bell) { (void)bell; log_flush(); }
static void write_log_again(struct timer *t)      /* for what a slow reader has left in the ring */
{
	struct server *s = container_of(t, struct server, log_again);
	log_flush();
	worker_arm(&s->control.worker, t, LOG_AGAIN_US, write_log_again);
}

/* ── what a successor should know, if this one crashes ── */

void server_keep_conf(struct server *s)
{
	if (s->estate)
		estate_keep(&s->estate->conf, s->conf->text_read);
}

/* Policies are made behind this: their cores begin with what the one before has saved. */
static void inherit(struct server *s)
{
	struct span saved = s->estate ? estate_kept(&s->estate->cores) : SPAN_NONE;
	if (s->estate && s->estate->attic)
		shared_lasts_by(s->shared, &attic_ops, s->estate->attic);
	if (!saved.len || !(s->saved_memory = malloc(saved.len)))
		return;
	memcpy(s->saved_memory, saved.at, saved.len);     /* what is there is written over soon */
	s->saved = (struct span){ s->saved_memory, saved.len };
	shared_on_new(s->shared, estate_restore_core, &s->saved);
}

void server_save(struct server *s)
{
	if (s->estate)
		estate_save_cores(s->estate, s->shared, clock_now_us());
}

static void save_again(struct timer *t)
{
	struct server *s = container_of(t, struct server, save_again);
	server_save(s);
	worker_arm(&s->control.worker, t, SAVE_AGAIN_US, save_again);
}

static void begin_legacy(struct server *s)
{
	shared_on_new(s->shared, NULL, NULL);     /* what a later reload adds begins anew */
	free(s->saved_memory);
	s->saved_memory = NULL;
	server_keep_conf(s);
	save_again(&s->save_again);
	__atomic_store_n(&s->estate->serving_us, clock_now_us(), __ATOMIC_RELAXED);
	if (s->estate->draining)
		server_drain(s, true);
	take_orders(s);                           /* given while there was no server */
}

/* What the supervisor holds is what was in force when the last reload ended, or was about to: the rest of one that a crash has cut short is made
 * good here. */
static int take_sockets(struct server *s, const struct server_start *how)
{
	char why[SOCKETS_WHY];
	s->keeper = how->sockets ? how->keeper : -1;
	s->survivors = how->sockets ? how->survivors : NULL;
	if (!how->sockets)
		return sockets_open(&s->sockets, s->conf);
	s->sockets = *how->sockets;
	for (unsigned i = 0; i < s->conf->listener_count; i++) {
		struct span address = s->conf->listeners[i].address;
		if (!sockets_row(&s->sockets, address) && !keeper_open(s->keeper, &s->sockets, address, why)) {
			fprintf(stderr, "outrigger: cannot listen on " SPAN_FMT ": %s\n", SPAN_ARG(address), why);
			return EXIT_LISTEN;
		}
	}
	for (unsigned i = 0; i < s->sockets.count; i++)
		if (!conf_listens(s->conf, s->sockets.rows[i].address))
			keeper_release(s->keeper, s->sockets.rows[i].address);
	return EXIT_DONE;
}

static bool open_access_log(struct server *s)
{
	struct text why;
	text_init(&why, 8192);
	s->access_log = access_log_new(s->conf, &s->control, s->thread_count, &why);
	if (!s->access_log)
		fprintf(stderr, "outrigger: " SPAN_FMT "\n", SPAN_ARG(text_span(&why)));
	text_fini(&why);
	return s->access_log != NULL;
}

/* Everything that can fail before anybody is served. */
static int prepare(struct server *s, const struct server_start *how)
{
	char why[128];
	struct conf *c = s->conf;

	server_digest(s);
	draw_instance(s);
	reach_manager(s, how);
	resources_raise_descriptor_limit();
	s->thread_count = (unsigned)c->workers;
	s->estate = how->estate;
	if (!loop_init(&s->control, 1000, clock_now_us()) || !watch_signals(s, how->signals)
			|| uv_async_init(&s->control.uv, &s->log_bell, write_log))
		return EXIT_INTERNAL;
	if (s->estate)
		s->control.pulse_us = &s->estate->control_pulse_us;
	s->started_us = s->control.worker.now_us;
	s->started_wall_ms = s->control.worker.wall_ms;
	s->shared = shared_new();
	s->gate = gate_new(c->client.max_connections, c->client.max_connections_per_ip, s->estate ? &s->estate->connections : NULL);
	s->trust = trust_new(&c->trusted_proxies);
	s->threads = calloc(s->thread_count, sizeof(*s->threads));
	s->rows = rows_new(s->thread_count);
	if (!s->shared || !s->gate || !s->trust || !s->threads || !s->rows || !make_upstreams(s))
		return EXIT_INTERNAL;
	inherit(s);
	int code = take_sockets(s, how);
	if (code != EXIT_DONE)
		return code;
	if (!open_access_log(s))
		return EXIT_LISTEN;
	char because[256];
	s->resolver = resolver_new(&s->control.uv);
	if (!(s->flags = flags_new(s)))
		return EXIT_INTERNAL;
	if (s->resolver && !(s->stores = stores_new(c, s->resolver, because))) {
		fprintf(stderr, "outrigger: redis: %s\n", because);
		return EXIT_CONFIG;
	}
	for (unsigned i = 0; s->resolver && i < s->thread_count; i++)
		if (!data_thread_init(&s->threads[i], s, i))
			return EXIT_INTERNAL;
	if (s->sockets.admin >= 0 && !(s->admin = admin_new(s, why))) {
		fprintf(stderr, "outrigger: admin: %s\n", why);
		return EXIT_LISTEN;
	}
	s->fetcher = fetcher_new(&s->control.uv);
	s->health = s->fetcher ? health_new(&s->control.uv, s->fetcher) : NULL;
	s->keyring = s->fetcher ? keyring_new(&s->control.uv, s->fetcher, s->shared) : NULL;
	s->tracing = s->health ? tracing_new(&s->control, s->fetcher, s->thread_count, (struct span){ s->instance, sizeof(s->instance) }) : NULL;
	if (!s->resolver || !s->tracing || !s->keyring)
		return EXIT_INTERNAL;
	if (s->keeper >= 0)
		crash_watch(s);
	sockets_forget(&s->sockets);              /* listeners have them, and the admin's service; what is left over is closed */
	tracing_adopt(s->tracing, c);
	flags_adopt(s->flags, c);
	return sandbox_enter(&s->sandbox, c, s->shared);
}

static void serve(void *self)
{
	struct server *s = self;
	if (s->life != LIFE_starting)
		return;
	worker_disarm(&s->control.worker, &s->delay);
	if (s->estate && s->estate->attic)
		attic_sweep(s->estate->attic);
	for (unsigned i = 0; i < s->thread_count; i++)
		if (!data_thread_start(&s->threads[i])) {
			s->exit_code = EXIT_INTERNAL;
			over(s);
			return;
		}
	s->life = LIFE_serving;
	if (s->estate)
		begin_legacy(s);
	for (unsigned i = 0; s->survivors && i < s->thread_count; i++)
		data_thread_tell(&s->threads[i], data_thread_board);
	for (unsigned i = 0; i < s->conf->listener_count; i++) {
		struct log_line l;
		log_begin(&l, LOG_INFO, "listening");
		log_span(&l, "address", s->conf->listeners[i].address);
		log_end(&l);
	}
	server_tell_ready(s);
	if (s->notify.watchdog_us)
		beat(&s->heartbeat);
}

static void settled(void *self)
{
	struct server *s = self;
	if (--s->unsettled == 0)
		serve(s);
}

static void waited_enough(struct timer *t) { serve(container_of(t, struct server, delay)); }

static void unlink_sockets(const struct conf *c)
{
	for (unsigned i = 0; i < c->listener_count; i++)
		sockets_unlink(c->listeners[i].address);
	sockets_unlink(c->admin.listen);
}

static void tear_down(struct server *s, bool own_sockets)
{
	crash_unwatch();
	if (own_sockets)
		unlink_sockets(s->conf);
	for (unsigned i = 0; i < s->thread_count; i++)
		if (s->threads[i].running)
			data_thread_stop(&s->threads[i]);
	for (unsigned i = 0; i < s->thread_count; i++)
		data_thread_join(&s->threads[i]);
	admin_free(s->admin);
	conf_watch_free(s->conf_watch);
	notify_fini(&s->notify);
	reload_free(s->reload);
	stores_free(s->stores);
	health_free(s->health);
	keyring_free(s->keyring);
	flags_stop(s->flags);
	tracing_free(s->tracing);
	fetcher_free(s->fetcher);
	resolver_free(s->resolver);
	for (unsigned i = 0; i < s->thread_count; i++)
		data_thread_fini(&s->threads[i]);
	flags_free(s->flags);
	access_log_free(s->access_log);
	rows_free(s->rows);
	for (unsigned i = 0; s->upstreams && i < s->conf->upstream_count; i++)
		upstream_unref(s->upstreams[i]);
	log_stop();
	for (unsigned i = 0; i < SIGNALS; i++)
		uv_close((uv_handle_t *)&s->signals[i], NULL);
	uv_close((uv_handle_t *)&s->log_bell, NULL);
	shared_free(s->shared);
	gate_free(s->gate);
	trust_free(s->trust);
	if (s->survivors)
		survivors_close(s->survivors);
	loop_fini(&s->control);
	free(s->threads);
	free(s->upstreams);
	conf_unref(s->conf);
}

static void look_after_upstreams(struct server *s)
{
	for (unsigned i = 0; i < s->conf->upstream_count; i++)
		if (!resolver_add(s->resolver, s->upstreams[i]) || !health_add(s->health, s->upstreams[i])) {
			struct log_line l;
			log_begin(&l, LOG_ERROR, "out_of_memory");
			log_span(&l, "upstream_not_looked_after", s->conf->upstreams[i].name);
			log_end(&l);
		}
}

int server_run(struct conf *conf, const struct server_start *how)
{
	struct server *s = calloc(1, sizeof(*s));
	if (!s)
		return EXIT_INTERNAL;
	s->conf = conf;
	s->reload = reload_new(s, how->reader ? *how->reader : (struct conf_reader){ 0 });
	int code = s->reload ? prepare(s, how) : EXIT_INTERNAL;
	if (code != EXIT_DONE)
		return code;                      /* the process ends: what was opened goes with it */
	if (s->reload->reader.watch && !(s->conf_watch = conf_watch_new(s)))
		return EXIT_INTERNAL;
	log_start(wake_writer, s);
	write_log_again(&s->log_again);
	overload_start(&s->overload, s);
	worker_arm(&s->control.worker, &s->delay, SETTLE_PATIENCE_US, waited_enough);
	s->unsettled = 3;
	keyring_look(s->keyring);
	keyring_on_settled(s->keyring, settled, s);
	flags_on_settled(s->flags, settled, s);
	resolver_on_settled(s->resolver, settled, s);
	look_after_upstreams(s);
	loop_run(&s->control);
	code = s->exit_code;
	__atomic_store_n(s->control.pulse_us, 0, __ATOMIC_RELAXED);
	tear_down(s, how->sockets == NULL);
	free(s);
	return code;
}

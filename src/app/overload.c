/* overload.c - see overload.h. What was measured of a delay is smoothed over half a second or so; memory and descriptors are taken as they are. */
#include "app/overload.h"

#include <malloc.h>
#include <math.h>

#include "app/server.h"
#include "base/log.h"
#include "prom.h"
#include "resources.h"

enum { TICK_US = 100000, LOOK_AGAIN_TICKS = 100, TRIM_TICKS = 10 };
static const double trim_from = .95;               /* of the limit */

/* ── news ── */

/* The most important class that is touched. */
static const char *shedding_name(unsigned level)
{
	static const char *const names[] = { "none", "sheddable", "default", "critical" };
	return names[pressure_classes(level)];
}

static void log_news(const struct pressure *p, enum pressure_news news, const char *what, struct span which)
{
	struct log_line l;
	bool over = news == PRESSURE_OVER;
	log_begin(&l, over ? LOG_INFO : LOG_WARN, over ? "pressure_over" : "pressure");
	log_span(&l, what, which);
	log_text(&l, "cause", pressure_cause_name(p->cause));
	log_f(&l, "ratio", "%.2f", p->ratio);
	if (!over)
		log_text(&l, "shedding", shedding_name(pressure_level(p)));
	log_end(&l);
}

/* ── workers ── */

static double share(uint64_t used, uint64_t limit) { return limit ? (double)used / (double)limit : 0; }

static void feed_worker(struct overload *o, struct data_thread *t, uint64_t now_us)
{
	const struct conf_overload *c = &o->server->conf->overload;
	struct pressure *p = &t->loop.worker.pressure;
	double lag_us = pressure_smooth(p->delay_us, (double)data_thread_lag_us(t, now_us), c->loop_lag_us);
	const struct pressure_part parts[] = {
		pressure_of_delay(PRESSURE_loop_lag, lag_us, c->loop_lag_us),
		pressure_of_share(PRESSURE_memory, share(o->memory, o->memory_limit), c->memory),
		pressure_of_share(PRESSURE_descriptors, share(o->descriptors, o->descriptor_limit), c->descriptors),
	};
	bool before = pressure_level(p) != 0;
	enum pressure_news news = pressure_feed(p, parts, sizeof(parts) / sizeof(*parts));
	bool after = pressure_level(p) != 0;

	if (before != after)
		data_thread_tell(t, after ? data_thread_hurry_on : data_thread_hurry_off);
	if (news == PRESSURE_SAME || (t->loop.worker.index > 0 && p->cause != PRESSURE_loop_lag))
		return;                           /* what all workers have in common is said once */
	char digits[20];
	log_news(p, news, "worker", (struct span){ digits, u64_to_text(t->loop.worker.index, digits) });
}

/* ── upstreams ── */

struct waits { uint64_t now_us, us[PRESSURE_CLASSES]; };

static void ask_delays(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct waits *w = self;
	(void)name;
	kind->delays_us(core, w->now_us, w->us);
}

static void feed_upstream(struct overload *o, struct upstream *u, uint64_t now_us)
{
	struct waits w = { .now_us = now_us };
	struct pressure_part parts[PRESSURE_CLASSES];
	uint64_t limit_us = o->server->conf->overload.queue_delay_us;
	if (!shared_with(o->server->shared, "concurrency", u->name, ask_delays, &w) && !pressure_level(&u->pressure))
		return;
	for (unsigned i = 0; i < PRESSURE_CLASSES; i++)
		parts[i] = pressure_of_wait(i, pressure_smooth(&u->pressure.delay_us[i], (double)w.us[i], limit_us), limit_us);
	enum pressure_news news = pressure_feed(&u->pressure, parts, PRESSURE_CLASSES);
	if (news != PRESSURE_SAME)
		log_news(&u->pressure, news, "upstream", u->name);
}

/* ── the clock ── */

static void measure(struct overload *o)
{
	uint64_t virtual_bytes;
	if (o->ticks % LOOK_AGAIN_TICKS == 0)
		o->memory_limit = resources_memory_limit("");         /* containers are resized while they run */
	resources_memory(&virtual_bytes, &o->memory);
	o->descriptor_limit = resources_descriptor_limit();
	o->descriptors = resources_descriptors();
	double limit = o->server->conf->overload.memory * (double)o->memory_limit;
	if (limit > 0 && (double)o->memory >= trim_from * limit && o->ticks % TRIM_TICKS == 0)
		malloc_trim(0);                   /* what is freed need not be given back by itself */
	o->ticks++;
}

static void relieve_all(struct server *s)
{
	for (unsigned i = 0; i < s->thread_count; i++) {
		if (pressure_level(&s->threads[i].loop.worker.pressure))
			data_thread_tell(&s->threads[i], data_thread_hurry_off);
		pressure_relieve(&s->threads[i].loop.worker.pressure);
	}
	for (unsigned i = 0; i < s->conf->upstream_count; i++)
		pressure_relieve(&s->upstreams[i]->pressure);
}

static void tick(struct timer *timer)
{
	struct overload *o = container_of(timer, struct overload, timer);
	struct server *s = o->server;
	uint64_t now = clock_now_us();

	worker_arm(&s->control.worker, timer, TICK_US, tick);
	measure(o);
	if (s->life != LIFE_serving || s->asked_to_drain) {
		relieve_all(s);
		return;
	}
	for (unsigned i = 0; i < s->thread_count; i++)
		feed_worker(o, &s->threads[i], now);
	for (unsigned i = 0; i < s->conf->upstream_count; i++)
		feed_upstream(o, s->upstreams[i], now);
}

void overload_start(struct overload *o, struct server *s)
{
	o->server = s;
	tick(&o->timer);
}

/* ── how it is seen ── */

/* The worst of all workers and upstreams. */
static const struct pressure *worst_of(const struct server *s)
{
	const struct pressure *worst = &s->threads[0].loop.worker.pressure;
	for (unsigned i = 1; i < s->thread_count + s->conf->upstream_count; i++) {
		const struct pressure *p = i < s->thread_count ? &s->threads[i].loop.worker.pressure
			: &s->upstreams[i - s->thread_count]->pressure;
		if (pressure_level(p) > pressure_level(worst) || (pressure_level(p) == pressure_level(worst) && p->ratio > worst->ratio))
			worst = p;
	}
	return worst;
}

static double longest_lag_us(const struct server *s)
{
	double longest = 0;
	for (unsigned i = 0; i < s->thread_count; i++)
		longest = fmax(longest, s->threads[i].loop.worker.pressure.delay_us[0]);
	return longest;
}

double overload_queue_delay_us(const struct upstream *u)
{
	double longest = 0;
	for (unsigned i = 0; i < PRESSURE_CLASSES; i++)
		longest = fmax(longest, u->pressure.delay_us[i]);
	return longest;
}

static double longest_queue_us(const struct server *s)
{
	double longest = 0;
	for (unsigned i = 0; i < s->conf->upstream_count; i++)
		longest = fmax(longest, overload_queue_delay_us(s->upstreams[i]));
	return longest;
}

static double ratio_of(const struct server *s, enum pressure_cause cause)
{
	const struct conf_overload *c = &s->conf->overload;
	const struct overload *o = &s->overload;
	switch (cause) {
	case PRESSURE_queue_delay: return c->queue_delay_us ? longest_queue_us(s) / (double)c->queue_delay_us : 0;
	case PRESSURE_loop_lag:    return c->loop_lag_us ? longest_lag_us(s) / (double)c->loop_lag_us : 0;
	case PRESSURE_memory:      return c->memory > 0 ? share(o->memory, o->memory_limit) / c->memory : 0;
	default:                   return c->descriptors > 0 ? share(o->descriptors, o->descriptor_limit) / c->descriptors : 0;
	}
}

void overload_metrics(const struct server *s, struct prom *out)
{
	static const char *const classes[] = { "critical", "default", "sheddable" };
	unsigned level = pressure_level(worst_of(s));

	prom_family(out, "outrigger_pressure_ratio", "gauge",
		"What is measured, as a share of its limit (overload); of the worst worker or upstream.");
	for (unsigned i = 0; i < PRESSURE_CAUSE_COUNT; i++) {
		const struct label cause = { "cause", span_of(pressure_cause_name((enum pressure_cause)i)) };
		prom_real(out, "outrigger_pressure_ratio", &cause, 1, ratio_of(s, (enum pressure_cause)i));
	}
	prom_family(out, "outrigger_shed_share_ratio", "gauge", "Share of the requests of a class that is turned away, where most are.");
	for (unsigned i = 0; i < PRESSURE_CLASSES; i++)
		prom_real(out, "outrigger_shed_share_ratio", &(struct label){ "class", span_of(classes[i]) }, 1,
			(double)pressure_share(level, i) / PRESSURE_CLASS);
}

void overload_json(const struct server *s, struct json *j)
{
	const struct pressure *worst = worst_of(s);
	unsigned level = pressure_level(worst);

	json_open(j, "pressure", '{');
	json_bool(j, "under_pressure", level != 0);
	json_text(j, "cause", pressure_cause_name(worst->cause));
	json_fixed(j, "ratio", worst->ratio, 3);
	json_text(j, "shedding", shedding_name(level));
	json_fixed(j, "loop_lag_ms", longest_lag_us(s) / 1e3, 3);
	json_fixed(j, "queue_delay_ms", longest_queue_us(s) / 1e3, 3);
	json_u64(j, "memory_bytes", s->overload.memory);
	json_u64(j, "memory_limit_bytes", s->overload.memory_limit);
	json_u64(j, "descriptors", s->overload.descriptors);
	json_u64(j, "descriptor_limit", s->overload.descriptor_limit);
	json_close(j, '}');
}

void overload_text(const struct server *s, struct text *out)
{
	const struct pressure *worst = worst_of(s);
	unsigned level = pressure_level(worst);
	if (level)
		text_f(out, "pressure    %s at %.0f%% of its limit, shedding %s\n", pressure_cause_name(worst->cause), 100 * worst->ratio,
			shedding_name(level));
}

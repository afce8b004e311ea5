/* stage.c - see stage.h */
#include "stage.h"

#include <stdlib.h>

struct stage *stage_open(void)
{
	struct stage *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	assert_true(loop_init(&s->loop, 0, 1));
	assert_int_equal(uv_timer_init(&s->loop.uv, &s->tick), 0);
	s->tick.data = s;
	return s;
}

void stage_close(struct stage *s)
{
	uv_close((uv_handle_t *)&s->tick, NULL);
	loop_fini(&s->loop);
	free(s);
}

static void look(uv_timer_t *tick)
{
	struct stage *s = tick->data;
	if ((s->yes && s->yes(s->self)) || clock_now_us() >= s->until_us)
		loop_stop(&s->loop);
}

bool stage_until(struct stage *s, bool (*yes)(void *self), void *self, unsigned at_most_ms)
{
	s->yes = yes;
	s->self = self;
	s->until_us = clock_now_us() + (uint64_t)at_most_ms * 1000;
	uv_timer_start(&s->tick, look, 1, 2);
	loop_run(&s->loop);
	uv_timer_stop(&s->tick);
	return yes && yes(self);
}

void stage_wait(struct stage *s, unsigned ms) { stage_until(s, NULL, NULL, ms); }

/* ── upstreams ── */

struct dressed { struct conf snapshot; struct conf_upstream conf; struct conf_endpoint endpoints[8]; };

struct upstream *upstream_like(const struct conf_upstream *conf)
{
	struct dressed *d = calloc(1, sizeof(*d));
	assert_non_null(d);
	assert_true(conf->endpoint_count <= 8);
	d->snapshot.refs = 2;                     /* never freed as a configuration: it has no arena */
	d->conf = *conf;
	if (conf->endpoint_count)
		memcpy(d->endpoints, conf->endpoints, conf->endpoint_count * sizeof(*conf->endpoints));
	d->conf.endpoints = d->endpoints;
	if (!d->conf.name.len)
		d->conf.name = SPAN("u");
	struct upstream *u = upstream_new(&d->snapshot, &d->conf);
	assert_non_null(u);
	return u;
}

void upstream_gone(struct upstream *u)
{
	struct dressed *d = container_of(u->snapshot, struct dressed, snapshot);
	assert_int_equal(__atomic_load_n(&u->refs, __ATOMIC_RELAXED), 1);
	upstream_unref(u);
	free(d);
}

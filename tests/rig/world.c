/* world.c - see world.h. */
#include "world.h"

#include <stdio.h>

#include "base/must.h"
#include "policy/registry.h"

enum { SAME = 4096 };

/* ── bytes ── */

/* One table of noise, read from a different place by each stream. Its length is a prime, far from any chunk's size. */
enum { NOISE = 65521 };
static char noise[NOISE + CHUNK_HEAD];

static const char *noise_at(uint64_t stream, uint64_t at)
{
	if (!noise[1] && !noise[2]) {
		struct rand r;
		rand_seed(&r, 1);
		for (unsigned i = 0; i < sizeof(noise); i++)
			noise[i] = i < NOISE ? (char)rand_below(&r, 256) : noise[i - NOISE];
	}
	return &noise[(stream * 40503 + at) % NOISE];
}

struct slice world_bytes(struct world *w, uint64_t stream, uint64_t at, size_t n)
{
	struct chunk *c = n ? chunk_new(&w->worker.chunks, CHUNK_HEAD) : NULL;
	const char *from = noise_at(stream, at);
	must(n <= CHUNK_HEAD);
	if (!c)                                   /* without memory they are lent, as from a reader's own buffer */
		return (struct slice){ NULL, from, n };
	memcpy(c->data, from, n);
	c->used = (unsigned)n;
	return (struct slice){ c, c->data, n };
}

bool world_bytes_are(uint64_t stream, uint64_t at, struct span s)
{
	for (size_t n; s.len; s = span_from(s, n), at += n) {
		n = s.len < CHUNK_HEAD ? s.len : CHUNK_HEAD;
		if (memcmp(s.at, noise_at(stream, at), n) != 0)
			return false;
	}
	return true;
}

/* ── building ── */

/* The doors of the registry, with ours between them. */
static void lay_out_types(struct world *w)
{
	unsigned count;
	const struct policy_type *const *real = policy_types(&count);
	bool inside = false;
	for (unsigned i = 0; i < count; i++) {
		if (w->plan.asker && real[i]->per_try && !inside)
			w->types[w->type_count++] = &asker_policy;
		inside |= real[i]->per_try;
		if (w->plan.witnesses)
			w->types[w->type_count++] = inside ? &witness_inside : &witness_outside;
		if (w->plan.outside && real[i] == &retry_policy)
			w->types[w->type_count++] = w->plan.outside;
		if (w->plan.inside && real[i] == &balance_policy)
			w->types[w->type_count++] = w->plan.inside;
		if (w->plan.turner && real[i] == &balance_policy)
			w->types[w->type_count++] = &turner_policy;
		w->types[w->type_count++] = real[i];
	}
	if (w->plan.witnesses)
		w->types[w->type_count++] = &witness_inside;
	must(w->type_count <= DOORS_MAX);
}

static bool load(struct world *w)
{
	struct conf_report report;
	struct conf_source source = { .file = "world.yaml", .text = w->plan.config };
	source.blocks = policy_blocks(&source.block_count);
	conf_report_init(&report);
	w->conf = conf_load(&source, &report);
	if (!w->conf && report.errors && !w->plan.quiet)
		fprintf(stderr, SPAN_FMT "\n---\n" SPAN_FMT, SPAN_ARG(w->plan.config), SPAN_ARG(text_span(&report.text)));
	conf_report_fini(&report);
	return w->conf && w->conf->upstream_count <= UPSTREAMS_MAX;
}

static struct upstream_server server_of(void *self, struct upstream *u)
{
	return (struct upstream_server){ &script_ops, &((struct world *)self)->scripts[u->index] };
}

static void count_over(struct worker *worker, const struct exchange *ex)
{
	struct world *w = container_of(worker, struct world, worker);
	must(ex->walk.let_in == 0 && ex->call == NULL);
	w->over++;
}

static void post(struct worker *worker, struct message *m)
{
	struct world *w = container_of(worker, struct world, worker);
	m->next = NULL;
	*w->inbox_end = m;
	w->inbox_end = &m->next;
}

static bool read_inbox(struct world *w)
{
	struct message *m = w->inbox;
	bool any = m != NULL;
	w->inbox = NULL;
	w->inbox_end = &w->inbox;
	while (m) {
		struct message *next = m->next;
		m->run(m);
		m = next;
	}
	return any;
}

static bool build(struct world *w)
{
	bool ok = true;
	if (!(w->shared = shared_new()) || !load(w))
		return false;
	for (unsigned i = 0; ok && i < w->conf->upstream_count; i++) {
		script_init(&w->scripts[i], w);
		ok = (w->upstreams[i] = upstream_new(w->conf, &w->conf->upstreams[i])) != NULL;
	}
	struct router_parts parts = {
		.conf = w->conf, .worker = &w->worker, .upstreams = w->upstreams, .shared = w->shared, .instance = SPAN("c0ffee00"),
		.types = w->types, .type_count = w->type_count, .server_of = server_of, .self = w,
		.stores = &w->store, .store_count = 1,
	};
	return ok && (w->router = router_new(&parts));
}

static void tear_down(struct world *w)
{
	router_unref(w->router);
	for (unsigned i = 0; w->conf && i < w->conf->upstream_count; i++)
		if (w->upstreams[i])
			upstream_unref(w->upstreams[i]);
	if (w->conf)
		conf_unref(w->conf);
	must(w->store_held == 0);
	shared_free(w->shared);
	worker_fini(&w->worker);
}

bool world_open(struct world *w, const struct world_plan *plan)
{
	memset(w, 0, offsetof(struct world, guests));
	memset(&w->guest_count, 0, sizeof(*w) - offsetof(struct world, guest_count));
	w->plan = *plan;
	worker_init(&w->worker, 0, plan->seed + 1);
	w->worker.now_us = EPOCH_US;
	w->worker.wall_ms = WORLD_WALL_MS;
	w->worker.on_over = count_over;
	w->worker.post = post;
	w->inbox_end = &w->inbox;
	clock_init(&w->clock);
	w->store = (struct store){ SPAN("main"), &pretend_store_ops, w };
	lay_out_types(w);
	if (build(w))
		return true;
	tear_down(w);
	return false;
}

/* ── the end: what must hold after any history ── */

static void check_endpoints(struct upstream *u)
{
	struct endpoint_set *set = upstream_endpoints(u);
	for (unsigned i = 0; i < set->count; i++)
		must(__atomic_load_n(&set->at[i]->in_flight, __ATOMIC_RELAXED) == 0);
	endpoint_set_unref(set);
}

static void check_guest(const struct guest *g)
{
	must(g->dones == 1 && g->doors == 0 && !g->ex);
	must(g->left || g->aborted || (g->heads == 1 && g->ended));
	must(!event_planned(&g->send) && !event_planned(&g->read) && !event_planned(&g->leave));
}

static void check_conservation(struct world *w)
{
	for (unsigned i = 0; i < w->guest_count; i++)
		check_guest(&w->guests[i]);
	for (unsigned i = 0; i < w->conf->upstream_count; i++) {
		struct script *s = &w->scripts[i];
		must(s->running == 0 && s->started == s->cancelled + s->ended + s->failed);
		check_endpoints(w->upstreams[i]);
	}
	must(w->worker.timers.armed == 0 && w->worker.live_count == 0 && w->worker.ready_count == 0);
	must(w->worker.chunks.bytes_out == 0 && w->asked_pending == 0);
	must(clock_next(&w->clock) == TIMER_NEVER && !w->inbox);
}

void world_close(struct world *w)
{
	must_witness((void (*)(void *))world_print, w);
	check_conservation(w);
	must_witness(NULL, NULL);
	tear_down(w);
}

/* ── time ── */

uint64_t world_now_us(const struct world *w) { return w->worker.now_us - EPOCH_US; }

static void set_time(struct world *w, uint64_t us)
{
	if (us <= w->worker.now_us)
		return;
	w->worker.wall_ms += us / 1000 - w->worker.now_us / 1000;
	w->worker.now_us = us;
}

static uint64_t next_us(const struct world *w)
{
	uint64_t outside = clock_next(&w->clock), inside = timers_next(&w->worker.timers);
	return outside < inside ? outside : inside;
}

bool world_step(struct world *w)
{
	uint64_t outside = clock_next(&w->clock), inside = timers_next(&w->worker.timers);
	if (outside == TIMER_NEVER && inside == TIMER_NEVER)
		return false;
	must_witness((void (*)(void *))world_print, w);
	w->steps++;
	if (outside <= inside) {
		set_time(w, outside);
		clock_fire(&w->clock);
	} else {
		set_time(w, inside);
		timers_run(&w->worker.timers, w->worker.now_us);
	}
	if (w->watch)
		w->watch(w);
	must_witness(NULL, NULL);
	return true;
}

void world_turn(struct world *w)
{
	bool more = true;
	for (unsigned turns = 0; more; turns++) {
		must(turns < SAME);               /* nobody keeps himself busy */
		more = read_inbox(w);
		more |= exchanges_run(&w->worker) || w->inbox;
	}
}

void world_run_until(struct world *w, uint64_t us)
{
	uint64_t until = us == TIMER_NEVER ? us : us + EPOCH_US;
	unsigned since_turn = 0, drain_every = w->plan.drain_every ? w->plan.drain_every : 1;
	for (;;) {
		bool happened = next_us(w) < until && world_step(w);
		if (!happened || ++since_turn >= drain_every) {
			world_turn(w);
			since_turn = 0;
		}
		if (!happened && next_us(w) >= until)
			break;
	}
	if (until != TIMER_NEVER)
		set_time(w, until);
}

void world_run(struct world *w) { world_run_until(w, TIMER_NEVER); }

/* ── who is there ── */

struct guest *world_guest(struct world *w, uint64_t at_us, const char *method, const char *target)
{
	must(w->guest_count < GUESTS_MAX);
	struct guest *g = &w->guests[w->guest_count];
	guest_init(g, w, w->guest_count++);
	g->method = span_of(method);
	g->target = span_of(target);
	guest_arrives(g, at_us);
	return g;
}

struct script *world_script(struct world *w, const char *upstream)
{
	for (unsigned i = 0; i < w->conf->upstream_count; i++)
		if (!upstream || span_eq(w->conf->upstreams[i].name, span_of(upstream)))
			return &w->scripts[i];
	return NULL;
}

struct endpoint *world_endpoint(struct world *w, const char *name)
{
	for (unsigned i = 0; i < w->conf->upstream_count; i++)
		for (unsigned k = 0; k < w->upstreams[i]->set->count; k++)
			if (span_eq(w->upstreams[i]->set->at[k]->name, span_of(name)))
				return w->upstreams[i]->set->at[k];
	return NULL;
}

void world_print(const struct world *w)
{
	fprintf(stderr, "  world: %llu us, step %llu, live %u, ready %u, timers %llu, chunk bytes %zu, store calls %u\n",
		(unsigned long long)world_now_us(w), (unsigned long long)w->steps, w->worker.live_count, w->worker.ready_count,
		(unsigned long long)w->worker.timers.armed, w->worker.chunks.bytes_out, w->asked_pending);
	for (unsigned i = 0; i < w->guest_count; i++) {
		const struct guest *g = &w->guests[i];
		fprintf(stderr, "  guest %u " SPAN_FMT " " SPAN_FMT ": status %d reason '%s' heads %u dones %u got %llu sent %llu doors %llx%s%s%s%s\n",
			i, SPAN_ARG(g->method), SPAN_ARG(g->target), g->status, reason_name(g->reason), g->heads, g->dones,
			(unsigned long long)g->got, (unsigned long long)g->sent, (unsigned long long)g->doors, g->ended ? " ended" : "",
			g->aborted ? " aborted" : "", g->left ? " left" : "", g->in_tunnel ? " tunnel" : "");
	}
	for (unsigned i = 0; w->conf && i < w->conf->upstream_count; i++)
		fprintf(stderr, "  upstream %u: started %u running %u ended %u failed %u cancelled %u\n", i, w->scripts[i].started,
			w->scripts[i].running, w->scripts[i].ended, w->scripts[i].failed, w->scripts[i].cancelled);
}

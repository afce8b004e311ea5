/* access_log.c - lines on their way from data threads to where they go.
 *
 *   data thread ──▶ ring (one per worker, one writer, one reader, no lock) ──▶ outlet (control thread, whole lines)
 *
 * Always true:
 *   - a ring holds whole lines; `head` is moved by the control thread only, `tail` by the data thread only.
 *   - lines of several workers never mix: an outlet takes whole ones.
 *   - nobody has to wake a writer that is awake: it goes to sleep only after it has said so and then found all rings empty.
 *   - what cannot be written now stays where it is, and new lines are dropped and counted when a ring is full.
 *
 * A reload that moves the log: when a data thread adopts the next settings it leaves a `mark` in its ring. Lines in front of it go to the
 * old outlet, those behind it to the new one, ring by ring. When all have adopted, what is still in front of a mark is taken over by the old
 * outlet, which is closed when it is empty, or a second later: what it holds then is lost, and counted.
 */
#include "app/access_log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/access_line.h"
#include "base/log.h"
#include "base/must.h"
#include "outlet.h"

enum {
	RING_BYTES = 512 * 1024,              /* a power of two */
	TICK_US = 25000,                      /* lines come out at least this often */
	FAREWELL_US = 1000000,                /* an outlet that is left has this long to take its last lines */
};

static const uint64_t NO_MARK = UINT64_MAX;

/* What one configuration says. Immutable; each ring holds the one its thread writes by. */
struct settings {
	unsigned       refs;                  /* atomic */
	struct conf   *conf;
	access_line   *line;                  /* NULL: off */
	struct outlet *outlet;                /* for the control thread; NULL: off */
	bool           moves;                 /* the outlet is another than before */
};

struct ring {
	_Alignas(64) uint64_t head;           /* bytes taken out so far; atomic */
	struct outlet *outlet;                /* the control thread's: where its lines go */
	_Alignas(64) uint64_t tail;           /* bytes put in so far; atomic    */
	uint64_t mark;                        /* ... when its thread adopted what moves the log; atomic */
	uint64_t dropped;
	bool     half_full;                   /* the writer was told; atomic    */
	struct settings *settings;            /* the data thread's */
	struct access_clock clock;
	char     line[ACCESS_LINE_MAX];
	char     bytes[RING_BYTES];
};

struct access_log {
	struct loop     *control;
	struct ring    **rings; unsigned ring_count;
	struct settings *now, *next;          /* next: of a reload that is under way. Data threads look only when told to adopt it */
	struct outlet   *left;                /* not gone yet */
	uint64_t         lost;                /* lines that an outlet did not take in its time */
	bool             awake;               /* atomic */
	uv_async_t       bell;
	struct timer     tick;
};

static struct settings *settings_ref(struct settings *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

static void settings_unref(struct settings *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	conf_unref(s->conf);
	free(s);
}

/* ── on data threads ── */

static bool is_always_wanted(const struct conf_always *a, const struct exchange *ex, const struct measured *m)
{
	bool listed = m->status >= (int)a->status_min && m->status <= (int)a->status_max;
	return listed || (a->slower_us && m->duration_us > a->slower_us) || (a->retried && ex->attempt > 1);
}

static bool is_wanted(const struct conf_access_log *conf, struct worker *w, const struct exchange *ex, const struct measured *m)
{
	for (unsigned i = 0; m->status < 400 && i < conf->skip_paths.count; i++)
		if (span_eq(ex->request.path, conf->skip_paths.at[i]))
			return false;
	return conf->sample >= 1 || rand_unit(&w->rand) < conf->sample || is_always_wanted(&conf->always, ex, m);
}

static void ring_copy_in(struct ring *r, uint64_t tail, size_t len)
{
	size_t at = tail % RING_BYTES, first = len < RING_BYTES - at ? len : RING_BYTES - at;
	memcpy(r->bytes + at, r->line, first);
	memcpy(r->bytes, r->line + first, len - first);
}

void access_log_write(struct access_log *log, struct worker *w, const struct exchange *ex, const struct measured *m)
{
	struct ring *r = log->rings[w->index];
	const struct settings *s = r->settings;
	if (!s->line || !is_wanted(&s->conf->access_log, w, ex, m))
		return;
	size_t len = s->line(r->line, &r->clock, ex, m);
	uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_RELAXED), used = tail - __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
	if (!len || len > RING_BYTES - used) {
		counter_add(&r->dropped, 1);
		return;
	}
	ring_copy_in(r, tail, len);
	/* Sequentially consistent, as is the writer's "asleep, and now look again": one of the two sees the other. */
	__atomic_store_n(&r->tail, tail + len, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&log->awake, __ATOMIC_SEQ_CST) && !__atomic_exchange_n(&log->awake, true, __ATOMIC_SEQ_CST))
		uv_async_send(&log->bell);
	else if (used + len > RING_BYTES / 2 && !__atomic_exchange_n(&r->half_full, true, __ATOMIC_RELAXED))
		uv_async_send(&log->bell);
}

void access_log_adopt(struct access_log *log, struct worker *w)
{
	struct ring *r = log->rings[w->index];
	settings_unref(r->settings);
	r->settings = settings_ref(log->next);
	if (log->next->moves)                     /* before any tail beyond it: see limit_of() */
		__atomic_store_n(&r->mark, __atomic_load_n(&r->tail, __ATOMIC_RELAXED), __ATOMIC_RELEASE);
}

/* ── on the control thread ── */

uint64_t access_log_dropped(const struct access_log *log)
{
	uint64_t n = log->lost;
	for (unsigned i = 0; i < log->ring_count; i++)
		n += counter_get(&log->rings[i]->dropped);
	return n;
}

static bool rings_are_empty(const struct access_log *log)
{
	for (unsigned i = 0; i < log->ring_count; i++)
		if (__atomic_load_n(&log->rings[i]->tail, __ATOMIC_SEQ_CST) != log->rings[i]->head)
			return false;
	return true;
}

/* Up to where lines are for the ring's outlet. The tail is read first: one from behind the mark brings the mark with it. */
static uint64_t limit_of(const struct ring *r)
{
	uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE), mark = __atomic_load_n(&r->mark, __ATOMIC_ACQUIRE);
	return mark < tail ? mark : tail;
}

static void move_head(struct ring *r, uint64_t head)
{
	__atomic_store_n(&r->half_full, false, __ATOMIC_RELAXED);
	__atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
}

/* Takes whole lines out of a ring, as many as fit. */
static bool stage_from(struct outlet *o, struct ring *r)
{
	uint64_t head = r->head, left = limit_of(r) - head;
	size_t room = o->size - o->to, n = left < room ? (size_t)left : room;
	size_t at = head % RING_BYTES, first = n < RING_BYTES - at ? n : RING_BYTES - at;
	char *to = o->bytes + o->to;

	memcpy(to, r->bytes + at, first);
	memcpy(to + first, r->bytes, n - first);
	const char *end = memrchr(to, '\n', n);
	if (!end)
		return false;
	n = (size_t)(end + 1 - to);
	o->to += n;
	move_head(r, head + n);
	return true;
}

/* Lines that go nowhere. */
static void forget(struct access_log *log, struct ring *r)
{
	uint64_t head = r->head, left = limit_of(r) - head;
	size_t at = head % RING_BYTES, first = left < RING_BYTES - at ? (size_t)left : RING_BYTES - at;
	if (!left)
		return;
	log->lost += outlet_lines(r->bytes + at, first) + outlet_lines(r->bytes, (size_t)left - first);
	move_head(r, head + left);
}

/* false: there is nothing more. */
static bool stage(struct access_log *log, struct outlet *o)
{
	bool any = false;
	outlet_make_room(o, 0);
	for (unsigned i = 0; i < log->ring_count; i++)
		if (log->rings[i]->outlet == o)
			any |= stage_from(o, log->rings[i]);
	return any;
}

/* Writes until all is out, or the descriptor takes no more. */
static void drain_into(struct access_log *log, struct outlet *o)
{
	while (outlet_write(o) && stage(log, o))
		;
}

static void hand_over(struct ring *r, struct outlet *to)
{
	r->outlet = to;
	__atomic_store_n(&r->mark, NO_MARK, __ATOMIC_RELAXED);
}

static void see_off(struct access_log *log, uint64_t now_us)
{
	for (struct outlet **at = &log->left; *at; ) {
		struct outlet *o = *at;
		if (!outlet_write(o) && now_us < o->until_us) {
			at = &o->next;
			continue;
		}
		log->lost += outlet_lines(o->bytes + o->from, o->to - o->from);
		*at = o->next;
		outlet_close(o);
	}
}

static void drain(struct access_log *log)
{
	if (log->now->outlet)
		drain_into(log, log->now->outlet);
	for (unsigned i = 0; i < log->ring_count; i++) {
		struct ring *r = log->rings[i];
		if (!r->outlet)                   /* of a thread that there was no memory to tell that the log is off */
			forget(log, r);
		if (r->head == __atomic_load_n(&r->mark, __ATOMIC_ACQUIRE))
			hand_over(r, log->next->outlet);
	}
	if (log->next && log->next->outlet && log->next->moves)
		drain_into(log, log->next->outlet);
	see_off(log, log->control->worker.now_us);
}

static bool all_is_out(const struct access_log *log)
{
	const struct outlet *o = log->now->outlet;
	return (!o || o->from == o->to) && !log->left && rings_are_empty(log);
}

static void ticked(struct timer *t)
{
	struct access_log *log = container_of(t, struct access_log, tick);
	drain(log);
	__atomic_store_n(&log->awake, false, __ATOMIC_SEQ_CST);
	if (all_is_out(log))
		return;
	__atomic_store_n(&log->awake, true, __ATOMIC_SEQ_CST);
	worker_arm(&log->control->worker, &log->tick, TICK_US, ticked);
}

static void drain_and_tick(struct access_log *log)
{
	drain(log);
	if (!timer_armed(&log->tick))
		worker_arm(&log->control->worker, &log->tick, TICK_US, ticked);
}

/* Not here: what is done may close an outlet, also one that the loop is about to tell us of. */
static void take_more(void *self)
{
	struct access_log *log = self;
	worker_arm(&log->control->worker, &log->tick, 0, ticked);
}

static void bell_rang(uv_async_t *bell) { drain_and_tick(bell->data); }

/* ── other settings ── */

static access_line *line_of(unsigned format)
{
	return format == CONF_ACCESS_TEXT ? access_line_text : format == CONF_ACCESS_OTEL ? access_line_otel
		: format == CONF_ACCESS_CLF ? access_line_clf : access_line_json;
}

static void discard(struct settings *s)
{
	if (s && s->moves && s->outlet)
		outlet_close(s->outlet);
	settings_unref(s);
}

/* The outlet that there is goes on if the log stays where it is. NULL: errno says why. */
static struct settings *settings_new(struct access_log *log, struct conf *conf)
{
	const struct settings *before = log->now;
	const struct conf_access_log *c = &conf->access_log, *b = before ? &before->conf->access_log : NULL;
	struct settings *s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->refs = 1;
	s->conf = conf_ref(conf);
	s->moves = !b || b->to != c->to || !span_eq(b->file, c->file);
	if (!s->moves)
		s->outlet = before->outlet;
	else if (c->to != CONF_LOG_OFF && !(s->outlet = outlet_open(c, (struct outlet_room){ log->control, take_more, log }))) {
		int error = errno;
		settings_unref(s);
		errno = error;
		return NULL;
	}
	if (s->outlet)
		s->line = line_of(c->format == CONF_ACCESS_AUTO ? isatty(s->outlet->fd) ? CONF_ACCESS_TEXT : CONF_ACCESS_JSON : c->format);
	return s;
}

static int say(int error, const struct conf_access_log *conf, struct text *why)
{
	text_f(why, "access_log: " SPAN_FMT "%s%s", SPAN_ARG(conf->file), conf->file.len ? ": " : "", strerror(error));
	return error;
}

int access_log_prepare(struct access_log *log, struct conf *conf, struct text *why)
{
	log->next = settings_new(log, conf);
	return log->next ? 0 : say(errno, &conf->access_log, why);
}

void access_log_discard(struct access_log *log)
{
	discard(log->next);
	log->next = NULL;
}

/* Its last lines are no ring's any more. `to`: where the rings' next ones go. */
static void leave(struct access_log *log, struct outlet *o, struct outlet *to)
{
	size_t more = 0;
	for (unsigned i = 0; i < log->ring_count; i++)
		if (log->rings[i]->outlet == o)
			more += (size_t)(limit_of(log->rings[i]) - log->rings[i]->head);
	if (o) {
		if (!outlet_make_room(o, more))
			log_event(LOG_ERROR, "out_of_memory", "lines_lost_of", "access_log", NULL);
		stage(log, o);
		o->until_us = clock_now_us() + FAREWELL_US;
		o->next = log->left;
		log->left = o;
	}
	for (unsigned i = 0; i < log->ring_count; i++)
		if (log->rings[i]->outlet == o) {
			forget(log, log->rings[i]);
			hand_over(log->rings[i], to);
		}
}

void access_log_adopted(struct access_log *log)
{
	struct settings *before = log->now;
	log->now = log->next;
	log->next = NULL;
	if (log->now->moves)
		leave(log, before->outlet, log->now->outlet);
	settings_unref(before);
	drain_and_tick(log);
}

static void reopen(struct access_log *log, struct settings *s)
{
	const struct conf_access_log *conf = &s->conf->access_log;
	if (conf->to != CONF_LOG_FILE)
		return;
	drain_into(log, s->outlet);               /* lines of before the signal belong to the file of before */
	if (!outlet_reopen(s->outlet, conf->file))
		log_event(LOG_ERROR, "access_log_not_reopened", "error", strerror(errno), NULL);
}

void access_log_reopen(struct access_log *log)
{
	reopen(log, log->now);
	if (log->next && log->next->moves)
		reopen(log, log->next);
}

/* ── life ── */

static bool make_rings(struct access_log *log, unsigned workers)
{
	log->rings = calloc(workers, sizeof(*log->rings));
	while (log->rings && log->ring_count < workers) {
		struct ring *r = aligned_alloc(_Alignof(struct ring), sizeof(*r));
		if (!r)
			return false;
		memset(r, 0, offsetof(struct ring, line));    /* the rest is untouched memory until it is needed */
		r->settings = settings_ref(log->now);
		hand_over(r, log->now->outlet);
		log->rings[log->ring_count++] = r;
	}
	return log->rings != NULL;
}

static void free_log(struct access_log *log)
{
	for (unsigned i = 0; i < log->ring_count; i++) {
		settings_unref(log->rings[i]->settings);
		free(log->rings[i]);
	}
	free(log->rings);
	settings_unref(log->now);
	free(log);
}

struct access_log *access_log_new(struct conf *conf, struct loop *control, unsigned workers, struct text *why)
{
	struct access_log *log = calloc(1, sizeof(*log));
	if (log)
		log->control = control;
	if (log && (log->now = settings_new(log, conf)) && make_rings(log, workers) && uv_async_init(&control->uv, &log->bell, bell_rang) == 0) {
		log->bell.data = log;
		return log;
	}
	say(errno, &conf->access_log, why);
	if (log) {
		if (log->now && log->now->outlet)
			outlet_close(log->now->outlet);
		free_log(log);
	}
	return NULL;
}

static void closed(uv_handle_t *bell) { free_log(bell->data); }

/* The data threads have ended. */
void access_log_free(struct access_log *log)
{
	if (!log)
		return;
	if (log->next)                            /* it ends in the middle of a reload */
		access_log_adopted(log);
	leave(log, log->now->outlet, NULL);
	for (see_off(log, clock_now_us()); log->left; see_off(log, clock_now_us())) {
		uint64_t now = clock_now_us(), until = log->left->until_us;
		struct pollfd p = { .fd = log->left->fd, .events = POLLOUT };
		if (now < until && poll(&p, 1, (int)((until - now) / 1000) + 1) > 0 && log->left->complained)
			log->left->until_us = 0;  /* it will not get better */
	}
	worker_disarm(&log->control->worker, &log->tick);
	uv_close((uv_handle_t *)&log->bell, closed);
}

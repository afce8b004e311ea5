/* bucket.c - see bucket.h. */
#include "bucket.h"

/* ── gcra, in nanoseconds: a million a second is still a microsecond apart ── */

static uint64_t interval_ns(const struct bucket_conf *c)
{
	uint64_t ns = c->per_us * 1000 / c->count;
	return ns ? ns : 1;
}

static uint64_t arrival_ns(const struct bucket *b, uint64_t now_ns) { return b->a > now_ns ? b->a : now_ns; }

static struct bucket_answer look_gcra(const struct bucket *b, const struct bucket_conf *c, uint64_t now_us)
{
	uint64_t now = now_us * 1000, each = interval_ns(c), most = each * c->burst, next = arrival_ns(b, now) + each - now;
	if (next > most)
		return (struct bucket_answer){ .wait_us = (next - most + 999) / 1000, .reset_us = (next - each + 999) / 1000 };
	return (struct bucket_answer){ .allowed = true, .remaining = (most - next) / each, .reset_us = (next + 999) / 1000 };
}

/* ── sliding window ── */

struct windows { uint64_t prev, cur, into_us; };

static struct windows windows_of(const struct bucket *b, const struct bucket_conf *c, uint64_t now_us)
{
	uint64_t number = now_us / c->per_us + 1, prev = b->b >> 32, cur = b->b & UINT32_MAX;
	struct windows w = { .into_us = now_us % c->per_us };
	if (b->a == number)
		w.prev = prev, w.cur = cur;
	else if (b->a + 1 == number)
		w.prev = cur;
	return w;
}

static struct bucket_answer look_window(const struct bucket *b, const struct bucket_conf *c, uint64_t now_us)
{
	struct windows w = windows_of(b, c, now_us);
	uint64_t left_us = c->per_us - w.into_us;
	/* all in units of requests × per_us, so that nothing is rounded away */
	unsigned __int128 used = (unsigned __int128)w.prev * left_us + (unsigned __int128)w.cur * c->per_us;
	unsigned __int128 most = (unsigned __int128)c->count * c->per_us;
	struct bucket_answer a = { .reset_us = w.cur ? left_us + c->per_us : w.prev ? left_us : 0 };

	if (used + c->per_us <= most) {
		a.allowed = true;
		a.remaining = (uint64_t)((most - used) / c->per_us) - 1;
		a.reset_us = left_us + c->per_us;
		return a;
	}
	if (w.cur < c->count)                     /* when so much of the window before has slid out */
		a.wait_us = left_us - (c->count - w.cur - 1) * c->per_us / w.prev;
	else                                      /* when this one has ended, and so much of it has slid out */
		a.wait_us = left_us + c->per_us - (uint64_t)((unsigned __int128)(c->count - 1) * c->per_us / w.cur);
	return a;
}

static void charge_window(struct bucket *b, const struct bucket_conf *c, uint64_t now_us)
{
	struct windows w = windows_of(b, c, now_us);
	b->a = now_us / c->per_us + 1;
	b->b = w.prev << 32 | (w.cur + 1);
}

/* ── either ── */

struct bucket_answer bucket_look(const struct bucket *b, const struct bucket_conf *c, uint64_t now_us)
{
	return c->algorithm == BUCKET_GCRA ? look_gcra(b, c, now_us) : look_window(b, c, now_us);
}

void bucket_charge(struct bucket *b, const struct bucket_conf *c, uint64_t now_us)
{
	if (c->algorithm == BUCKET_GCRA)
		b->a = arrival_ns(b, now_us * 1000) + interval_ns(c);
	else
		charge_window(b, c, now_us);
}

void bucket_refund(struct bucket *b, const struct bucket_conf *c)
{
	if (c->algorithm == BUCKET_GCRA)
		b->a -= b->a < interval_ns(c) ? b->a : interval_ns(c);
	else if (b->b & UINT32_MAX)
		b->b--;
}

bool bucket_is_idle(const struct bucket *b, const struct bucket_conf *c, uint64_t now_us)
{
	if (c->algorithm == BUCKET_GCRA)
		return b->a <= now_us * 1000;
	struct windows w = windows_of(b, c, now_us);
	return w.prev == 0 && w.cur == 0;
}

/* idem_answer.c - see idem_answer.h. */
#include "idem_answer.h"

#include <stdlib.h>

#include "base/must.h"

enum { VERSION = 1, FIELDS_MAX = 1000, TEXT_MAX = 64 * 1024, BODY_MAX = 64 * 1024 * 1024, ARENA_MAX = 256 * 1024 };

static void put_numbers(struct text *out, const uint64_t *numbers, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		text_u64(out, numbers[i]);
		text_char(out, i + 1 < count ? ' ' : '\n');
	}
}

static void put_lengths(struct text *out, const struct fields *f)
{
	for (unsigned i = 0; i < f->count; i++)
		put_numbers(out, (const uint64_t[]){ f->at[i].name.len, f->at[i].value.len }, 2);
}

static void put_texts(struct text *out, const struct fields *f)
{
	for (unsigned i = 0; i < f->count; i++) {
		text_add(out, f->at[i].name);
		text_add(out, f->at[i].value);
	}
}

static bool write(const struct capture *c, struct text *out)
{
	const struct reply *r = &c->reply;
	must(c->ended && c->base == 0);
	put_numbers(out, (const uint64_t[]){ VERSION, (uint64_t)r->status, r->framing, r->has_length, r->content_length, r->chunked,
		r->fields.count, c->trailers.count, r->phrase.len, c->len }, 10);
	put_lengths(out, &r->fields);
	put_lengths(out, &c->trailers);
	text_add(out, r->phrase);
	put_texts(out, &r->fields);
	put_texts(out, &c->trailers);
	text_add(out, (struct span){ c->body, c->len });
	return !out->cut;
}

struct idem_answer *idem_answer_new(const struct capture *c)
{
	struct idem_answer *a = NULL;
	struct text t;
	text_init(&t, BODY_MAX + ARENA_MAX);
	if (write(c, &t) && (a = malloc(sizeof(*a) + t.len))) {
		a->refs = 1;
		a->len = t.len;
		memcpy(a->bytes, t.at, t.len);
	}
	text_fini(&t);
	return a;
}

struct idem_answer *idem_answer_ref(struct idem_answer *a)
{
	__atomic_fetch_add(&a->refs, 1, __ATOMIC_RELAXED);
	return a;
}

void idem_answer_unref(struct idem_answer *a)
{
	if (a && __atomic_sub_fetch(&a->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(a);
}

/* ── and back ── */

static bool take_line(struct span *rest, uint64_t *numbers, unsigned count)
{
	const char *end = rest->len ? memchr(rest->at, '\n', rest->len) : NULL;
	struct span line, one;
	if (!end)
		return false;
	line = span_between(rest->at, end);
	*rest = span_from(*rest, line.len + 1);
	for (unsigned i = 0; i < count; i++)
		if (!span_next(&line, ' ', &one) || !span_to_u64(one, UINT64_MAX / 2, &numbers[i]))
			return false;
	return line.len == 0;
}

static bool take(struct span *rest, uint64_t n, struct span *out)
{
	if (n > rest->len)
		return false;
	*out = span_first(*rest, (size_t)n);
	*rest = span_from(*rest, (size_t)n);
	return true;
}

/* Lengths come first, for all of them. */
static bool take_lengths(struct span *rest, struct fields *f, uint64_t count, struct arena *arena)
{
	uint64_t len[2];
	if (!fields_init(f, arena, (unsigned)count))
		return false;
	for (uint64_t i = 0; i < count; i++) {
		if (!take_line(rest, len, 2) || len[0] > TEXT_MAX || len[1] > TEXT_MAX)
			return false;
		f->at[i] = (struct field){ { NULL, (size_t)len[0] }, { NULL, (size_t)len[1] }, FIELD_OTHER };
	}
	return true;
}

static bool take_texts(struct span *rest, struct fields *f, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		struct span name, value;
		if (!take(rest, f->at[i].name.len, &name) || !take(rest, f->at[i].value.len, &value))
			return false;
		if (!field_name_is_token(name) || !field_value_is_safe(value) || !fields_add(f, name, value))
			return false;
	}
	return true;
}

static bool is_sane(const struct reply *r, uint64_t body)
{
	if (r->status < 200 || r->status > 599 || (r->framing != BODY_NONE && r->framing != BODY_LENGTH && r->framing != BODY_STREAM))
		return false;
	return r->framing != BODY_LENGTH || r->content_length == body || body == 0;       /* none: it answered a HEAD */
}

static struct capture *read_with(struct span rest, struct arena *arena)
{
	struct reply r = { .minor = 1 };
	struct fields trailers;
	struct span body;
	uint64_t n[10];

	if (!take_line(&rest, n, 10) || n[0] != VERSION || n[1] > 599 || n[2] > BODY_STREAM || n[6] > FIELDS_MAX || n[7] > FIELDS_MAX
			|| n[9] > BODY_MAX)
		return NULL;
	r.status = (int)n[1];
	r.framing = (enum framing)n[2];
	r.has_length = n[3] != 0;
	r.content_length = n[4];
	r.chunked = n[5] != 0;
	if (!take_lengths(&rest, &r.fields, n[6], arena) || !take_lengths(&rest, &trailers, n[7], arena) || !take(&rest, n[8], &r.phrase)
			|| !take_texts(&rest, &r.fields, n[6]) || !take_texts(&rest, &trailers, n[7])
			|| !take(&rest, n[9], &body) || rest.len || !is_sane(&r, n[9]) || (r.phrase.len && !field_value_is_safe(r.phrase)))
		return NULL;
	struct capture *c = capture_new(&r);
	if (c && capture_add(c, body) && (!trailers.count || fields_copy(&c->trailers, &trailers, &c->arena, 0))) {
		c->ended = true;
		return c;
	}
	capture_unref(c);
	return NULL;
}

struct capture *idem_answer_read(struct span s)
{
	struct arena arena;
	arena_init(&arena, NULL, ARENA_MAX);
	struct capture *c = read_with(s, &arena);         /* copies what it keeps */
	arena_fini(&arena);
	return c;
}

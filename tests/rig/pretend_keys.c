/* pretend_keys.c - see pretend_keys.h. The third part of a token is the word good, or the word bad. */
#include "base/json.h"
#include "base/must.h"
#include "scenario.h"

#define GOOD "Z29vZA"
#define BAD "YmFk"

static enum key_verdict verify(const struct key_set *base, enum jws_alg alg, struct span kid, struct span token)
{
	const struct pretend_set *set = (const struct pretend_set *)base;
	(void)alg;
	for (unsigned i = 0; i < base->count; i++)
		if (span_eq(set->kid[i], kid))
			return span_eq(span_from(token, token.len - strlen(GOOD)), SPAN(GOOD)) ? KEY_FITS : KEY_FITS_NOT;
	return KEY_UNKNOWN;
}

static void forget(struct key_set *set) { must(set->refs == 0); }
static const struct key_set_ops pretend_ops = { verify, forget };

static void publish(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct world *w = self;
	const struct pretend_keys *k = &w->keys;
	must(w->keys.used < PRETEND_SETS_MAX);
	struct pretend_set *set = &w->keys.sets[w->keys.used++];
	(void)kind; (void)name;
	set->base = (struct key_set){ &pretend_ops, 1, k->next_count };
	memcpy(set->kid, k->next, sizeof(set->kid));
	key_source_publish(core, &set->base, w->worker.now_us);
}

static void set_next(struct pretend_keys *k, const struct span *kid, unsigned count)
{
	must(count <= PRETEND_KEYS_MAX);
	k->next_count = count;
	memcpy(k->next, kid, count * sizeof(*kid));
}

void pretend_keys_publish(struct world *w, const struct span *kid, unsigned count)
{
	set_next(&w->keys, kid, count);
	shared_each(w->shared, &key_source_kind, publish, w);
}

static void end(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct world *w = self;
	(void)kind; (void)name;
	key_source_ended(core, w->worker.now_us + 10000000);
}

static void fetched(struct event *e)
{
	struct world *w = container_of(container_of(e, struct pretend_keys, fetch), struct world, keys);
	w->keys.fetches++;
	shared_each(w->shared, &key_source_kind, publish, w);
	shared_each(w->shared, &key_source_kind, end, w);
}

static void wake(void *self)
{
	struct world *w = self;
	if (!event_planned(&w->keys.fetch))
		event_plan(&w->clock, &w->keys.fetch, w->worker.now_us + w->keys.takes_us, fetched);
}

static void wait_for_call(void *self, const struct core_kind *kind, struct span name, void *core)
{
	(void)kind; (void)name;
	key_source_wake_by(core, wake, self);
}

void pretend_keys_fetch(struct world *w, uint64_t takes_us, const struct span *kid, unsigned count)
{
	w->keys.takes_us = takes_us;
	set_next(&w->keys, kid, count);
	shared_each(w->shared, &key_source_kind, wait_for_call, w);
}

/* ── tokens ── */

void pretend_base64url(struct text *out, struct span bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < bytes.len; i++) {
		bits = bits << 8 | (unsigned char)bytes.at[i];
		for (have += 8; have >= 6; have -= 6)
			text_char(out, digits[bits >> (have - 6) & 63]);
	}
	if (have)
		text_char(out, digits[bits << (6 - have) & 63]);
}

static bool seconds(struct span value, int64_t *out)
{
	uint64_t us;
	bool before = span_starts(value, SPAN("-"));
	if (!words_time(before ? span_from(value, 1) : value, &us))
		return false;
	*out = (int64_t)(WORLD_WALL_MS / 1000) + (before ? -1 : 1) * (int64_t)(us / 1000000);
	return true;
}

struct wanted { struct span name, value; };

/* The words with these defaults; a value that is empty leaves it out. */
static unsigned read_words(struct span words, struct wanted *out, unsigned room)
{
	static const struct wanted presets[] = { { { "alg", 3 }, { "ES256", 5 } }, { { "kid", 3 }, { "k1", 2 } }, { { "aud", 3 }, { "app", 3 } },
		{ { "exp", 3 }, { "10s", 3 } }, { { "forged", 6 }, { "no", 2 } } };
	unsigned n = 5;
	struct span one;
	memcpy(out, presets, sizeof(presets));
	while (span_next(&words, ' ', &one)) {
		const char *equals = one.len ? memchr(one.at, '=', one.len) : NULL;
		unsigned i = 0;
		if (!equals)
			return 0;
		struct wanted w = { span_between(one.at, equals), span_between(equals + 1, span_end(one)) };
		while (i < n && !span_eq(out[i].name, w.name))
			i++;
		if (i == room)
			return 0;
		out[i] = w;
		n += i == n;
	}
	return n;
}

static bool is_of_header(struct span name) { return span_eq(name, SPAN("alg")) || span_eq(name, SPAN("kid")); }
static bool is_date(struct span name) { return span_eq(name, SPAN("exp")) || span_eq(name, SPAN("nbf")) || span_eq(name, SPAN("iat")); }

static bool write_object(struct text *out, const struct wanted *w, unsigned count, bool header)
{
	struct json j;
	char name[64];
	int64_t at;
	json_init(&j, out);
	json_open(&j, NULL, '{');
	for (unsigned i = 0; i < count; i++) {
		if (!w[i].value.len || is_of_header(w[i].name) != header || span_eq(w[i].name, SPAN("forged")) || w[i].name.len >= sizeof(name))
			continue;
		memcpy(name, w[i].name.at, w[i].name.len);
		name[w[i].name.len] = '\0';
		if (!is_date(w[i].name))
			json_span(&j, name, w[i].value);
		else if (!seconds(w[i].value, &at))
			return false;
		else
			json_i64(&j, name, at);
	}
	json_close(&j, '}');
	return !out->cut;
}

bool pretend_token(struct guest *g, struct span words)
{
	struct wanted w[24];
	char memory[GUEST_TEXT];
	struct text token, json;
	unsigned count = read_words(words, w, 24);
	if (!count)
		return false;
	text_over(&token, g->token, sizeof(g->token));
	text_add(&token, SPAN("Bearer "));
	for (int part = 0; part < 2; part++) {
		text_over(&json, memory, sizeof(memory));
		if (!write_object(&json, w, count, part == 0))
			return false;
		pretend_base64url(&token, text_span(&json));
		text_char(&token, '.');
	}
	text_add(&token, span_eq(w[4].value, SPAN("yes")) ? SPAN(BAD) : SPAN(GOOD));
	g->token_len = token.len;
	g->fields[g->field_count++] = (struct conf_pair){ SPAN("authorization"), text_span(&token) };
	return !token.cut;
}

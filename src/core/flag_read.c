/* flag_read.c - the document of flags (see core/flags.h) to a set: all of it, or nothing. What it does not know it leaves alone. */
#include <jansson.h>
#include <stdlib.h>

#include "flag_set.h"

enum { FLAGS_MAX = 10000, VARIANTS_MAX = 64, SET_BYTES_MAX = 16 * 1024 * 1024, SHARE_PARTS = 1000000 };
#define SHARE_ERROR 1e-9

struct reading { struct flag_set *set; struct text *why; const char *flag; };

static bool refuse(struct reading *r, const char *what, const char *text)
{
	text_f(r->why, "flag '%.*s': %s%s%.*s%s", FLAG_WORD_MAX, r->flag, what, text ? " '" : "", FLAG_WORD_MAX, text ? text : "", text ? "'" : "");
	return false;
}

static bool out_of_memory(struct reading *r)
{
	text_add(r->why, SPAN("out of memory"));
	return false;
}

/* "10%", "0.5%": at most six decimals. */
static bool read_share(const json_t *json, double *out)
{
	struct span text = span_of(json_string_value(json)), decimals = SPAN_NONE;
	uint64_t whole, part = 0, unit = 1;
	if (!text.len || text.at[text.len - 1] != '%')
		return false;
	text.len--;
	const char *dot = text.len ? memchr(text.at, '.', text.len) : NULL;
	if (dot) {
		decimals = span_between(dot + 1, span_end(text));
		text = span_between(text.at, dot);
		for (size_t i = 0; i < decimals.len && unit <= SHARE_PARTS; i++)
			unit *= 10;
	}
	if (!span_to_u64(text, 100, &whole) || (dot && (unit > SHARE_PARTS || !span_to_u64(decimals, SHARE_PARTS, &part))))
		return false;
	*out = ((double)whole + (double)part / (double)unit) / 100;
	return *out <= 1;
}

static bool word_ok(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = char_lower(s.at[i]);
		if (!(c >= 'a' && c <= 'z') && !char_is_digit(c) && c != '-' && c != '_' && c != '.')
			return false;
	}
	return s.len && s.len <= FLAG_WORD_MAX;
}

static bool read_variants(struct reading *r, json_t *json, struct flag *f)
{
	const char *name;
	json_t *value;
	double until = 0, share;
	if (!json_is_object(json) || json_object_size(json) > VARIANTS_MAX)
		return refuse(r, "'variants' is not a mapping of names to shares", NULL);
	f->variants = arena_take_zeroed(&r->set->arena, (json_object_size(json) + 1) * sizeof(*f->variants));
	if (!f->variants)
		return out_of_memory(r);
	json_object_foreach(json, name, value) {          /* in the order written */
		if (!word_ok(span_of(name)))
			return refuse(r, "not the name of a variant:", name);
		if (!read_share(value, &share))
			return refuse(r, "not a share such as \"50%\": that of variant", name);
		until += share;
		struct flag_variant *v = &f->variants[f->variant_count++];
		*v = (struct flag_variant){ arena_copy(&r->set->arena, span_of(name)), until };
		if (!v->name.at)
			return out_of_memory(r);
	}
	if (f->variant_count && (until < 1 - SHARE_ERROR || until > 1 + SHARE_ERROR))
		return refuse(r, "the shares of its variants do not make 100%", NULL);
	return true;
}

static bool read_members(struct reading *r, const json_t *json, struct flag *f)
{
	const json_t *enabled = json_object_get(json, "enabled"), *share = json_object_get(json, "share"), *key = json_object_get(json, "key");
	json_t *variants = json_object_get(json, "variants");
	if (enabled && !json_is_boolean(enabled))
		return refuse(r, "'enabled' is neither true nor false", NULL);
	if (enabled)
		f->enabled = json_is_true(enabled);
	if (share && !read_share(share, &f->share))
		return refuse(r, "'share' is not a share such as \"10%\"", json_string_value(share));
	if (key) {
		struct span text = json_is_string(key) ? arena_copy(&r->set->arena, span_of(json_string_value(key))) : SPAN_NONE;
		if (!text.at || !request_key_read(&f->key, text))
			return refuse(r, "'key' is neither client_ip nor header:NAME nor cookie:NAME", json_string_value(key));
	}
	return !variants || read_variants(r, variants, f);
}

static bool read_flag(struct reading *r, const char *name, const json_t *json)
{
	struct flag *f = arena_take_zeroed(&r->set->arena, sizeof(*f));
	struct span key = arena_copy(&r->set->arena, span_of(name));
	char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	r->flag = name;
	if (f && text)
		f->text = arena_copy(&r->set->arena, span_of(text));
	free(text);
	if (!f || !key.at || !f->text.at || !map_add(&r->set->flags, &f->entry, key))
		return out_of_memory(r);
	f->enabled = !json_is_false(json);
	f->share = 1;
	f->key.kind = REQUEST_KEY_CLIENT_IP;
	if (json_is_boolean(json))
		return true;
	return json_is_object(json) ? read_members(r, json, f) : refuse(r, "it is neither true nor false nor a mapping", NULL);
}

static bool read_flags(struct reading *r, json_t *flags)
{
	const char *name;
	json_t *value;
	if (json_object_size(flags) > FLAGS_MAX) {
		text_f(r->why, "%zu flags, at most %d", json_object_size(flags), FLAGS_MAX);
		return false;
	}
	json_object_foreach(flags, name, value)
		if (!read_flag(r, name, value))
			return false;
	return true;
}

struct flag_set *flag_set_read(struct span text, struct text *why)
{
	json_error_t error;
	json_t *json = json_loadb(text.at ? text.at : "", text.len, JSON_REJECT_DUPLICATES, &error);
	json_t *flags = json_object_get(json, "flags");
	struct flag_set *set = NULL;
	if (!json) {
		text_f(why, "not JSON: line %d: %s", error.line, error.text);
	} else if (!json_is_object(flags)) {
		text_add(why, SPAN("there is no mapping 'flags' in it"));
	} else if (!(set = calloc(1, sizeof(*set)))) {
		text_add(why, SPAN("out of memory"));
	} else {
		struct reading r = { set, why, "" };
		set->refs = 1;
		arena_init(&set->arena, NULL, SET_BYTES_MAX);
		map_init(&set->flags, FLAGS_MAX, 0);
		set->document = arena_copy(&set->arena, text);
		if ((!set->document.at && !out_of_memory(&r)) || !read_flags(&r, flags)) {
			flag_set_unref(set);
			set = NULL;
		}
	}
	json_decref(json);
	return set;
}

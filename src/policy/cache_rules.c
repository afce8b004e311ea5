/* cache_rules.c - see cache_rules.h. */
#include "cache_rules.h"

#include "http/date.h"

static const uint64_t SECOND_US = 1000000, LONGEST_S = 365 * 86400ull;

/* The directives of all Cache-Control fields, one word each; absent: UINT64_MAX. */
struct directives { bool no_store, no_cache, is_private, is_public, must_revalidate; uint64_t max_age, s_maxage, revalidate, error; };

/* Quotes are allowed (max-age="5"); what is no number counts as 0: better asked again than kept by mistake. */
static uint64_t seconds_of(struct span value)
{
	uint64_t n;
	if (value.len > 1 && value.at[0] == '"' && value.at[value.len - 1] == '"')
		value = (struct span){ value.at + 1, value.len - 2 };
	bool digits = value.len > 0;
	for (size_t i = 0; i < value.len; i++)
		digits &= value.at[i] >= '0' && value.at[i] <= '9';
	if (!digits)
		return 0;
	return span_to_u64(value, LONGEST_S, &n) ? n : LONGEST_S;
}

static void read_directive(struct directives *d, struct span one)
{
	const char *equals = one.len ? memchr(one.at, '=', one.len) : NULL;
	struct span name = equals ? span_between(one.at, equals) : one;
	struct span value = equals ? span_between(equals + 1, span_end(one)) : SPAN_NONE;
	static const struct { const char *name; size_t at; bool number; } table[] = {
		{ "no-store", offsetof(struct directives, no_store), false }, { "no-cache", offsetof(struct directives, no_cache), false },
		{ "private", offsetof(struct directives, is_private), false }, { "public", offsetof(struct directives, is_public), false },
		{ "must-revalidate", offsetof(struct directives, must_revalidate), false },
		{ "proxy-revalidate", offsetof(struct directives, must_revalidate), false },
		{ "max-age", offsetof(struct directives, max_age), true }, { "s-maxage", offsetof(struct directives, s_maxage), true },
		{ "stale-while-revalidate", offsetof(struct directives, revalidate), true },
		{ "stale-if-error", offsetof(struct directives, error), true },
	};
	for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++) {
		if (!span_eq_nocase(name, span_of(table[i].name)))
			continue;
		void *member = (char *)d + table[i].at;
		if (table[i].number)
			*(uint64_t *)member = seconds_of(value);
		else
			*(bool *)member = true;
	}
}

static struct directives directives_of(const struct fields *f)
{
	struct directives d = { .max_age = UINT64_MAX, .s_maxage = UINT64_MAX, .revalidate = UINT64_MAX, .error = UINT64_MAX };
	for (unsigned i = 0; i < f->count; i++) {
		struct span rest = f->at[i].value, one;
		while (f->at[i].id == FIELD_CACHE_CONTROL && span_next(&rest, ',', &one))
			read_directive(&d, one);
	}
	return d;
}

static struct span value_of(const struct fields *f, struct span name)
{
	const struct field *found = fields_find_name(f, name);
	return found ? found->value : SPAN_NONE;
}

static bool is_kept(const struct reply *r, const struct directives *d, bool personal)
{
	if (d->no_store || d->no_cache || d->is_private)
		return false;
	if (fields_have(&r->fields, FIELD_SET_COOKIE) || value_of(&r->fields, SPAN("www-authenticate")).len)
		return false;
	if (span_starts_nocase(fields_value(&r->fields, FIELD_CONTENT_TYPE), SPAN("text/event-stream")))
		return false;
	return !personal || d->is_public || d->s_maxage != UINT64_MAX;
}

/* RFC 9110 §15.1: statuses that may be kept without a word of their sender's. */
static bool is_kept_by_default(int status)
{
	static const int statuses[] = { 200, 203, 204, 300, 301, 308, 404, 405, 410, 414 };
	for (unsigned i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
		if (status == statuses[i])
			return true;
	return false;
}

/* UINT64_MAX: it does not say. */
static uint64_t freshness_s(const struct reply *r, const struct directives *d, uint64_t wall_ms)
{
	struct span expires = value_of(&r->fields, SPAN("expires"));
	uint64_t until, date;
	if (d->s_maxage != UINT64_MAX)
		return d->s_maxage;
	if (d->max_age != UINT64_MAX)
		return d->max_age;
	if (!expires.at)
		return UINT64_MAX;
	if (!http_date_read(expires, &until))
		return 0;
	if (!http_date_read(value_of(&r->fields, SPAN("date")), &date))
		date = wall_ms / 1000;
	until = until > date ? until - date : 0;
	return until < LONGEST_S ? until : LONGEST_S;
}

/* RFC 9111 §4.2.3, without the time on the way: the upstream is near. */
static uint64_t age_s(const struct reply *r, uint64_t wall_ms)
{
	uint64_t age = seconds_of(value_of(&r->fields, SPAN("age"))), date;
	if (http_date_read(value_of(&r->fields, SPAN("date")), &date) && wall_ms / 1000 > date && wall_ms / 1000 - date > age)
		age = wall_ms / 1000 - date;
	return age;
}

bool cache_terms_of(const struct reply *r, bool personal, const struct cache_wishes *w, uint64_t wall_ms, struct cache_terms *t)
{
	struct directives d = directives_of(&r->fields);
	uint64_t fresh = freshness_s(r, &d, wall_ms);
	bool said = fresh != UINT64_MAX, strict = d.must_revalidate || d.s_maxage != UINT64_MAX;

	if (r->status < 200 || r->status >= 500 || r->status == 206 || r->status == 304)
		return false;
	if (r->status == 401 || r->status == 403 || r->status == 407)
		return false;
	if (!is_kept(r, &d, personal) || (!said && !is_kept_by_default(r->status)))
		return false;
	*t = (struct cache_terms){ .age_us = age_s(r, wall_ms) * SECOND_US, .for_all = d.is_public || d.s_maxage != UINT64_MAX };
	uint64_t whole = said ? fresh * SECOND_US : t->age_us + w->ttl_us;
	t->fresh_us = whole > t->age_us ? whole - t->age_us : 0;
	t->revalidate_us = d.revalidate != UINT64_MAX ? d.revalidate * SECOND_US : strict ? 0 : w->stale_while_revalidate_us;
	t->error_us = d.error != UINT64_MAX ? d.error * SECOND_US : strict ? 0 : w->stale_if_error_us;
	if (d.must_revalidate)
		t->revalidate_us = t->error_us = 0;
	return t->fresh_us + t->revalidate_us + t->error_us > 0;
}

bool cache_demand_of(const struct request *r, struct cache_demand *out)
{
	struct directives d = directives_of(&r->fields);
	bool pragma = !fields_have(&r->fields, FIELD_CACHE_CONTROL) && span_eq_nocase(value_of(&r->fields, SPAN("pragma")), SPAN("no-cache"));
	if ((r->method != METHOD_GET && r->method != METHOD_HEAD) || r->framing != BODY_NONE || r->upgrade.len)
		return false;
	if (fields_have(&r->fields, FIELD_RANGE))
		return false;
	*out = (struct cache_demand){
		.no_store = d.no_store,
		.personal = fields_have(&r->fields, FIELD_AUTHORIZATION) || fields_have(&r->fields, FIELD_COOKIE),
		.no_cache = d.no_cache || pragma,
		.max_age_us = d.max_age == UINT64_MAX ? UINT64_MAX : d.max_age * SECOND_US,
	};
	return true;
}

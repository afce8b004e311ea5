/* forward.c - what changes between the client's message and the upstream's, and back (RFC 9110 §7.6; interface §4).
 *
 * Invariants: nothing hop-by-hop passes, however it is named; what an untrusted client says about who it is (X-Forwarded-*,
 * Forwarded, X-Outrigger-Attempt) does not pass; `in` is not changed; what the operator sets or removes comes last and wins,
 * except over framing and hop-by-hop fields, which belong to the writer.
 */
#include "http/forward.h"

#include "fields_put.h"

#define BIT(word) (UINT64_C(1) << FIELD_##word)
#define X(word, name, hop) | (hop ? BIT(word) : 0)
static const uint64_t hop_by_hop = 0 FIELD_NAMES(X);
#undef X
static const uint64_t framing_fields = BIT(HOST) | BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING);
static const uint64_t deadline_fields = BIT(GRPC_TIMEOUT) | BIT(X_REQUEST_TIMEOUT_MS) | BIT(X_ENVOY_TIMEOUT_MS);
static const uint64_t claimed_fields = BIT(FORWARDED) | BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_PROTO) | BIT(X_FORWARDED_HOST) |
	BIT(X_FORWARDED_PORT) | BIT(X_OUTRIGGER_ATTEMPT);

enum { OWN_FIELDS = 16 };                 /* at most that many are added besides those that the operator sets */

/* Room for the computed values of one request: traceparent, port, attempt, timeout, grpc-timeout. */
struct scratch { char trace[55], port[20], attempt[20], timeout[20], grpc[21], via[16 + INSTANCE_ID + 2]; };

static bool is_close_option(struct span option)
{
	return option.len == 5 && span_eq_nocase(option, SPAN("close"));
}

/* The ids that Connection names, as bits; *others when it names fields without an id. */
static uint64_t named_by_connection(const struct fields *fields, bool *others)
{
	uint64_t named = 0;
	struct span rest, option;

	*others = false;
	if (!fields_have(fields, FIELD_CONNECTION))
		return 0;
	for (unsigned i = 0; i < fields->count; i++) {
		if (fields->at[i].id != FIELD_CONNECTION)
			continue;
		for (rest = fields->at[i].value; span_next(&rest, ',', &option);) {
			enum field_id id = field_id_of(option);

			named |= UINT64_C(1) << id;
			*others = *others || (id == FIELD_OTHER && !is_close_option(option));
		}
	}
	return named & ~UINT64_C(1);
}

/* Drops from `fields` those without an id that a Connection field of `from` names. */
static void drop_named_others(struct fields *fields, const struct fields *from)
{
	struct span rest, option;

	for (unsigned i = 0; i < from->count; i++) {
		if (from->at[i].id != FIELD_CONNECTION)
			continue;
		for (rest = from->at[i].value; span_next(&rest, ',', &option);)
			if (option.len && field_id_of(option) == FIELD_OTHER && !is_close_option(option))
				fields_drop_name(fields, option);
	}
}

static void copy_fields(struct fields *to, const struct fields *from, uint64_t drop)
{
	for (unsigned i = 0; i < from->count; i++)
		if (!(drop >> from->at[i].id & 1))
			(void)fields_put(to, from->at[i]);   /* `to` was made large enough */
}

/* remove, then set; on framing and hop-by-hop fields the operator's wish has no meaning and is ignored. */
static bool edit_fields(struct fields *f, const struct fields *set, const struct span *remove, unsigned remove_count)
{
	for (unsigned i = 0; i < remove_count; i++)
		fields_drop_name(f, remove[i]);
	for (unsigned i = 0; set && i < set->count; i++) {
		if ((hop_by_hop | framing_fields) >> set->at[i].id & 1)
			continue;
		fields_drop_name(f, set->at[i].name);
		if (!fields_put(f, set->at[i]))
			return false;
	}
	return true;
}

/* All values of `in` with this id and then ours, as one list. */
static bool append_to_list(struct fields *out, const struct fields *in, enum field_id id, struct span ours, struct arena *arena)
{
	size_t len = ours.len;
	char *list, *to;

	for (unsigned i = 0; i < in->count; i++)
		if (in->at[i].id == id)
			len += in->at[i].value.len + 2;
	list = to = arena_text(arena, len);
	if (!list)
		return false;
	for (unsigned i = 0; i < in->count; i++) {
		if (in->at[i].id != id || in->at[i].value.len == 0)
			continue;
		memcpy(to, in->at[i].value.at, in->at[i].value.len);
		to += in->at[i].value.len;
		memcpy(to, ", ", 2);
		to += 2;
	}
	memcpy(to, ours.at, ours.len);
	return fields_add_id(out, id, span_between(list, to + ours.len));
}

static bool add_forwarded(struct request *out, const struct request *in, const struct forward_facts *facts,
	struct scratch *scratch, struct arena *arena)
{
	const struct { enum field_id id; struct span ours; } claims[] = {
		{ FIELD_X_FORWARDED_FOR, facts->client_address },
		{ FIELD_X_FORWARDED_PROTO, facts->scheme },
		{ FIELD_X_FORWARDED_HOST, in->authority },
		{ FIELD_X_FORWARDED_PORT, { scratch->port, facts->port ? u64_to_text(facts->port, scratch->port) : 0 } },
	};

	for (unsigned i = 0; i < sizeof claims / sizeof *claims; i++) {
		if (facts->client_trusted && fields_have(&in->fields, claims[i].id)) {
			if (claims[i].ours.len == 0)
				copy_fields(&out->fields, &in->fields, ~(UINT64_C(1) << claims[i].id));
			else if (!append_to_list(&out->fields, &in->fields, claims[i].id, claims[i].ours, arena))
				return false;
		} else if (claims[i].ours.len && !fields_add_id(&out->fields, claims[i].id, claims[i].ours)) {
			return false;
		}
	}
	return true;
}

static struct span write_traceparent(struct scratch *s, const struct trace *t, unsigned attempt)
{
	char *to = s->trace;

	memcpy(to, "00-", 3);
	memcpy(to + 3, t->trace_id, 32);
	to[35] = '-';
	trace_try_id(t, attempt, to + 36);
	memcpy(to + 52, t->sampled ? "-01" : "-00", 3);
	return (struct span){ to, 55 };
}

/* At most 8 digits and a unit (gRPC over HTTP/2, "Timeout"). */
static struct span write_grpc_timeout(char *to, uint64_t ms)
{
	bool seconds = ms > 99999999;
	uint64_t value = seconds ? ms / 1000 : ms;
	size_t n = u64_to_text(value < 99999999 ? value : 99999999, to);

	to[n] = seconds ? 'S' : 'm';
	return (struct span){ to, n + 1 };
}

static bool is_grpc(const struct request *r)
{
	return fields_have(&r->fields, FIELD_GRPC_TIMEOUT) ||
		span_starts_nocase(fields_value(&r->fields, FIELD_CONTENT_TYPE), SPAN("application/grpc"));
}

static bool add_deadline(struct request *out, const struct request *in, const struct forward_facts *facts,
	struct scratch *scratch)
{
	struct span ms = { scratch->timeout, 0 };

	if (facts->timeout_field == FIELD_OTHER)
		return true;
	if ((facts->timeout_field == FIELD_GRPC_TIMEOUT || is_grpc(in)) &&
	    !fields_add_id(&out->fields, FIELD_GRPC_TIMEOUT, write_grpc_timeout(scratch->grpc, facts->timeout_ms)))
		return false;
	ms.len = u64_to_text(facts->timeout_ms, scratch->timeout);
	return facts->timeout_field == FIELD_GRPC_TIMEOUT || fields_add_id(&out->fields, facts->timeout_field, ms);
}

static struct span write_via(char *to, unsigned minor, struct span instance)
{
	memcpy(to, minor == 0 ? "1.0 outrigger" : "1.1 outrigger", 13);
	if (instance.len == 0 || instance.len > INSTANCE_ID)
		return (struct span){ to, 13 };
	memcpy(to + 13, " (", 2);
	memcpy(to + 15, instance.at, instance.len);
	to[15 + instance.len] = ')';
	return (struct span){ to, 16 + instance.len };
}

static bool add_own(struct request *out, const struct request *in, const struct forward_facts *facts, struct scratch *scratch)
{
	struct fields *f = &out->fields;
	const struct trace *t = facts->trace;
	struct span te = fields_value(&in->fields, FIELD_TE);

	if (te.len && span_lists(te, SPAN("trailers")) && !fields_add_id(f, FIELD_TE, SPAN("trailers")))
		return false;
	if (facts->attempt > 1) {
		struct span attempt = { scratch->attempt, u64_to_text(facts->attempt, scratch->attempt) };

		if (!fields_add_id(f, FIELD_X_OUTRIGGER_ATTEMPT, attempt))
			return false;
	}
	return fields_add_id(f, FIELD_VIA, write_via(scratch->via, in->minor, facts->instance)) &&
		fields_add_id(f, FIELD_X_REQUEST_ID, (struct span){ t->request_id, t->request_id_len }) &&
		fields_add_id(f, FIELD_TRACEPARENT, write_traceparent(scratch, t, facts->attempt)) &&
		add_deadline(out, in, facts, scratch);
}

/* Which fields of `in` do not go on as they are. */
static uint64_t dropped_fields(const struct forward_facts *facts)
{
	uint64_t drop = hop_by_hop | framing_fields | BIT(X_REQUEST_ID) | BIT(TRACEPARENT);

	if (!facts->client_trusted)
		drop |= claimed_fields;
	else
		drop |= claimed_fields & ~BIT(FORWARDED) & ~(facts->attempt > 1 ? 0 : BIT(X_OUTRIGGER_ATTEMPT));
	if (!facts->trace->continued)
		drop |= BIT(TRACESTATE);
	if (facts->timeout_field != FIELD_OTHER)
		drop |= deadline_fields;
	if (facts->attempt > 1)
		drop |= BIT(EXPECT);
	return drop;
}

bool forward_request(struct request *out, const struct request *in, const struct forward_facts *facts, struct arena *arena)
{
	bool others;
	uint64_t named = named_by_connection(&in->fields, &others);
	struct scratch *scratch = (struct scratch *)(void *)arena_text(arena, sizeof *scratch);
	const struct field *host;

	*out = *in;
	out->target = facts->target;
	out->authority = facts->authority;
	if (!scratch || !fields_init(&out->fields, arena, in->fields.count + OWN_FIELDS + (facts->own ? facts->own->count : 0)
			+ (facts->set ? facts->set->count : 0)))
		return false;
	copy_fields(&out->fields, &in->fields, dropped_fields(facts) | named);
	if (others)
		drop_named_others(&out->fields, &in->fields);
	if (!add_forwarded(out, in, facts, scratch, arena) || !add_own(out, in, facts, scratch)
			|| !edit_fields(&out->fields, facts->own, NULL, 0))
		return false;
	out->expect_continue = in->expect_continue && fields_have(&out->fields, FIELD_EXPECT);
	host = facts->set ? fields_find(facts->set, FIELD_HOST) : NULL;
	if (host)
		out->authority = host->value;
	return edit_fields(&out->fields, facts->set, facts->remove, facts->remove_count);
}

/* "1.1 name (comment)": the name. */
static struct span received_by(struct span element)
{
	size_t i = 0, from;

	while (i < element.len && element.at[i] != ' ' && element.at[i] != '\t')
		i++;
	while (i < element.len && (element.at[i] == ' ' || element.at[i] == '\t'))
		i++;
	for (from = i; i < element.len && element.at[i] != ' ' && element.at[i] != '\t' && element.at[i] != '('; i++)
		;
	return (struct span){ element.at + from, i - from };
}

/* ... and the comment, without its parentheses. */
static struct span comment_of(struct span element)
{
	const char *open = element.len ? memchr(element.at, '(', element.len) : NULL;
	const char *close = open ? memchr(open, ')', (size_t)(span_end(element) - open)) : NULL;

	return close ? span_trim(span_between(open + 1, close)) : SPAN_NONE;
}

bool forward_is_loop(const struct request *r, struct span instance)
{
	struct span rest, element;
	unsigned hops = 0;

	if (!fields_have(&r->fields, FIELD_VIA))
		return false;
	for (unsigned i = 0; i < r->fields.count; i++) {
		if (r->fields.at[i].id != FIELD_VIA)
			continue;
		for (rest = r->fields.at[i].value; span_next(&rest, ',', &element);) {
			if (!span_eq_nocase(received_by(element), SPAN("outrigger")))
				continue;
			if (++hops > VIA_HOPS_MAX || (instance.len && span_eq(comment_of(element), instance)))
				return true;
		}
	}
	return false;
}

/* The list again, with room for `more`. */
static bool make_room(struct fields *f, unsigned more, struct arena *arena)
{
	struct fields larger;

	if (f->size - f->count >= more)
		return true;
	if (!fields_init(&larger, arena, f->count + more))
		return false;
	copy_fields(&larger, f, 0);
	*f = larger;
	return true;
}

bool forward_reply(struct reply *r, const struct trace *t, const struct fields *set, const struct span *remove,
	unsigned remove_count, struct arena *arena)
{
	struct fields *f = &r->fields, before = *f;
	bool others;
	uint64_t drop = named_by_connection(f, &others) | hop_by_hop | framing_fields | BIT(X_REQUEST_ID);
	unsigned kept = 0;

	if (r->status == 101)                 /* which protocol it is now; the writer adds Connection: upgrade */
		drop &= ~BIT(UPGRADE);
	if (others) {                         /* needs the Connection fields: before they are gone */
		struct fields copy;

		if (!fields_init(&copy, arena, f->count + 1 + (set ? set->count : 0)))
			return false;
		copy_fields(&copy, &before, 0);
		*f = copy;
		drop_named_others(f, &before);
	}
	for (unsigned i = 0; i < f->count; i++)
		if (!(drop >> f->at[i].id & 1))
			f->at[kept++] = f->at[i];
	f->count = kept;
	f->present &= ~drop;
	return make_room(f, 1 + (set ? set->count : 0), arena) &&
		fields_add_id(f, FIELD_X_REQUEST_ID, (struct span){ t->request_id, t->request_id_len }) &&
		edit_fields(f, set, remove, remove_count);
}

/* gRPC: at most 8 digits and one of H M S m u n. */
static bool read_grpc_timeout(struct span value, uint64_t *us)
{
	uint64_t number;

	if (value.len < 2 || value.len > 9 || !span_to_u64(span_first(value, value.len - 1), 99999999, &number))
		return false;
	switch (value.at[value.len - 1]) {
	case 'H': *us = number * 3600 * 1000000; return true;
	case 'M': *us = number * 60 * 1000000;   return true;
	case 'S': *us = number * 1000000;        return true;
	case 'm': *us = number * 1000;           return true;
	case 'u': *us = number;                  return true;
	case 'n': *us = (number + 999) / 1000;   return true;
	default:  return false;
	}
}

bool forward_read_timeout(enum field_id id, struct span value, uint64_t *us)
{
	uint64_t ms;

	if (id == FIELD_GRPC_TIMEOUT)
		return read_grpc_timeout(value, us);
	if (!span_to_u64(value, UINT64_MAX / 1000, &ms))
		return false;
	*us = ms * 1000;
	return true;
}

bool forward_add(struct fields *f, const struct fields *more, struct arena *arena)
{
	if (more->count && !make_room(f, more->count, arena))
		return false;
	for (unsigned i = 0; i < more->count; i++)
		if (!fields_add(f, more->at[i].name, more->at[i].value))
			return false;
	return true;
}

/* vary.c - see vary.h. */
#include "vary.h"

#define BIT(word) (UINT64_C(1) << FIELD_##word)
/* Made anew for each try, or taken out of what is sent in the name of several: no two requests are equal in these, or all are. */
static const uint64_t not_comparable = BIT(X_REQUEST_ID) | BIT(TRACEPARENT) | BIT(TRACESTATE) | BIT(X_OUTRIGGER_ATTEMPT) | BIT(GRPC_TIMEOUT)
	| BIT(X_REQUEST_TIMEOUT_MS) | BIT(X_ENVOY_TIMEOUT_MS) | BIT(VIA) | BIT(EXPECT) | BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(TRAILER);
/* What an untrusted client says of these does not reach the app. */
static const uint64_t claims_of_origin = BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_PROTO) | BIT(X_FORWARDED_HOST) | BIT(X_FORWARDED_PORT)
	| BIT(FORWARDED);

/* ── names ── */

static bool is_comparable(struct span name)
{
	enum field_id id = field_id_of(name);
	return field_name_is_token(name) && !span_eq(name, SPAN("*")) && !span_starts_nocase(name, SPAN("if-")) && !(not_comparable >> id & 1)
		&& !field_id_is_hop_by_hop(id);
}

/* In coalesce.key `method` and `target` are no fields. */
static bool is_in_key(const struct conf_texts *key, struct span name)
{
	if (span_eq_nocase(name, SPAN("method")) || span_eq_nocase(name, SPAN("target")))
		return false;
	for (unsigned i = 0; key && i < key->count; i++)
		if (span_eq_nocase(key->at[i], name))
			return true;
	return false;
}

static unsigned count_of(struct span names)
{
	unsigned n = 0;
	for (size_t i = 0; i < names.len; i++)
		n += names.at[i] == ',';
	return n;
}

static bool add_name(struct text *names, struct span name, const struct conf_texts *key)
{
	if (!is_comparable(name))
		return false;
	if (is_in_key(key, name) || span_lists(text_span(names), name))
		return true;
	for (size_t i = 0; i < name.len; i++)
		text_char(names, char_lower(name.at[i]));
	text_char(names, ',');
	return !names->cut && count_of(text_span(names)) <= VARY_NAMES;
}

bool vary_names_add(struct text *names, const struct reply *reply, const struct conf_texts *key)
{
	const struct fields *f = &reply->fields;
	for (unsigned i = 0; fields_have(f, FIELD_VARY) && i < f->count; i++) {
		struct span rest = f->at[i].value, name;
		if (f->at[i].id != FIELD_VARY)
			continue;
		while (span_next(&rest, ',', &name))
			if (name.len && !add_name(names, name, key))
				return false;
	}
	return true;
}

/* ── values ── */

/* What the app is told of where the request came from, whatever the client says. */
static void add_origin(struct text *out, enum field_id id, const struct exchange *ex)
{
	switch (id) {
	case FIELD_HOST:
	case FIELD_X_FORWARDED_HOST:  text_add(out, ex->request.authority); break;
	case FIELD_X_FORWARDED_FOR:   text_add(out, ex->client_address); break;
	case FIELD_X_FORWARDED_PROTO: text_add(out, ex->scheme); break;
	case FIELD_X_FORWARDED_PORT:  text_u64(out, ex->listener_port); break;
	default: return;
	}
	text_char(out, ',');
}

/* The client's Connection field takes others of its own along. */
static bool is_taken_out(const struct fields *f, struct span name)
{
	for (unsigned i = 0; fields_have(f, FIELD_CONNECTION) && i < f->count; i++)
		if (f->at[i].id == FIELD_CONNECTION && span_lists(f->at[i].value, name))
			return true;
	return false;
}

static void add_from(struct text *out, const struct fields *f, struct span name)
{
	for (unsigned i = 0; i < f->count; i++)
		if (span_eq_nocase(f->at[i].name, name)) {
			text_add(out, f->at[i].value);
			text_char(out, ',');
		}
}

void vary_add_values(struct text *out, struct span name, const struct exchange *ex)
{
	enum field_id id = field_id_of(name);
	bool claimed = claims_of_origin >> id & 1;
	add_origin(out, id, ex);
	if ((!claimed || ex->client_trusted) && !is_taken_out(&ex->request.fields, name))
		add_from(out, &ex->request.fields, name);
	add_from(out, &ex->own, name);
}

void vary_add(struct text *out, struct span names, const struct exchange *ex)
{
	struct span name;
	while (span_next(&names, ',', &name)) {
		if (!name.len)
			continue;
		text_add(out, name);
		text_char(out, '=');
		vary_add_values(out, name, ex);
		text_char(out, '\n');
	}
}

/* h1_rules.c - what a parsed head means: target forms, Host, framing, connection options (RFC 9112 §3, §6, §9; behaviour §6).
 *
 * Invariants: framing is decided by exactly one of Content-Length and Transfer-Encoding, or by neither, never by a choice
 * between two; the authority of an absolute target wins over Host; an upgrade is asked for only by the one shape that
 * can be answered with 101.
 */
#include "h1_guard.h"

#include "bytes.h"

/* A tab between the value and the line's end. Legal, but llhttp 8.1.0 reads no further than blanks. */
static bool tab_behind(struct span value)
{
	const char *p = span_end(value);

	while (*p == ' ')
		p++;
	return *p == '\t';
}

/* Content-Length: one field, digits only, below 2^63. */
static bool read_length(const struct h1_framing_fields *f, uint64_t *length)
{
	return f->lengths == 1 && f->length.len <= 19 && span_to_u64(f->length, INT64_MAX, length) && !tab_behind(f->length);
}

/* The faults that requests and replies share. *chunked and *has_length are never both true. */
static enum h1_fault read_framing(const struct h1_framing_fields *f, unsigned minor, bool *chunked, bool *has_length,
	uint64_t *length)
{
	*chunked = *has_length = false;
	*length = 0;
	if (f->codings && f->lengths)
		return H1_FAULT_BOTH_FRAMINGS;
	if (f->codings) {
		*chunked = f->codings == 1 && minor == 1 && span_eq_nocase(f->coding, SPAN("chunked")) && !tab_behind(f->coding);
		return *chunked ? H1_FAULT_NONE : H1_FAULT_TRANSFER_ENCODING;
	}
	*has_length = f->lengths && read_length(f, length);
	return *has_length || !f->lengths ? H1_FAULT_NONE : H1_FAULT_CONTENT_LENGTH;
}

struct connection { unsigned options; bool close, keep_alive, upgrade; };

/* Those that have a field of their own by their ids, which is quick. */
static inline void read_option(struct connection *c, struct span option)
{
	c->options++;
	if (option.len == 5)
		c->close |= span_eq_nocase(option, SPAN("close"));
	else if (option.len == 10)
		c->keep_alive |= field_id_of(option) == FIELD_KEEP_ALIVE;
	else if (option.len == 7)
		c->upgrade |= field_id_of(option) == FIELD_UPGRADE;
}

static struct connection read_connection(const struct fields *fields)
{
	struct connection c = { 0 };
	struct span rest, option;

	if (!fields_have(fields, FIELD_CONNECTION))
		return c;
	for (unsigned i = 0; i < fields->count; i++) {
		if (fields->at[i].id != FIELD_CONNECTION)
			continue;
		rest = fields->at[i].value;
		if (rest.len <= 10 && !span_has(rest, ','))
			read_option(&c, rest);        /* as nearly always: one */
		else
			while (span_next(&rest, ',', &option))
				read_option(&c, option);
	}
	return c;
}

static bool keeps_alive(const struct connection *c, unsigned minor)
{
	return !c->close && (minor == 1 || c->keep_alive);
}

/* Exactly one Upgrade field; more would be a choice that two readers may make differently. */
static struct span only_upgrade(const struct fields *fields)
{
	const struct field *first = fields_find(fields, FIELD_UPGRADE);

	for (const struct field *f = first; f && ++f < fields->at + fields->count;)
		if (f->id == FIELD_UPGRADE)
			return SPAN_NONE;
	return first ? first->value : SPAN_NONE;
}

/* http://authority/path?query to its two parts. The path may be empty: then '/' stands for it, or '*' in OPTIONS. */
static enum h1_fault split_absolute(struct request *r, struct arena *arena)
{
	struct span rest, host, port;
	const char *slash;
	char *origin;

	if (span_starts_nocase(r->target, SPAN("http://")))
		rest = span_from(r->target, 7);
	else if (span_starts_nocase(r->target, SPAN("https://")))
		rest = span_from(r->target, 8);
	else
		return H1_FAULT_TARGET;
	for (slash = rest.at; slash < span_end(rest) && *slash != '/' && *slash != '?'; slash++)
		;
	r->authority = span_between(rest.at, slash);
	if (!authority_split(r->authority, &host, &port))
		return H1_FAULT_TARGET;
	r->target = span_between(slash, span_end(rest));
	if (r->target.len && r->target.at[0] == '/')
		return H1_FAULT_NONE;
	if (r->target.len == 0) {
		r->target = r->method == METHOD_OPTIONS ? SPAN("*") : SPAN("/");
		return H1_FAULT_NONE;
	}
	origin = arena_text(arena, r->target.len + 1);
	if (!origin)
		return H1_FAULT_NO_MEMORY;
	origin[0] = '/';
	memcpy(origin + 1, r->target.at, r->target.len);
	r->target = (struct span){ origin, r->target.len + 1 };
	return H1_FAULT_NONE;
}

static enum h1_fault read_target(struct request *r, struct arena *arena)
{
	bool star = span_eq(r->target, SPAN("*"));

	if (star && r->method != METHOD_OPTIONS)
		return H1_FAULT_TARGET;
	if (!star && r->target.at[0] != '/') {
		enum h1_fault fault = split_absolute(r, arena);

		if (fault)
			return fault;
	}
	return request_normalise_path(r, arena) ? H1_FAULT_NONE : H1_FAULT_TARGET;
}

/* Must be there in HTTP/1.1, at most once in any, and an authority. Not the winner when the target has one. */
static enum h1_fault read_host(struct request *r, const struct h1_framing_fields *f)
{
	struct span host, port;

	if (f->hosts == 0)
		return r->minor == 0 ? H1_FAULT_NONE : H1_FAULT_HOST;
	if (f->hosts > 1 || !authority_split(f->host, &host, &port))
		return H1_FAULT_HOST;
	if (r->authority.len == 0)
		r->authority = f->host;
	return H1_FAULT_NONE;
}

/* A websocket's opening, or that of another protocol: everything else goes on as if nothing had been asked (RFC 9110 §7.8). */
static void read_upgrade(struct request *r, const struct connection *c)
{
	struct span token;

	if (!c->upgrade || r->method != METHOD_GET || r->minor != 1 || r->framing != BODY_NONE)
		return;
	token = only_upgrade(&r->fields);
	for (size_t i = 0; i < token.len; i++)        /* protocol-name ["/" protocol-version]; a list has a comma */
		if (!byte_is(token.at[i], BYTE_TOKEN) && token.at[i] != '/')
			return;
	if (!span_starts_nocase(token, SPAN("h2c")))
		r->upgrade = token;
}

enum h1_fault h1_rules_request(struct request *r, const struct h1_framing_fields *f, const struct h1_limits *limits,
	struct arena *arena)
{
	bool chunked, has_length;
	struct connection connection;
	enum h1_fault fault = read_target(r, arena);

	if (!fault)
		fault = read_host(r, f);
	if (!fault)
		fault = read_framing(f, r->minor, &chunked, &has_length, &r->content_length);
	if (fault)
		return fault;
	r->framing = chunked ? BODY_STREAM : has_length ? BODY_LENGTH : BODY_NONE;
	connection = read_connection(&r->fields);
	if (connection.options > limits->max_fields)  /* they name fields: more names than fields are an attack on our time */
		return H1_FAULT_TOO_MANY_FIELDS;
	r->keep_alive = keeps_alive(&connection, r->minor);
	r->expect_continue = r->minor == 1 && fields_have(&r->fields, FIELD_EXPECT) &&
		span_eq_nocase(fields_value(&r->fields, FIELD_EXPECT), SPAN("100-continue"));
	read_upgrade(r, &connection);
	return H1_FAULT_NONE;
}

enum h1_fault h1_rules_reply(struct reply *r, const struct h1_framing_fields *f, enum method asked, bool asked_upgrade)
{
	struct connection connection = read_connection(&r->fields);
	enum h1_fault fault = read_framing(f, r->minor, &r->chunked, &r->has_length, &r->content_length);

	if (fault)
		return fault;
	if (r->status == 101 && (!asked_upgrade || !connection.upgrade || only_upgrade(&r->fields).len == 0))
		return H1_FAULT_UNEXPECTED_UPGRADE;
	r->keep_alive = keeps_alive(&connection, r->minor);
	if (reply_has_no_body(asked, r->status)) {
		r->framing = BODY_NONE;
		r->chunked = false;
	} else if (r->has_length) {
		r->framing = BODY_LENGTH;
	} else {
		r->framing = BODY_STREAM;
		r->keep_alive = r->keep_alive && r->chunked;
	}
	return H1_FAULT_NONE;
}

/* oracle.h - a second HTTP/1 parser, only for judging what outrigger would send (design §12).
 *
 * Shares nothing with src/http and is as strict as RFC 9112 allows a parser to be: one message, wholly there, nothing
 * behind it, every line ended by CR LF, one way to frame a body. It is slow and simple on purpose. Each refusal is an abort
 * with a word of why: outrigger must never send such bytes.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORACLE(claim) ((claim) ? (void)0 : oracle_refuses(#claim, __LINE__))

static inline _Noreturn void oracle_refuses(const char *claim, int line)
{
	fprintf(stderr, "oracle.h:%d: not so: %s\n", line, claim);
	abort();
}

enum { ORACLE_FIELDS = 400 };
struct oracle_text { const unsigned char *at; size_t len; };
struct oracle_field { struct oracle_text name, value; };
struct oracle_message {
	struct oracle_text start[3];          /* the three parts of the first line */
	struct oracle_field fields[ORACLE_FIELDS];
	size_t count, trailers;               /* trailers: how many, behind the last chunk */
	unsigned char *body;                  /* malloc'ed */
	size_t body_len;
	int chunked, has_length, until_close;
	unsigned long long length;
};
struct oracle_cursor { const unsigned char *at, *end; };

static inline int oracle_is(struct oracle_text t, const char *s)
{
	size_t n = strlen(s);

	if (t.len != n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = t.at[i];

		if (c >= 'A' && c <= 'Z')
			c = (unsigned char)(c - 'A' + 'a');
		if (c != (unsigned char)s[i])
			return 0;
	}
	return 1;
}

/* Up to CR LF; a CR or LF anywhere else, a NUL or another control byte is a refusal. */
static inline struct oracle_text oracle_line(struct oracle_cursor *c)
{
	struct oracle_text line = { c->at, 0 };

	for (;;) {
		ORACLE(c->at < c->end);
		if (*c->at == '\r') {
			ORACLE(c->end - c->at >= 2 && c->at[1] == '\n');
			c->at += 2;
			return line;
		}
		ORACLE(*c->at == '\t' || (*c->at >= 0x20 && *c->at != 0x7f));
		c->at++;
		line.len++;
	}
}

static inline int oracle_name_byte(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static inline struct oracle_field oracle_field_of(struct oracle_text line)
{
	struct oracle_field f = { { line.at, 0 }, { line.at, line.len } };

	while (f.name.len < line.len && oracle_name_byte(line.at[f.name.len]))
		f.name.len++;
	ORACLE(f.name.len > 0 && f.name.len < line.len && line.at[f.name.len] == ':');
	f.value.at += f.name.len + 1;
	f.value.len -= f.name.len + 1;
	while (f.value.len && (*f.value.at == ' ' || *f.value.at == '\t'))
		f.value.at++, f.value.len--;
	while (f.value.len && (f.value.at[f.value.len - 1] == ' ' || f.value.at[f.value.len - 1] == '\t'))
		f.value.len--;
	return f;
}

static inline const struct oracle_field *oracle_find(const struct oracle_message *m, const char *name)
{
	const struct oracle_field *found = NULL;

	for (size_t i = 0; i < m->count; i++)
		if (oracle_is(m->fields[i].name, name)) {
			ORACLE(!found);               /* asked only for fields that there may be one of */
			found = &m->fields[i];
		}
	return found;
}

static inline void oracle_head(struct oracle_cursor *c, struct oracle_message *m, int parts)
{
	struct oracle_text line = oracle_line(c);
	int part = 0;

	m->start[0].at = line.at;
	for (size_t i = 0; i < line.len; i++) {
		if (line.at[i] == ' ' && part < parts - 1)
			m->start[++part].at = line.at + i + 1;
		else
			m->start[part].len++;
	}
	ORACLE(part == parts - 1);
	for (line = oracle_line(c); line.len; line = oracle_line(c)) {
		ORACLE(m->count < ORACLE_FIELDS);
		m->fields[m->count++] = oracle_field_of(line);
	}
}

static inline unsigned long long oracle_number(struct oracle_text t, unsigned base)
{
	unsigned long long n = 0;

	ORACLE(t.len > 0 && t.len <= 19);
	for (size_t i = 0; i < t.len; i++) {
		const char *digits = "0123456789abcdef", *d = strchr(digits, t.at[i]);

		ORACLE(t.at[i] && d && (unsigned)(d - digits) < base);
		n = n * base + (unsigned)(d - digits);
	}
	return n;
}

static inline void oracle_take(struct oracle_cursor *c, struct oracle_message *m, unsigned long long n)
{
	ORACLE((unsigned long long)(c->end - c->at) >= n);
	m->body = realloc(m->body, m->body_len + n + 1);
	memcpy(m->body + m->body_len, c->at, n);
	m->body_len += n;
	c->at += n;
}

static inline void oracle_chunked(struct oracle_cursor *c, struct oracle_message *m)
{
	struct oracle_text line;
	unsigned long long size;

	while ((size = oracle_number(oracle_line(c), 16))) {
		oracle_take(c, m, size);
		ORACLE(oracle_line(c).len == 0);
	}
	for (line = oracle_line(c); line.len; line = oracle_line(c)) {
		struct oracle_field f = oracle_field_of(line);

		ORACLE(!oracle_is(f.name, "host") && !oracle_is(f.name, "content-length") && !oracle_is(f.name, "transfer-encoding"));
		m->trailers++;
	}
}

/* no_body: a reply's circumstances say that there is none. Ends the message: nothing may be left. */
static inline void oracle_body(struct oracle_cursor *c, struct oracle_message *m, int is_request, int no_body)
{
	const struct oracle_field *length = oracle_find(m, "content-length"), *coding = oracle_find(m, "transfer-encoding");

	ORACLE(!length || !coding);
	if (coding) {
		ORACLE(oracle_is(coding->value, "chunked"));
		m->chunked = 1;
	}
	if (length) {
		m->has_length = 1;
		m->length = oracle_number(length->value, 10);
	}
	if (no_body)
		;
	else if (m->chunked)
		oracle_chunked(c, m);
	else if (m->has_length)
		oracle_take(c, m, m->length);
	else if (!is_request) {
		m->until_close = 1;
		oracle_take(c, m, (unsigned long long)(c->end - c->at));
	}
	ORACLE(c->at == c->end);
}

/* What one proxy sends to the next hop must not hold these (RFC 9110 §7.6.1), but for those it made itself. */
static inline void oracle_no_hop_by_hop(const struct oracle_message *m, int upgrade)
{
	ORACLE(!oracle_find(m, "keep-alive") && !oracle_find(m, "proxy-connection") && !oracle_find(m, "http2-settings"));
	ORACLE(upgrade || !oracle_find(m, "upgrade"));
	(void)oracle_find(m, "connection");
}

static inline void oracle_request(struct oracle_message *m, const void *bytes, size_t len, int upgrade)
{
	struct oracle_cursor c = { bytes, (const unsigned char *)bytes + len };
	const struct oracle_field *host;

	memset(m, 0, sizeof *m);
	oracle_head(&c, m, 3);
	ORACLE(m->start[0].len > 0 && m->start[1].len > 0);
	for (size_t i = 0; i < m->start[0].len; i++)
		ORACLE(oracle_name_byte(m->start[0].at[i]));
	for (size_t i = 0; i < m->start[1].len; i++)
		ORACLE(m->start[1].at[i] > 0x20 && m->start[1].at[i] < 0x7f && m->start[1].at[i] != '#');
	ORACLE(m->start[1].at[0] == '/' || (m->start[1].len == 1 && m->start[1].at[0] == '*'));
	ORACLE(m->start[2].len == 8 && memcmp(m->start[2].at, "HTTP/1.1", 8) == 0);
	host = oracle_find(m, "host");
	ORACLE(host);
	for (size_t i = 0; i < host->value.len; i++)
		ORACLE(host->value.at[i] > 0x20 && host->value.at[i] < 0x7f && !strchr("/?#@,\\\"<>", host->value.at[i]));
	oracle_no_hop_by_hop(m, upgrade);
	oracle_body(&c, m, 1, 0);
}

static inline void oracle_reply(struct oracle_message *m, const void *bytes, size_t len, int to_head, int upgrade)
{
	struct oracle_cursor c = { bytes, (const unsigned char *)bytes + len };
	unsigned long long status;

	memset(m, 0, sizeof *m);
	oracle_head(&c, m, 3);
	ORACLE(m->start[0].len == 8 && memcmp(m->start[0].at, "HTTP/1.1", 8) == 0);
	ORACLE(m->start[1].len == 3);
	status = oracle_number(m->start[1], 10);
	ORACLE(status >= 100 && status <= 599);
	oracle_no_hop_by_hop(m, upgrade);
	oracle_body(&c, m, 0, to_head || status / 100 == 1 || status == 204 || status == 304);
	ORACLE(!(m->chunked || m->has_length) || (status / 100 != 1 && status != 204));
}

#endif

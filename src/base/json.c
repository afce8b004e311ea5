/* json.c - writes RFC 8259, one value after another.
 *
 * Always true: what was written so far is a prefix of valid JSON, as long as the caller closes what it opened, and the
 * text was not cut. An escape is written whole or not at all, so a cut string stays a prefix of a valid one.
 */
#include "base/json.h"

#include <math.h>

#include "base/must.h"

enum { DEPTH_MAX = 64 };                      /* nesting comes from our code, never from a peer */

void json_init(struct json *j, struct text *out)
{
	*j = (struct json){ .out = out };
}

/* One UTF-8 character at s.at (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF): its length, or 0. */
static size_t utf8_length(struct span s)
{
	const unsigned char *c = (const unsigned char *)s.at;
	size_t n = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : c[0] < 0xf5 ? 4 : 0;

	if (n > s.len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return n;
}

/* Control characters, C1 (which a terminal may obey) among them, and what JSON itself needs. */
static bool needs_escape(const char *at, size_t n)
{
	unsigned char c = (unsigned char)at[0];

	if (n == 1)
		return c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
	return n == 0 || (c == 0xc2 && (unsigned char)at[1] < 0xa0);
}

static void escape_one(struct text *out, const char *at, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	char six[6] = { '\\', 'u', '0', '0', 0, 0 };
	struct span escape = { six, sizeof(six) };
	size_t before = out->len;

	if (n == 0) {
		escape = SPAN("\xef\xbf\xbd");
	} else {
		unsigned char c = (unsigned char)at[n - 1];           /* of C1 the second byte is the code point */
		const char *known = n == 1 && c ? strchr(from, c) : NULL;
		six[4] = hex[c >> 4];
		six[5] = hex[c & 15];
		if (known) {
			six[1] = to[known - from];
			escape.len = 2;
		}
	}
	text_add(out, escape);
	if (out->cut)
		out->len = before;
}

void json_escape(struct text *out, struct span value)
{
	while (value.len && !out->cut) {
		size_t plain = 0, n = 0;
		while (plain < value.len) {
			n = utf8_length(span_from(value, plain));
			if (needs_escape(value.at + plain, n))
				break;
			plain += n;
		}
		text_add(out, span_first(value, plain));
		value = span_from(value, plain);
		if (value.len && !out->cut) {
			escape_one(out, value.at, n);
			value = span_from(value, n ? n : 1);
		}
	}
}

static void quoted(struct text *out, struct span value)
{
	text_char(out, '"');
	json_escape(out, value);
	text_char(out, '"');
}

static void begin(struct json *j, const char *key)
{
	if (j->need_comma)
		text_char(j->out, ',');
	j->need_comma = true;
	if (!key)
		return;
	quoted(j->out, span_of(key));
	text_char(j->out, ':');
}

void json_open(struct json *j, const char *key, char bracket)
{
	must(j->depth < DEPTH_MAX);
	begin(j, key);
	text_char(j->out, bracket);
	j->depth++;
	j->need_comma = false;
}

void json_close(struct json *j, char bracket)
{
	must(j->depth > 0);
	text_char(j->out, bracket);
	j->depth--;
	j->need_comma = true;
}

void json_raw(struct json *j, const char *key, struct span json)
{
	begin(j, key);
	text_add(j->out, json);
}

void json_span(struct json *j, const char *key, struct span value)
{
	begin(j, key);
	quoted(j->out, value);
}

void json_text(struct json *j, const char *key, const char *value)
{
	if (value) {
		json_span(j, key, span_of(value));
		return;
	}
	begin(j, key);
	text_add(j->out, SPAN("null"));
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	begin(j, key);
	text_u64(j->out, value);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
	begin(j, key);
	if (value < 0)
		text_char(j->out, '-');
	text_u64(j->out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_fixed(struct json *j, const char *key, double value, int decimals)
{
	begin(j, key);
	if (isfinite(value))
		text_f(j->out, "%.*f", decimals, value);      /* the process never sets a locale: the point is a point */
	else
		text_add(j->out, SPAN("null"));
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	text_add(j->out, value ? SPAN("true") : SPAN("false"));
}

/* raw_cases.h - reads the files of tests/raw and plays a case through an h1_reader, cut into pieces in any way.
 *
 * raw_play() writes all that the reader said into one text; two ways of cutting the same bytes must give the same text.
 */
#ifndef RAW_CASES_H
#define RAW_CASES_H

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "http/h1_read.h"

enum { RAW_MAX = 600, RAW_BYTES = 128 * 1024 };

struct raw_case {
	struct span name, outcome, status, facts;     /* in the file's text */
	char       *bytes;
	size_t      len;
};
struct raw_file { char *text; struct raw_case at[RAW_MAX]; unsigned count; };

static const struct h1_limits raw_limits = { .max_header_bytes = 32 * 1024, .max_fields = 100, .max_target_bytes = 8 * 1024 };

/* One escape or byte of *s, moved on. */
static char raw_byte(struct span *s)
{
	char c = s->at[0];
	uint64_t value = 0;

	*s = span_from(*s, 1);
	if (c != '\\' || s->len == 0)
		return c;
	c = s->at[0];
	*s = span_from(*s, 1);
	switch (c) {
	case 'r': return '\r';
	case 'n': return '\n';
	case 't': return '\t';
	case 's': return ' ';
	case 'x':
		if (s->len >= 2 && span_hex_to_u64(span_first(*s, 2), 255, &value))
			*s = span_from(*s, 2);
		return (char)value;
	default: return c;
	}
}

static size_t raw_unescape(char *to, size_t size, struct span s)
{
	size_t n = 0;

	while (s.len && n < size) {
		const char *star, *close;
		uint64_t times;

		if (s.at[0] == '{' && (close = memchr(s.at, '}', s.len)) && (star = memchr(s.at, '*', (size_t)(close - s.at))) &&
		    span_to_u64(span_between(s.at + 1, star), RAW_BYTES, &times)) {
			for (uint64_t i = 0; i < times; i++)
				for (struct span t = span_between(star + 1, close); t.len && n < size;)
					to[n++] = raw_byte(&t);
			s = span_between(close + 1, span_end(s));
			continue;
		}
		to[n++] = raw_byte(&s);
	}
	return n;
}

static void raw_header(struct raw_case *c, struct span line)
{
	*c = (struct raw_case){ .bytes = malloc(RAW_BYTES) };
	span_next(&line, '|', &c->name);
	span_next(&line, '|', &c->outcome);
	span_next(&line, '|', &c->status);
	if (line.at)
		c->facts = span_trim(line);
}

static inline bool raw_load(struct raw_file *file, const char *path)
{
	FILE *f = fopen(path, "rb");
	struct span rest, line;
	size_t len;

	*file = (struct raw_file){ .text = malloc(1 << 20) };
	if (!f || !file->text)
		return false;
	len = fread(file->text, 1, 1 << 20, f);
	fclose(f);
	for (rest = (struct span){ file->text, len }; span_next(&rest, '\n', &line);) {
		struct raw_case *c = file->count ? &file->at[file->count - 1] : NULL;

		if (span_starts(line, SPAN("== ")) && file->count < RAW_MAX)
			raw_header(&file->at[file->count++], span_from(line, 3));
		else if (c && line.len && line.at[0] != '#')
			c->len += raw_unescape(c->bytes + c->len, RAW_BYTES - c->len, line);
	}
	return file->count > 0;
}

static inline void raw_unload(struct raw_file *file)
{
	for (unsigned i = 0; i < file->count; i++)
		free(file->at[i].bytes);
	free(file->text);
}

/* The value of `key` in "a=b c=d", or SPAN_NONE. */
static struct span raw_fact(struct span facts, const char *key)
{
	struct span element;

	while (span_next(&facts, ' ', &element))
		if (span_starts(element, span_of(key)) && element.len > strlen(key) && element.at[strlen(key)] == '=')
			return span_from(element, strlen(key) + 1);
	return SPAN_NONE;
}

struct raw_play {
	struct h1_reader reader;
	struct chunk_pool pool;
	struct arena arena;
	struct request request;
	struct reply reply;
	bool requests, over, upgrade;
	struct text said, data;               /* everything; the body of the last message */
	unsigned messages, trailers;
};

static void raw_say_fields(struct text *t, const struct fields *f)
{
	for (unsigned i = 0; i < f->count; i++)
		text_f(t, SPAN_FMT ": " SPAN_FMT " (%d)\n", SPAN_ARG(f->at[i].name), SPAN_ARG(f->at[i].value), (int)f->at[i].id);
}

static void raw_say_head(struct raw_play *p)
{
	const struct request *q = &p->request;
	const struct reply *y = &p->reply;

	p->data.len = 0;
	if (p->requests) {
		text_f(&p->said, "%d " SPAN_FMT " " SPAN_FMT " (" SPAN_FMT " %d " SPAN_FMT " " SPAN_FMT ") at " SPAN_FMT, (int)q->method,
			SPAN_ARG(q->method_text), SPAN_ARG(q->target), SPAN_ARG(q->path), q->query.at != NULL, SPAN_ARG(q->query),
			SPAN_ARG(q->route_path), SPAN_ARG(q->authority));
		text_f(&p->said, " 1.%u body %d %llu alive %d expect %d upgrade " SPAN_FMT "\n", q->minor, (int)q->framing,
			(unsigned long long)q->content_length, q->keep_alive, q->expect_continue, SPAN_ARG(q->upgrade));
		raw_say_fields(&p->said, &q->fields);
	} else {
		text_f(&p->said, "%d " SPAN_FMT " 1.%u body %d %d %llu alive %d chunked %d\n", y->status, SPAN_ARG(y->phrase), y->minor,
			(int)y->framing, y->has_length, (unsigned long long)y->content_length, y->keep_alive, y->chunked);
		raw_say_fields(&p->said, &y->fields);
	}
}

static inline void raw_begin(struct raw_play *p, bool requests, const struct raw_case *c)
{
	struct span asked = raw_fact(c->facts, "asked");

	*p = (struct raw_play){ .requests = requests };
	chunk_pool_init(&p->pool);
	arena_init(&p->arena, NULL, 64 << 20);
	text_init(&p->said, 16 << 20);
	text_init(&p->data, 16 << 20);
	h1_reader_init(&p->reader, requests, &raw_limits, &p->pool);
	p->reader.arena = &p->arena;
	p->reader.request = &p->request;
	p->reader.reply = &p->reply;
	p->reader.asked = asked.at ? method_of(asked) : METHOD_GET;
	p->upgrade = !requests && span_eq(raw_fact(c->facts, "upgrade"), SPAN("1"));
	p->reader.asked_upgrade = p->upgrade;
}

static inline void raw_end(struct raw_play *p)
{
	h1_reader_fini(&p->reader);
	arena_fini(&p->arena);
	text_fini(&p->said);
	text_fini(&p->data);
	chunk_pool_fini(&p->pool);
}

static void raw_message_over(struct raw_play *p)
{
	text_add(&p->said, text_span(&p->data));
	text_f(&p->said, "\nend\n");
	raw_say_fields(&p->said, &p->reader.trailers);
	p->messages++;
	p->trailers = p->reader.trailers.count;
	if (p->requests || (p->reply.status / 100 == 1 && p->reply.status != 101))
		h1_reader_next(&p->reader);
	else
		p->over = true;
}

static void raw_fault(struct raw_play *p)
{
	text_add(&p->said, text_span(&p->data));
	text_f(&p->said, "\nfault: %s\n", h1_fault_text(p->reader.fault));
	p->over = true;
}

/* Feeds one piece; what is left of it when the play is over stays in *in. */
static inline void raw_feed(struct raw_play *p, struct span *in)
{
	struct span data;

	while (!p->over) {
		switch (h1_read(&p->reader, in, &data)) {
		case H1_MORE: return;
		case H1_HEAD: raw_say_head(p); break;
		case H1_DATA: text_add(&p->data, data); break;
		case H1_END:  raw_message_over(p); break;
		case H1_BAD:  raw_fault(p); break;
		}
	}
}

static inline void raw_close(struct raw_play *p)
{
	if (p->over)
		return;
	switch (h1_read_eof(&p->reader)) {
	case H1_END: raw_message_over(p); break;
	case H1_BAD: raw_fault(p); break;
	default:     break;
	}
	p->over = true;
}

#endif

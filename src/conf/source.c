/* source.c - the texts that were read, by lines. Line ends are those of YAML 1.1, so that lines are numbered as libyaml does. */
#include "load.h"

/* Bytes of the line end that begins at s, or 0. */
static size_t line_end(struct span s)
{
	if (s.at[0] == '\r')
		return s.len > 1 && s.at[1] == '\n' ? 2 : 1;
	if (s.at[0] == '\n')
		return 1;
	if (span_starts(s, SPAN("\xc2\x85")))
		return 2;
	return span_starts(s, SPAN("\xe2\x80\xa8")) || span_starts(s, SPAN("\xe2\x80\xa9")) ? 3 : 0;
}

static unsigned lines_find(struct span text, size_t *starts)
{
	unsigned count = 1;
	if (starts)
		starts[0] = 0;
	for (size_t at = 0; at < text.len;) {
		size_t end = line_end(span_from(text, at));
		at += end ? end : 1;
		if (!end)
			continue;
		if (starts)
			starts[count] = at;
		count++;
	}
	return count;
}

struct source_text *source_new(struct load *load, struct span name, struct span text, enum origin_via via)
{
	struct source_text *s = source_like(load, &(struct source_text){ .name = name, .via = via }, text);
	load->texts[via] = s;
	return s;
}

struct source_text *source_like(struct load *load, const struct source_text *of, struct span text)
{
	struct source_text *s = arena_take_zeroed(&load->scratch, sizeof(*s));
	if (!s)
		goto out_of_memory;
	if (span_starts(text, SPAN("\xef\xbb\xbf")))
		text = span_from(text, 3);                               /* a byte order mark is no column */
	*s = (struct source_text){ .name = of->name, .text = text, .via = of->via, .ascii = true };
	for (size_t i = 0; i < text.len && s->ascii; i++)
		s->ascii = !((unsigned char)text.at[i] & 0x80);
	s->line_count = lines_find(text, NULL);
	s->line_starts = arena_take(&load->scratch, s->line_count * sizeof(*s->line_starts));
	if (!s->line_starts)
		goto out_of_memory;
	lines_find(text, s->line_starts);
	return s;
out_of_memory:
	complain_memory(load);
	return NULL;
}

/* Bytes of the line end that s ends with. */
static size_t line_end_behind(struct span s)
{
	for (size_t n = s.len < 3 ? s.len : 3; n; n--)
		if (line_end(span_from(s, s.len - n)) == n)
			return n;
	return 0;
}

/* Called for every node: the cost must not depend on how long the line is. */
struct span source_line(const struct source_text *s, unsigned line)
{
	if (!line || line > s->line_count)
		return SPAN("");
	struct span rest = span_from(s->text, s->line_starts[line - 1]);
	if (line == s->line_count)
		return rest;
	rest.len = s->line_starts[line] - s->line_starts[line - 1];
	rest.len -= line_end_behind(rest);
	return rest;
}

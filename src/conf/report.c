/* report.c - complaints: collected during the loading, sorted by place, and written with caret lines or as JSON.
 *
 * The same words at the same place are said once. Text that came from the file is written without control characters, so
 * that a hostile file cannot talk to the terminal.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "load.h"

enum { MESSAGE_MAX = 400, LINE_SHOWN_MAX = 160 };

static struct span words_keep(struct load *load, const char *format, va_list args)
{
	char words[MESSAGE_MAX];
	int n = vsnprintf(words, sizeof(words), format, args);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof(words) ? (size_t)n : sizeof(words) - 1;
	return arena_copy(&load->scratch, (struct span){ words, len });
}

static bool said_before(const struct load *load, const struct complaint *c)
{
	for (unsigned i = 0; i < load->complaint_count; i++) {
		const struct complaint *o = &load->complaints[i];
		if (o->source == c->source && o->line == c->line && o->column == c->column && span_eq(o->message, c->message))
			return true;
	}
	return false;
}

static void keep(struct load *load, struct complaint c, const char *format, va_list args)
{
	load->last_kept = false;
	if (load->complaint_count < COMPLAINTS_MAX) {
		c.message = words_keep(load, format, args);
		if (said_before(load, &c))
			return;
		if (!load->complaints)
			load->complaints = arena_take(&load->scratch, COMPLAINTS_MAX * sizeof(*load->complaints));
		if (!load->complaints || !c.message.at) {
			complain_memory(load);
			return;
		}
		c.order = load->complaint_count;
		load->complaints[load->complaint_count++] = c;
		load->last_kept = true;
	}
	if (c.warning)
		load->warnings++;
	else
		load->errors++;
}

static unsigned characters(struct span s)
{
	unsigned n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.at[i] & 0xc0) != 0x80;
	return n;
}

static struct complaint complaint_at(const struct node *at, struct span part)
{
	if (!at)
		return (struct complaint){ .source = NULL };
	struct complaint c = { .source = at->source, .line = at->line, .column = at->column, .width = at->width };
	if (at->verbatim && part.at && part.at >= at->text.at && span_end(part) <= span_end(at->text)) {
		c.column = at->text_column + characters(span_between(at->text.at, part.at));
		c.width = part.len ? characters(part) : 1;
	}
	return c;
}

void complain(struct load *load, const struct node *at, struct span part, const char *message, ...)
{
	va_list args;
	va_start(args, message);
	keep(load, complaint_at(at, part), message, args);
	va_end(args);
}

void complain_warn(struct load *load, const struct node *at, const char *message, ...)
{
	va_list args;
	va_start(args, message);
	struct complaint c = complaint_at(at, SPAN_NONE);
	c.warning = true;
	keep(load, c, message, args);
	va_end(args);
}

void complain_place(struct load *load, const struct source_text *source, unsigned line, unsigned column, const char *message, ...)
{
	va_list args;
	va_start(args, message);
	keep(load, (struct complaint){ .source = source, .line = line, .column = column, .width = 1 }, message, args);
	va_end(args);
}

void complain_hint(struct load *load, const char *hint, ...)
{
	if (!load->last_kept)
		return;
	va_list args;
	va_start(args, hint);
	load->complaints[load->complaint_count - 1].hint = words_keep(load, hint, args);
	va_end(args);
}

void complain_memory(struct load *load)
{
	load->last_kept = false;
	if (!load->out_of_memory)
		load->errors++;
	load->out_of_memory = true;
}

/* ── writing ── */

static int by_place(const void *a, const void *b)
{
	const struct complaint *x = a, *y = b;
	int via_x = x->source ? (int)x->source->via : -1, via_y = y->source ? (int)y->source->via : -1;
	if (via_x != via_y)
		return via_x - via_y;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void write_clean(struct text *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		text_char(out, s.at[i] == '\t' ? ' ' : (unsigned char)s.at[i] < 0x20 || s.at[i] == 0x7f ? '?' : s.at[i]);
}

/* The line with the caret beneath. A long line is shown from a little before the place on. */
static void write_caret(struct text *out, const struct complaint *c)
{
	struct span line = source_line(c->source, c->line);
	unsigned column = c->column - 1, skipped = 0;
	while (column > 80 && skipped < column - 40 && line.len) {
		do
			line = span_from(line, 1);
		while (line.len && ((unsigned char)line.at[0] & 0xc0) == 0x80);
		skipped++;
	}
	column -= skipped;
	if (line.len > LINE_SHOWN_MAX) {
		line.len = LINE_SHOWN_MAX;
		while (line.len && ((unsigned char)line.at[line.len] & 0xc0) == 0x80)
			line.len--;
	}
	text_f(out, "%5u | ", c->line);
	write_clean(out, line);
	text_add(out, SPAN("\n      | "));
	for (unsigned i = 0; i < column; i++)
		text_char(out, ' ');
	unsigned shown = characters(line), room = shown > column ? shown - column : 1;
	unsigned width = c->width && c->width < room ? c->width : room;
	for (unsigned i = 0; i < width; i++)
		text_char(out, '^');
	if (c->hint.len) {
		text_char(out, ' ');
		write_clean(out, c->hint);
	}
	text_char(out, '\n');
}

static struct span complaint_file(const struct load *load, const struct complaint *c)
{
	return c->source ? c->source->name : load->conf->file;
}

static void write_text(const struct load *load, const struct complaint *c, struct text *out)
{
	write_clean(out, complaint_file(load, c));
	if (c->source && c->line)
		text_f(out, ":%u:%u", c->line, c->column);
	text_f(out, ": %s: ", c->warning ? "warning" : "error");
	write_clean(out, c->message);
	text_char(out, '\n');
	if (c->source && c->line) {
		write_caret(out, c);
	} else if (c->hint.len) {
		text_add(out, SPAN("      "));
		write_clean(out, c->hint);
		text_char(out, '\n');
	}
}

static void write_json(const struct load *load, const struct complaint *c, struct json *json)
{
	json_open(json, NULL, '{');
	json_span(json, "file", complaint_file(load, c));
	json_u64(json, "line", c->line);
	json_u64(json, "column", c->column);
	json_text(json, "severity", c->warning ? "warning" : "error");
	json_span(json, "message", c->message);
	if (c->hint.at)
		json_span(json, "hint", c->hint);
	else
		json_text(json, "hint", NULL);
	json_close(json, '}');
}

void report_write(struct load *load, struct conf_report *report)
{
	struct json json;
	json_init(&json, &report->json);
	json_open(&json, NULL, '[');
	if (load->complaint_count)
		qsort(load->complaints, load->complaint_count, sizeof(*load->complaints), by_place);
	for (unsigned i = 0; i < load->complaint_count; i++) {
		write_text(load, &load->complaints[i], &report->text);
		write_json(load, &load->complaints[i], &json);
	}
	if (load->out_of_memory) {
		static const struct span words = { "the configuration is too large, or memory is short", 50 };
		struct complaint c = { .message = words };
		write_text(load, &c, &report->text);
		write_json(load, &c, &json);
	}
	json_close(&json, ']');
	report->errors = load->errors;
	report->warnings = load->warnings;
	if (load->errors + load->warnings > load->complaint_count + load->out_of_memory)
		text_f(&report->text, "... and %u more\n", load->errors + load->warnings - load->complaint_count - load->out_of_memory);
	if (load->errors || load->warnings)
		text_f(&report->text, "%u error%s, %u warning%s\n", load->errors, load->errors == 1 ? "" : "s",
			load->warnings, load->warnings == 1 ? "" : "s");
}

void conf_report_init(struct conf_report *report)
{
	*report = (struct conf_report){ .errors = 0 };
	text_init(&report->text, 1024 * 1024);
	text_init(&report->json, 1024 * 1024);
}

void conf_report_fini(struct conf_report *report)
{
	text_fini(&report->text);
	text_fini(&report->json);
}

/* yaml.c - YAML text to a tree in which every node knows its line and column. The only user of libyaml.
 *
 * Bounded in depth, in nodes (aliases counted as if expanded), in anchors and in bytes, so that no file can make reading it
 * expensive. After a syntax error, a tab in the indentation or a bound there is no tree.
 */
#include <yaml.h>

#include "load.h"

struct anchor { struct anchor *next; struct span name; const struct node *node; };

struct builder {
	struct load *load;
	const struct source_text *source;
	yaml_parser_t parser;
	struct node *stack[TREE_DEPTH_MAX];     /* collections that are open */
	struct node *keys[TREE_DEPTH_MAX];      /* key of the mapping at that depth that waits for its value */
	struct span anchor_names[TREE_DEPTH_MAX];
	unsigned depth, weight, anchor_count;
	struct anchor *anchors;
	struct node *root;
	bool failed;
};

/* ── places ── */

/* Byte offset of a mark. libyaml counts characters; walking is bounded, so that one long line cannot cost a square. */
static bool builder_offset(const struct builder *b, const yaml_mark_t *mark, size_t *out)
{
	if (b->source->ascii) {
		*out = mark->index;
		return mark->index <= b->source->text.len;
	}
	struct span line = source_line(b->source, (unsigned)mark->line + 1);
	if (mark->column > 2048)
		return false;
	size_t at = 0;
	for (size_t n = 0; n < mark->column && at < line.len; n++)
		for (at++; at < line.len && ((unsigned char)line.at[at] & 0xc0) == 0x80;)
			at++;
	*out = (size_t)(line.at - b->source->text.at) + at;
	return true;
}

static struct node *builder_node(struct builder *b, enum node_kind kind, const yaml_event_t *event)
{
	struct node *n = arena_take_zeroed(&b->load->scratch, sizeof(*n));
	if (!n) {
		complain_memory(b->load);
		b->failed = true;
		return NULL;
	}
	n->kind = kind;
	n->source = b->source;
	n->line = (unsigned)event->start_mark.line + 1;
	n->column = n->text_column = (unsigned)event->start_mark.column + 1;
	n->weight = 1;
	if (kind == NODE_SCALAR && event->start_mark.line == event->end_mark.line)
		n->width = (unsigned)(event->end_mark.column - event->start_mark.column);
	else if (kind != NODE_SCALAR)
		n->width = 1;
	return n;
}

static void builder_stop(struct builder *b, const struct node *at, const char *message, const char *hint)
{
	complain(b->load, at, SPAN_NONE, "%s", message);
	complain_hint(b->load, "%s", hint);
	b->failed = true;
}

/* A tab before the first thing on a line is an error wherever libyaml would let it pass, as in flow collections. */
static void builder_check_tab(struct builder *b, const struct node *n)
{
	struct span line = source_line(b->source, n->line);
	size_t limit = n->column - 1 < 256 ? n->column - 1 : 256;
	for (size_t i = 0; i < limit && i < line.len; i++) {
		if (line.at[i] == '\t') {
			complain_place(b->load, b->source, n->line, (unsigned)i + 1, "tab in the indentation");
			complain_hint(b->load, "indent with spaces");
			b->failed = true;
			return;
		}
		if (line.at[i] != ' ')
			return;
	}
}

/* ── putting nodes where they belong ── */

static void builder_check_key(struct builder *b, struct node *n)
{
	static const char *const booleans[] = { "on", "off", "yes", "no", "true", "false", "y", "n" };
	if (n->kind != NODE_SCALAR) {
		builder_stop(b, n, "a key must be plain text", "quote it when it begins with {, [ or *");
		return;
	}
	for (size_t i = 0; n->plain && i < sizeof(booleans) / sizeof(*booleans); i++)
		if (span_eq_nocase(n->text, span_of(booleans[i]))) {
			complain(b->load, n, SPAN_NONE, "a key cannot be called '" SPAN_FMT "'", SPAN_ARG(n->text));
			complain_hint(b->load, "YAML 1.1 tools read it as a boolean; quote it if it is a name");
			return;
		}
}

static void builder_attach(struct builder *b, struct node *n)
{
	if (b->failed)
		return;
	if ((b->weight += n->weight) > TREE_WEIGHT_MAX) {
		builder_stop(b, n, "too many values (aliases counted as often as they are used)", "at most 200000");
		return;
	}
	if (!b->depth) {
		b->root = n;
		return;
	}
	struct node *top = b->stack[b->depth - 1], **key = &b->keys[b->depth - 1];
	if (top->kind == NODE_LIST) {
		node_append(top, n);
	} else if (*key) {
		(*key)->value = n;
		(*key)->weight = 1 + n->weight;
		node_append(top, *key);
		*key = NULL;
	} else {
		builder_check_key(b, n);
		*key = n;
	}
}

static bool builder_expects_key(const struct builder *b)
{
	return b->depth && b->stack[b->depth - 1]->kind == NODE_MAP && !b->keys[b->depth - 1];
}

/* ── anchors ── */

static void builder_anchor(struct builder *b, struct span name, const struct node *node)
{
	if (!name.at || b->failed)
		return;
	struct anchor *a = arena_take(&b->load->scratch, sizeof(*a));
	if (!a || ++b->anchor_count > TREE_ANCHORS_MAX) {
		builder_stop(b, node, "too many anchors", "at most 256");
		return;
	}
	*a = (struct anchor){ b->anchors, name, node };
	b->anchors = a;
}

static struct span builder_anchor_name(struct builder *b, const yaml_char_t *name)
{
	return name ? arena_copy(&b->load->scratch, span_of((const char *)name)) : SPAN_NONE;
}

static void builder_alias(struct builder *b, const yaml_event_t *event)
{
	struct span name = span_of((const char *)event->data.alias.anchor);
	struct node *n = builder_node(b, NODE_SCALAR, event);
	if (!n)
		return;
	for (const struct anchor *a = b->anchors; a; a = a->next)
		if (span_eq(a->name, name)) {
			*n = *a->node;
			n->next = NULL;
			builder_attach(b, n);
			return;
		}
	complain(b->load, n, SPAN_NONE, "alias '*" SPAN_FMT "' has no anchor", SPAN_ARG(name));
	complain_hint(b->load, "'&" SPAN_FMT "' must stand earlier in the file, and not around it", SPAN_ARG(name));
	b->failed = true;
}

/* ── events ── */

static void builder_scalar(struct builder *b, const yaml_event_t *event)
{
	struct node *n = builder_node(b, NODE_SCALAR, event);
	if (!n)
		return;
	builder_check_tab(b, n);
	n->text = arena_copy(&b->load->conf->arena, (struct span){ (const char *)event->data.scalar.value, event->data.scalar.length });
	if (!n->text.at) {
		complain_memory(b->load);
		b->failed = true;
		return;
	}
	yaml_scalar_style_t style = event->data.scalar.style;
	n->plain = style == YAML_PLAIN_SCALAR_STYLE;
	size_t at;
	if ((n->plain || style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE)
	    && builder_offset(b, &event->start_mark, &at)) {
		at += !n->plain;
		n->verbatim = at <= b->source->text.len && span_starts(span_from(b->source->text, at), n->text);
		n->text_column += !n->plain;
	}
	if (!builder_expects_key(b))
		n->broken = !expand_value(b->load, n);
	builder_anchor(b, builder_anchor_name(b, event->data.scalar.anchor), n);
	builder_attach(b, n);
}

static void builder_open(struct builder *b, enum node_kind kind, const yaml_event_t *event, const yaml_char_t *anchor)
{
	struct node *n = builder_node(b, kind, event);
	if (!n)
		return;
	builder_check_tab(b, n);
	if (builder_expects_key(b)) {
		builder_check_key(b, n);
		return;
	}
	if (b->depth == TREE_DEPTH_MAX) {
		builder_stop(b, n, "nested too deeply", "at most 32 levels");
		return;
	}
	b->anchor_names[b->depth] = builder_anchor_name(b, anchor);
	b->keys[b->depth] = NULL;
	b->stack[b->depth++] = n;
}

static void builder_close(struct builder *b)
{
	struct node *n = b->stack[--b->depth];
	for (const struct node *child = n->first; child; child = child->next)
		n->weight += child->weight;
	if (n->kind == NODE_MAP) {
		if (!tree_find_duplicates(b->load, n) || !tree_merge(b->load, n, &b->weight))
			b->failed = true;
	}
	builder_anchor(b, b->anchor_names[b->depth], n);
	/* The children were counted when they were attached. */
	b->weight -= n->weight - 1;
	builder_attach(b, n);
}

static void builder_event(struct builder *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		builder_scalar(b, event);
		break;
	case YAML_ALIAS_EVENT:
		builder_alias(b, event);
		break;
	case YAML_SEQUENCE_START_EVENT:
		builder_open(b, NODE_LIST, event, event->data.sequence_start.anchor);
		break;
	case YAML_MAPPING_START_EVENT:
		builder_open(b, NODE_MAP, event, event->data.mapping_start.anchor);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		builder_close(b);
		break;
	case YAML_DOCUMENT_START_EVENT:
		if (b->root) {
			complain_place(b->load, b->source, (unsigned)event->start_mark.line + 1, 1, "a second document");
			complain_hint(b->load, "a configuration is one document; remove the ---");
			b->failed = true;
		}
		break;
	default:
		break;
	}
}

/* The character that begins a value and means something else to YAML: "*.example.com", ":80" in brackets, "@x". */
static char quote_missing(const struct builder *b)
{
	const yaml_mark_t marks[] = { b->parser.problem_mark, b->parser.context_mark };
	for (size_t i = 0; i < 2; i++) {
		struct span line = source_line(b->source, (unsigned)marks[i].line + 1);
		if (b->source->ascii && marks[i].column < line.len && strchr("*&@`%:!", line.at[marks[i].column]))
			return line.at[marks[i].column];
	}
	return '\0';
}

/* libyaml's words, but for the mistakes that everybody makes: tabs, and values that want quotes. */
static void builder_syntax_error(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	unsigned line = (unsigned)p->problem_mark.line + 1, column = (unsigned)p->problem_mark.column + 1;
	struct span text = source_line(b->source, line);
	size_t tab = 0;
	while (tab < text.len && text.at[tab] == ' ')
		tab++;
	if (p->error == YAML_MEMORY_ERROR) {
		complain_memory(b->load);
	} else if (p->error == YAML_READER_ERROR) {
		complain_place(b->load, b->source, 0, 0, "not a text file in UTF-8 (byte %zu): %s", p->problem_offset, p->problem);
	} else if (tab < text.len && text.at[tab] == '\t') {
		complain_place(b->load, b->source, line, (unsigned)tab + 1, "tab in the indentation");
		complain_hint(b->load, "indent with spaces");
	} else {
		complain_place(b->load, b->source, line, column, "not valid YAML: %s", p->problem ? p->problem : "syntax error");
		if (quote_missing(b))
			complain_hint(b->load, "put quotes around a value that begins with %c", quote_missing(b));
		else if (p->context && p->context_mark.line + 1 != line)
			complain_hint(b->load, "%s that began on line %zu", p->context, p->context_mark.line + 1);
		else
			complain_hint(b->load, "look at the indentation, colons and quotes here");
	}
	b->failed = true;
}

struct node *yaml_read(struct load *load, struct source_text *source)
{
	struct builder b = { .load = load, .source = source };
	if (!yaml_parser_initialize(&b.parser)) {
		complain_memory(load);
		return NULL;
	}
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)source->text.at, source->text.len);
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	for (bool more = true; more && !b.failed;) {
		yaml_event_t event;
		if (!yaml_parser_parse(&b.parser, &event)) {
			builder_syntax_error(&b);
			break;
		}
		more = event.type != YAML_STREAM_END_EVENT;
		builder_event(&b, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&b.parser);
	return b.failed ? NULL : b.root;
}

const char *conf_yaml_version(void) { return yaml_get_version_string(); }

/* sets.c - --listen, --to and --set as edits of the tree, so that they go through the same tables as the file.
 *
 * Their texts are sources of their own: a mistake in one is shown with a caret under the option.
 */
#include "load.h"

struct edit { const struct source_text *source; unsigned line, column; };      /* where the value stands */

static struct node *new_node(struct load *load, const struct edit *e, enum node_kind kind, struct span text)
{
	struct node *n = arena_take_zeroed(&load->scratch, sizeof(*n));
	if (!n) {
		complain_memory(load);
		return NULL;
	}
	*n = (struct node){ .kind = kind, .verbatim = true, .source = e->source, .line = e->line, .column = e->column,
		.text_column = e->column, .weight = 1, .text = text };
	return n;
}

/* The key of that name in the map, made when it is not there, its value replaced by `value` unless that is NULL. */
static struct node *put(struct load *load, const struct edit *e, struct node *map, struct span name, struct node *value)
{
	struct node *key = node_find(map, name);
	if (!key) {
		key = new_node(load, e, NODE_SCALAR, arena_copy(&load->conf->arena, name));      /* NUL-terminated, as all keys */
		if (!key || !key->text.at)
			return NULL;
		node_append(map, key);
	}
	if (value) {
		struct node *next = key->next;
		*key = (struct node){ .kind = NODE_SCALAR, .source = e->source, .line = e->line, .column = e->column, .weight = 1,
			.width = value->width, .text = key->text, .value = value, .next = next };
	}
	return key;
}

/* ── --listen and --to ── */

static void apply_to(struct load *load, const struct edit *e, struct node *root, struct span url)
{
	struct node *list = new_node(load, e, NODE_LIST, SPAN("")), *route = new_node(load, e, NODE_MAP, SPAN(""));
	struct node *path = new_node(load, e, NODE_SCALAR, SPAN("/")), *upstream = new_node(load, e, NODE_SCALAR, url);
	if (!list || !route || !path || !upstream)
		return;
	node_append(list, route);
	put(load, e, route, SPAN("path"), path);
	put(load, e, route, SPAN("upstream"), upstream);
	put(load, e, root, SPAN("routes"), list);
}

static void apply_command_line(struct load *load, struct node *root)
{
	const struct conf_source *from = load->from;
	struct span listen = span_of(from->listen), to = span_of(from->to);
	struct text all;
	text_init(&all, 64 * 1024);
	if (from->listen)
		text_f(&all, "--listen " SPAN_FMT "\n", SPAN_ARG(listen));
	if (from->to)
		text_f(&all, "--to " SPAN_FMT "\n", SPAN_ARG(to));
	struct span text = arena_copy(&load->conf->arena, text_span(&all));
	bool cut = all.cut;
	text_fini(&all);
	struct source_text *source = text.at && !cut ? source_new(load, SPAN("command line"), text, VIA_COMMAND_LINE) : NULL;
	if (!source) {
		complain_memory(load);
		return;
	}
	if (from->listen) {
		struct edit e = { source, 1, sizeof("--listen ") };
		struct node *value = new_node(load, &e, NODE_SCALAR, (struct span){ text.at + 9, listen.len });
		if (value)
			put(load, &e, root, SPAN("listen"), value);
	}
	if (from->to) {
		struct edit e = { source, from->listen ? 2 : 1, sizeof("--to ") };
		apply_to(load, &e, root, (struct span){ span_end(text) - 1 - to.len, to.len });
	}
}

/* ── --set KEY=VALUE ── */

/* The element of a list by its number, or by its `name`. */
static struct node *element(struct node *list, struct span which)
{
	uint64_t n;
	bool number = span_to_u64(which, UINT32_MAX, &n);
	for (struct node *item = list->first; item; item = item->next) {
		const struct node *name = item->kind == NODE_MAP ? node_find(item, SPAN("name")) : NULL;
		if (number ? n-- == 0 : name && name->value->kind == NODE_SCALAR && span_eq(name->value->text, which))
			return item;
	}
	return NULL;
}

/* Read behind as many line ends and spaces as there is before it, so that all places come out right by themselves. */
static struct node *set_flow(struct load *load, const struct edit *e, struct span text)
{
	size_t before = e->line - 1 + e->column - 1;
	char *padded = arena_text(&load->scratch, before + text.len);
	if (!padded) {
		complain_memory(load);
		return NULL;
	}
	memset(padded, '\n', e->line - 1);
	memset(padded + e->line - 1, ' ', e->column - 1);
	memcpy(padded + before, text.at, text.len);
	struct source_text *inner = source_like(load, e->source, (struct span){ padded, before + text.len });
	struct node *n = inner ? yaml_read(load, inner) : NULL;
	if (inner)
		*inner = *e->source;            /* carets go under what the user wrote */
	return n;
}

/* [..] and {..} are YAML; all else is plain text ("[::]:80" is not in brackets). */
static struct node *set_value(struct load *load, const struct edit *e, struct span text)
{
	char first = text.len >= 2 ? text.at[0] : '\0', last = text.len >= 2 ? text.at[text.len - 1] : '\0';
	if ((first == '[' && last == ']') || (first == '{' && last == '}'))
		return set_flow(load, e, text);
	struct node *n = new_node(load, e, NODE_SCALAR, text);
	return n && expand_value(load, n) ? n : NULL;
}

static void set_missing(struct load *load, const struct edit *e, struct span part, const char *what)
{
	complain_place(load, e->source, e->line, 1 + (unsigned)(part.at - source_line(e->source, e->line).at),
		"there is no %s '" SPAN_FMT "'", what, SPAN_ARG(part));
}

/* One step down the path. A map that is not there is made; anything else in the way is an error. */
static struct node *step(struct load *load, const struct edit *e, struct node *at, struct span name)
{
	if (at->kind == NODE_LIST) {
		struct node *item = element(at, name);
		if (!item)
			set_missing(load, e, name, "element");
		return item;
	}
	if (at->kind != NODE_MAP) {
		set_missing(load, e, name, "key");
		return NULL;
	}
	struct node *key = put(load, e, at, name, NULL);
	if (key && (!key->value || node_is_null(key->value)))
		key->value = new_node(load, e, NODE_MAP, SPAN(""));
	return key ? key->value : NULL;
}

static void apply_set(struct load *load, struct node *root, const struct edit *e, struct span path, struct span text)
{
	struct node *value = set_value(load, e, text), *at = root;
	struct span name = SPAN(""), rest = path;
	if (!value)
		return;
	if (!span_next(&rest, '.', &name))
		return;
	/* A key that is none of the top's is one of defaults: --set timeout=3s. */
	if (!schema_find(conf_top_keys, name)) {
		at = step(load, e, at, SPAN("defaults"));
		rest = path;
		span_next(&rest, '.', &name);
	}
	while (at && rest.at && rest.len) {
		at = step(load, e, at, name);
		span_next(&rest, '.', &name);
	}
	if (at && at->kind == NODE_MAP)
		put(load, e, at, name, value);
	else if (at)
		set_missing(load, e, name, "key");
}

static void apply_sets(struct load *load, struct node *root)
{
	const struct conf_source *from = load->from;
	struct text all;
	text_init(&all, 256 * 1024);
	for (unsigned i = 0; i < from->set_count; i++)
		text_f(&all, "%s\n", from->sets[i]);
	struct span text = arena_copy(&load->conf->arena, text_span(&all));
	bool cut = all.cut;
	text_fini(&all);
	struct source_text *source = text.at && !cut ? source_new(load, SPAN("--set"), text, VIA_SET) : NULL;
	if (!source) {
		complain_memory(load);
		return;
	}
	for (unsigned line = 1; line < source->line_count; line++) {
		struct span set = source_line(source, line);
		const char *equals = set.len ? memchr(set.at, '=', set.len) : NULL;
		struct edit e = { source, line, equals ? (unsigned)(equals - set.at) + 2 : 1 };
		if (!equals || equals == set.at) {
			complain_place(load, source, line, 1, "--set needs KEY=VALUE");
			complain_hint(load, "write retry.max_retries=2");
			continue;
		}
		apply_set(load, root, &e, span_between(set.at, equals), span_between(equals + 1, span_end(set)));
	}
}

struct node *sets_apply(struct load *load, struct node *root)
{
	if (!root) {
		root = arena_take_zeroed(&load->scratch, sizeof(*root));
		if (!root) {
			complain_memory(load);
			return NULL;
		}
		root->kind = NODE_MAP;
	}
	if (root->kind != NODE_MAP)
		return root;
	if (load->from->listen || load->from->to)
		apply_command_line(load, root);
	if (load->from->set_count)
		apply_sets(load, root);
	return root;
}

/* expand.c - ${NAME}, ${NAME:-default}, ${NAME:?message} and $$ in values, after YAML has been parsed.
 *
 * Expanded text is never parsed again, so a variable can hold any characters but cannot bring structure with it.
 * A lone $ stays what it is (regular expressions end in it). Empty counts as unset, as in a shell with the colon.
 */
#include <stdlib.h>

#include "load.h"

struct reference { struct span whole, name, rest; char kind; };      /* kind: 0, '-' or '?' */

static bool name_char(char c, bool first)
{
	return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (!first && char_is_digit(c));
}

/* `s` begins with "${". */
static bool reference_read(struct load *load, const struct node *node, struct span s, struct reference *out)
{
	size_t i = 2;
	while (i < s.len && name_char(s.at[i], i == 2))
		i++;
	*out = (struct reference){ .name = { s.at + 2, i - 2 } };
	const char *close = memchr(s.at, '}', s.len);
	if (!close) {
		complain(load, node, s, "'${' without '}'");
		complain_hint(load, "write ${NAME}, ${NAME:-default} or ${NAME:?message}; a plain '${' is written '$${'");
		return false;
	}
	out->whole = span_between(s.at, close + 1);
	if (out->name.len && i + 1 < s.len && s.at[i] == ':' && (s.at[i + 1] == '-' || s.at[i + 1] == '?')) {
		out->kind = s.at[i + 1];
		out->rest = span_between(s.at + i + 2, close);
		return true;
	}
	if (out->name.len && s.at + i == close)
		return true;
	complain(load, node, out->whole, "cannot read '" SPAN_FMT "'", SPAN_ARG(out->whole));
	complain_hint(load, "write ${NAME}, ${NAME:-default} or ${NAME:?message}; a plain '${' is written '$${'");
	return false;
}

static bool reference_value(struct load *load, const struct node *node, const struct reference *r, struct span *out)
{
	struct span name = arena_copy(&load->scratch, r->name);          /* NUL-terminated */
	const char *value = name.at ? getenv(name.at) : NULL;
	if (value && *value) {
		*out = span_of(value);
		return true;
	}
	if (r->kind == '-') {
		*out = r->rest;
		return true;
	}
	if (r->kind == '?') {
		complain(load, node, r->whole, "'" SPAN_FMT "' is not set: " SPAN_FMT, SPAN_ARG(r->name), SPAN_ARG(r->rest));
		complain_hint(load, "set it in the environment of outrigger");
		return false;
	}
	if (value) {
		*out = SPAN("");
		return true;
	}
	complain(load, node, r->whole, "the environment variable '" SPAN_FMT "' is not set", SPAN_ARG(r->name));
	complain_hint(load, "set it, or give a default: ${" SPAN_FMT ":-...}", SPAN_ARG(r->name));
	return false;
}

bool expand_value(struct load *load, struct node *scalar)
{
	struct span rest = scalar->text;
	if (!span_has(rest, '$'))
		return true;
	struct text out;
	text_init(&out, TREE_FILE_MAX);
	bool changed = false, ok = true;
	while (rest.len && ok) {
		struct reference r;
		struct span value;
		if (rest.at[0] != '$' || rest.len == 1 || (rest.at[1] != '{' && rest.at[1] != '$')) {
			text_char(&out, rest.at[0]);
			rest = span_from(rest, 1);
		} else if (rest.at[1] == '$') {
			text_char(&out, '$');
			rest = span_from(rest, 2);
			changed = true;
		} else if ((ok = reference_read(load, scalar, rest, &r) && reference_value(load, scalar, &r, &value))) {
			text_add(&out, value);
			rest = span_from(rest, r.whole.len);
			changed = true;
		}
	}
	if (ok && changed) {
		scalar->text = out.cut ? SPAN_NONE : arena_copy(&load->conf->arena, out.len ? text_span(&out) : SPAN(""));
		scalar->plain = scalar->verbatim = false;
		if (!scalar->text.at) {
			complain_memory(load);
			scalar->text = SPAN("");
		}
	}
	text_fini(&out);
	return ok;
}

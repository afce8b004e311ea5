/* read_flags.c - readers of feature flags: where they are, and where they are named. Which flags there are is not known here. */
#include "keys.h"

bool conf_place_ok(struct span text)
{
	bool file = span_starts(text, SPAN("file:")), tls = span_starts(text, SPAN("https://")), plain = span_starts(text, SPAN("http://"));
	struct span rest = file || tls || plain ? span_from(text, file ? 5 : tls ? 8 : 7) : SPAN_NONE;
	for (size_t i = 0; i < rest.len; i++)
		if (rest.at[i] <= ' ' || rest.at[i] > '~' || rest.at[i] == '"' || rest.at[i] == '\\' || (!file && rest.at[i] == '@'))
			return false;
	return rest.len && text.len <= CONF_PLACE_MAX && file == (rest.at[0] == '/');
}

bool read_flags_from(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	(void)field; (void)index;
	if (!text.len || conf_place_ok(text))
		return true;
	conf_complain(r, text, "'" SPAN_FMT "' is no place for flags", SPAN_ARG(text));
	conf_hint(r, "write file:/PATH, or https://HOST/PATH");
	return false;
}

/* ── names ── */

static bool word_ok(struct span word) { return word.len <= FLAG_WORD_MAX && check_name(word, "-_."); }

static bool same_name(const struct conf_flag *a, const struct conf_flag *b) { return strcmp(a->name, b->name) == 0; }

static bool note_use(struct conf_reading *r, const struct conf_flag *flag)
{
	struct conf *conf = r->load->conf;
	struct conf_flag_use **end = &conf->flag_uses;
	while (*end && !same_name(&(*end)->flag, flag))
		end = &(*end)->next;
	if (!*end && !(*end = arena_take_zeroed(&conf->arena, sizeof(**end)))) {
		complain_memory(r->load);
		return false;
	}
	(*end)->flag = *flag;
	if (!r->load->flag_at)
		r->load->flag_at = r->node;
	return true;
}

/* "NAME" or "NAME=VARIANT". `whole` is what a complaint is about. */
static bool read_flag(struct conf_reading *r, struct conf_flag *out, struct span text, bool variants)
{
	const char *equals = text.len ? memchr(text.at, '=', text.len) : NULL;
	struct span name = equals ? span_between(text.at, equals) : text, variant = equals ? span_from(text, name.len + 1) : SPAN_NONE;
	*out = (struct conf_flag){ .name = "" };
	if (!word_ok(name) || (equals && (!variants || !word_ok(variant)))) {
		conf_complain(r, text, "'" SPAN_FMT "' is not the name of a flag", SPAN_ARG(text));
		conf_hint(r, "letters, digits, '-', '_' and '.', at most %d%s", FLAG_WORD_MAX,
			variants ? "; NAME=VARIANT for one of its variants" : "");
		return false;
	}
	memcpy(out->name, name.at, name.len);
	if (variant.len)
		memcpy(out->variant, variant.at, variant.len);
	return note_use(r, out);
}

bool read_route_flag(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	if (index == 0)
		return read_flag(r, field, text, true);
	conf_complain(r, text, "a route has one flag");
	return false;
}

bool read_flags_forward(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct conf_flag flag;
	(void)field; (void)index;
	return read_flag(r, &flag, text, false);
}

bool conf_read_dry_run(struct conf_reading *r, void *field, struct span text, unsigned index)
{
	struct conf_dry_run *dry = field;
	*dry = (struct conf_dry_run){ .when = span_eq(text, SPAN("true")) ? CONF_DRY_ALWAYS : CONF_DRY_NEVER };
	if (index == 0 && (dry->when == CONF_DRY_ALWAYS || span_eq(text, SPAN("false"))))
		return true;
	if (index == 0 && span_starts(text, SPAN("flag:"))) {
		dry->when = CONF_DRY_FLAG;
		return read_flag(r, &dry->flag, span_from(text, 5), true);
	}
	conf_complain(r, text, "'dry_run' must be true, false or flag:NAME, not '" SPAN_FMT "'", SPAN_ARG(text));
	return false;
}

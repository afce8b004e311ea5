/* scalar.c - one scalar onto one member, and the words for everything that can be wrong with it. */
#include "load.h"
#include "value.h"

static const char *type_noun(enum conf_type type)
{
	switch (type) {
	case CONF_T_COUNT:     return "a whole number";
	case CONF_T_DURATION:  return "a duration";
	case CONF_T_SIZE:      return "a size";
	case CONF_T_RATE:      return "a rate";
	case CONF_T_BYTE_RATE: return "a rate in bytes";
	default:               return "a share";
	}
}

static const char *type_units(enum conf_type type)
{
	switch (type) {
	case CONF_T_DURATION:  return "units are us ms s m h d; write 15s or 250ms";
	case CONF_T_SIZE:      return "units are B KB MB GB KiB MiB GiB; write 64KiB";
	case CONF_T_RATE:      return "write 100/s, 100/m or 100/h";
	case CONF_T_BYTE_RATE: return "write 500B/s or 64KiB/s";
	case CONF_T_SHARE:     return "write 20%";
	default:               return "write digits only";
	}
}

static enum value_fault number_read(enum conf_type type, struct span s, void *out, struct span *part)
{
	switch (type) {
	case CONF_T_COUNT:     return value_count(s, out, part);
	case CONF_T_DURATION:  return value_duration(s, out, part);
	case CONF_T_SIZE:      return value_size(s, out, part);
	case CONF_T_RATE:      return value_rate(s, out, part);
	case CONF_T_BYTE_RATE: return value_byte_rate(s, out, part);
	default:               return value_share(s, out, part);
	}
}

static void hint_unit(struct conf_reading *r, enum conf_type type, struct span part)
{
	struct span n = part.len <= 18 ? part : SPAN("10");
	switch (type) {
	case CONF_T_DURATION:
		conf_hint(r, "write " SPAN_FMT "s (seconds) or " SPAN_FMT "ms (milliseconds)", SPAN_ARG(n), SPAN_ARG(n));
		break;
	case CONF_T_SIZE:
		conf_hint(r, "write " SPAN_FMT "KiB, " SPAN_FMT "MiB or " SPAN_FMT "B (bytes)", SPAN_ARG(n), SPAN_ARG(n), SPAN_ARG(n));
		break;
	case CONF_T_RATE:
		conf_hint(r, "write " SPAN_FMT "/s (a second) or " SPAN_FMT "/m (a minute)", SPAN_ARG(n), SPAN_ARG(n));
		break;
	case CONF_T_BYTE_RATE:
		conf_hint(r, "write 500B/s or 64KiB/s");
		break;
	default:
		if (span_starts(n, SPAN("0.")) && n.len == 3)
			conf_hint(r, "write " SPAN_FMT "0%%", SPAN_ARG(span_from(n, 2)));
		else if (span_starts(n, SPAN("0.")) && n.len == 4)
			conf_hint(r, "write " SPAN_FMT "%%", SPAN_ARG(span_from(n, n.at[2] == '0' ? 3 : 2)));
		else
			conf_hint(r, "write " SPAN_FMT "%%", SPAN_ARG(n));
	}
}

static void complain_number(struct conf_reading *r, const struct conf_key *row, enum value_fault fault, struct span text,
	struct span part)
{
	switch (fault) {
	case VALUE_NO_UNIT:
		conf_complain(r, part, "'%s' needs a unit", row->name);
		hint_unit(r, row->type, part);
		return;
	case VALUE_BAD_UNIT:
		conf_complain(r, part, "unknown unit '" SPAN_FMT "' in '%s'", SPAN_ARG(part), row->name);
		break;
	case VALUE_TOO_LARGE:
		conf_complain(r, part, "'%s' is too large a number: " SPAN_FMT, row->name, SPAN_ARG(text));
		conf_hint(r, "%s%s", row->max ? "at most " : "take a smaller one", row->max ? row->max : "");
		return;
	case VALUE_TOO_FINE:
		conf_complain(r, part, "'%s' has too many decimals: " SPAN_FMT, row->name, SPAN_ARG(text));
		conf_hint(r, "use a smaller unit");
		return;
	default:
		if (!text.len)
			conf_complain(r, SPAN_NONE, "'%s' is empty", row->name);
		else if (text.at[0] == '-')
			conf_complain(r, SPAN_NONE, "'%s' cannot be negative: " SPAN_FMT, row->name, SPAN_ARG(text));
		else
			conf_complain(r, part, "'%s' must be %s, not '" SPAN_FMT "'", row->name, type_noun(row->type), SPAN_ARG(text));
	}
	conf_hint(r, "%s", type_units(row->type));
}

union number { uint64_t u; double share; struct conf_rate rate; };

/* -1, 0, 1. Rates compare by their speed. */
static int number_compare(enum conf_type type, const union number *a, const union number *b)
{
	if (type == CONF_T_SHARE)
		return a->share < b->share ? -1 : a->share > b->share;
	if (type == CONF_T_RATE) {
		unsigned __int128 x = (unsigned __int128)a->rate.count * b->rate.per_us, y = (unsigned __int128)b->rate.count * a->rate.per_us;
		return x < y ? -1 : x > y;
	}
	return a->u < b->u ? -1 : a->u > b->u;
}

static bool number_beyond(const struct conf_key *row, const union number *n, const char *bound, int side)
{
	union number limit;
	struct span part;
	return bound && number_read(row->type, span_of(bound), &limit, &part) == VALUE_OK && number_compare(row->type, n,
		&limit) == side;
}

static bool read_number(struct conf_reading *r, const struct conf_key *row, void *field, struct span text)
{
	union number n = { .rate = { 0, 1 } };
	struct span part = text;
	enum value_fault fault = number_read(row->type, text, &n, &part);
	if (fault != VALUE_OK) {
		complain_number(r, row, fault, text, part);
		return false;
	}
	if (number_beyond(row, &n, row->min, -1) || number_beyond(row, &n, row->max, 1)) {
		conf_complain(r, text, "'%s' is out of range: " SPAN_FMT, row->name, SPAN_ARG(text));
		if (row->min && row->max)
			conf_hint(r, "allowed are %s to %s", row->min, row->max);
		else
			conf_hint(r, "%s %s", row->min ? "at least" : "at most", row->min ? row->min : row->max);
		return false;
	}
	memcpy(field, &n, row->type == CONF_T_RATE ? sizeof(n.rate) : sizeof(n.u));
	return true;
}

static bool read_bool(struct conf_reading *r, const struct conf_key *row, bool *field, struct span text)
{
	bool yes = span_eq(text, SPAN("true"));
	if (yes || span_eq(text, SPAN("false"))) {
		*field = yes;
		return true;
	}
	conf_complain(r, text, "'%s' must be true or false, not '" SPAN_FMT "'", row->name, SPAN_ARG(text));
	if (span_eq_nocase(text, SPAN("on")) || span_eq_nocase(text, SPAN("yes")) || span_eq_nocase(text, SPAN("true")))
		conf_hint(r, "write true");
	else if (span_eq_nocase(text, SPAN("off")) || span_eq_nocase(text, SPAN("no")) || span_eq_nocase(text, SPAN("false")))
		conf_hint(r, "write false");
	return false;
}

static void words_list(const char *const *words, struct text *out)
{
	for (const char *const *w = words; *w; w++)
		text_f(out, "%s%s", w == words ? "" : w[1] ? ", " : " or ", *w);
}

static bool read_word(struct conf_reading *r, const struct conf_key *row, unsigned *field, struct span text)
{
	struct nearest nearest;
	char memory[300];
	struct text allowed;
	nearest_init(&nearest, text);
	for (unsigned i = 0; row->words[i]; i++) {
		if (span_eq(span_of(row->words[i]), text)) {
			*field = i;
			return true;
		}
		nearest_offer(&nearest, "", span_of(row->words[i]));
	}
	text_over(&allowed, memory, sizeof(memory));
	words_list(row->words, &allowed);
	conf_complain(r, text, "'%s' cannot be '" SPAN_FMT "'", row->name, SPAN_ARG(text));
	if (nearest_found(&nearest))
		conf_hint(r, "did you mean '%s'? allowed: " SPAN_FMT, nearest.best, SPAN_ARG(text_span(&allowed)));
	else
		conf_hint(r, "allowed: " SPAN_FMT, SPAN_ARG(text_span(&allowed)));
	return false;
}

bool schema_scalar(struct conf_reading *r, const struct conf_key *row, void *field, struct span text)
{
	switch (row->type) {
	case CONF_T_BOOL:
		return read_bool(r, row, field, text);
	case CONF_T_WORD:
		return read_word(r, row, field, text);
	case CONF_T_TEXT:
	case CONF_T_TEXT_OR_MAP:
		memcpy(field, &text, sizeof(text));       /* the first member of a conf_choice, too */
		return true;
	default:
		return read_number(r, row, field, text);
	}
}

bool conf_read_duration(struct conf_reading *r, const char *key, struct span text, const char *min, const char *max, uint64_t *us)
{
	const struct conf_key row = { .name = key, .type = CONF_T_DURATION, .min = min, .max = max };
	return read_number(r, &row, us, text);
}

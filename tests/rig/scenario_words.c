/* scenario_words.c - the words of guests, deeds and expectations: three tables. */
#include <stdio.h>

#include "base/must.h"
#include "scenario.h"

/* ── numbers ── */

struct unit { struct span word; uint64_t times; };

static bool number(struct span s, const struct unit *units, unsigned count, uint64_t *out)
{
	size_t digits = 0;
	uint64_t n;
	while (digits < s.len && char_is_digit(s.at[digits]))
		digits++;
	if (!span_to_u64(span_first(s, digits), UINT32_MAX, &n))
		return false;
	for (unsigned i = 0; i < count; i++)
		if (span_eq(span_from(s, digits), units[i].word)) {
			*out = n * units[i].times;
			return true;
		}
	return false;
}

bool words_time(struct span s, uint64_t *us)
{
	static const struct unit units[] = { { { "us", 2 }, 1 }, { { "ms", 2 }, 1000 }, { { "s", 1 }, 1000000 }, { { "m", 1 }, 60000000 } };
	return number(s, units, 4, us);
}

bool words_size(struct span s, uint64_t *bytes)
{
	static const struct unit units[] = { { { "", 0 }, 1 }, { { "B", 1 }, 1 }, { { "KiB", 3 }, 1024 }, { { "MiB", 3 }, 1048576 } };
	return number(s, units, 4, bytes);
}

/* ── what a word does ── */

enum kind { TIME, SIZE, FLAG, TEXT, FIELD, COUNT, REASON, BREAKS, THEN };
struct word { const char *word; enum kind kind; size_t offset, flag; };   /* flag: a bool to set as well; 0: none */

static bool split_field(struct span s, struct conf_pair *out)
{
	const char *colon = s.len ? memchr(s.at, ':', s.len) : NULL;
	if (!colon)
		return false;
	*out = (struct conf_pair){ span_between(s.at, colon), span_trim(span_between(colon + 1, span_end(s))) };
	return true;
}

static bool set(const struct word *w, void *base, struct span value)
{
	char *at = (char *)base + w->offset;
	if (w->flag)
		*(bool *)((char *)base + w->flag) = true;
	switch (w->kind) {
	case TIME:   return words_time(value, (uint64_t *)(void *)at);
	case SIZE:   return words_size(value, (uint64_t *)(void *)at);
	case TEXT:   *(struct span *)(void *)at = value; return value.len > 0;
	case REASON: return reason_of(value, (enum reason *)(void *)at);
	case COUNT: {
		uint64_t n;
		bool ok = span_to_u64(value, 1000, &n);
		*(int *)(void *)at = ok ? (int)n : 0;
		return ok;
	}
	default:     *(bool *)(void *)at = true; return true;
	}
}

static const struct word *find(const struct word *words, struct span s)
{
	for (; words->word; words++)
		if (span_eq(s, span_of(words->word)))
			return words;
	return NULL;
}

/* Applies the word at `at`; returns where the next one stands; 0: wrong. */
static unsigned apply(const struct word *words, void *base, const struct scenario_line *l, unsigned at)
{
	const struct word *w = find(words, l->word[at]);
	if (!w)
		return 0;
	if (w->kind == FLAG)
		return set(w, base, SPAN_NONE) ? at + 1 : 0;
	return at + 1 < l->count && set(w, base, l->word[at + 1]) ? at + 2 : 0;
}

/* ── guests ── */

#define G(member) offsetof(struct guest, member)
static const struct word guest_words[] = {
	{ "host", TEXT, G(host), 0 }, { "trusted", FLAG, G(trusted), 0 }, { "upgrade", TEXT, G(upgrade), 0 }, { "sends", SIZE, G(tunnel), 0 },
	{ "body", SIZE, G(body), 0 }, { "by", SIZE, G(body_by), 0 }, { "every", TIME, G(body_every_us), 0 }, { "streams", FLAG, G(streams), 0 },
	{ "spoils", SIZE, G(fault_at), G(fault) }, { "reads", SIZE, G(read_by), 0 }, { "each", TIME, G(read_every_us), 0 },
	{ "began", TIME, G(began_us), 0 }, { "deaf", FLAG, G(deaf), 0 }, { "same-body", FLAG, G(same_body), 0 }, { "eager", FLAG, G(eager), 0 }, { "leaves", TIME, G(leave_us), 0 },
	{ NULL, FLAG, 0, 0 }
};

unsigned words_guest(struct guest *g, const struct scenario_line *l, unsigned at)
{
	while (at && at < l->count && !span_eq(l->word[at], SPAN("expect"))) {
		if (span_eq(l->word[at], SPAN("http1.0"))) {
			g->minor = 0;
			at++;
		} else if (span_eq(l->word[at], SPAN("field"))) {
			if (++at == l->count || g->field_count == GUEST_FIELDS || !split_field(l->word[at], &g->fields[g->field_count++]))
				return 0;
			at++;
		} else if (span_eq(l->word[at], SPAN("token"))) {
			if (++at == l->count || g->field_count == GUEST_FIELDS || !pretend_token(g, l->word[at]))
				return 0;
			at++;
		} else
			at = apply(guest_words, g, l, at);
	}
	return at;
}

/* ── deeds ── */

#define D(member) offsetof(struct deed, member)
static const struct word deed_words[] = {
	{ "on", TEXT, D(on), 0 }, { "after", TIME, D(after_us), 0 }, { "early", FLAG, D(early), 0 }, { "silent", FLAG, D(silent), 0 },
	{ "unseen", FLAG, D(unseen), 0 }, { "reused", FLAG, D(reused), 0 }, { "within", FLAG, D(within), 0 },
	{ "informs", COUNT, D(informational), 0 }, { "body", SIZE, D(body), 0 }, { "by", SIZE, D(by), 0 }, { "every", TIME, D(every_us), 0 },
	{ "body-after", TIME, D(body_after_us), 0 },
	{ "streams", FLAG, D(streams), 0 }, { "end-apart", FLAG, D(end_apart), 0 }, { "breaks", SIZE, D(breaks_at), D(breaks) },
	{ "with", REASON, D(breaks_with), 0 }, { "chokes", SIZE, D(chokes_at), D(chokes) }, { "takes", SIZE, D(take_by), 0 }, { "each", TIME, D(take_every_us), 0 },
	{ "takes-nothing", FLAG, D(takes_nothing), 0 }, { "eager", FLAG, D(eager), 0 }, { "ends-first", FLAG, D(ends_first), 0 },
	{ NULL, FLAG, 0, 0 }
};

static bool first_word(struct deed *d, struct span s)
{
	uint64_t status;
	d->breaks_with = REASON_upstream_reset;
	if (span_to_u64(s, 599, &status) && status >= 101) {
		d->status = (int)status;
		return true;
	}
	if (span_eq(s, SPAN("silent"))) {
		d->silent = true;
		return true;
	}
	d->status = 0;
	d->failure = REASON_connection_refused;
	d->unseen = span_eq(s, SPAN("refuses"));
	if (d->unseen)
		return true;
	d->failure = REASON_upstream_reset;
	return span_eq(s, SPAN("fails")) || reason_of(s, &d->failure);
}

bool words_deeds(struct script *s, const struct scenario_line *l, unsigned at)
{
	struct deed *d = NULL;
	while (at && at < l->count) {
		if (!d) {
			d = script_add(s);
			if (!first_word(d, l->word[at++]))
				return false;
		} else if (span_eq(l->word[at], SPAN("then"))) {
			d = NULL;
			at++;
		} else if (span_eq(l->word[at], SPAN("field"))) {
			if (++at == l->count || d->field_count == DEED_FIELDS || !split_field(l->word[at++], &d->fields[d->field_count++]))
				return false;
		} else
			at = apply(deed_words, d, l, at);
	}
	return at && d;
}

/* ── expectations ── */

struct seen { const struct expectation *e; const char *file; unsigned failures; };

static void differs(struct seen *s, struct span what, struct span expected, const char *got)
{
	fprintf(stderr, "%s:%u: guest %u (" SPAN_FMT "): expected " SPAN_FMT " " SPAN_FMT ", got %s\n", s->file, s->e->line,
		s->e->guest->number, SPAN_ARG(s->e->guest->target), SPAN_ARG(what), SPAN_ARG(expected), got);
	s->failures++;
}

static void compare_number(struct seen *s, struct span what, struct span expected, uint64_t want, uint64_t got)
{
	char text[32];
	text[u64_to_text(got, text)] = '\0';
	if (want != got)
		differs(s, what, expected, text);
}

static void compare_text(struct seen *s, struct span what, struct span expected, struct span got)
{
	char text[256];
	size_t n = got.len < sizeof(text) - 1 ? got.len : sizeof(text) - 1;
	if (span_eq(expected, got))
		return;
	if (n)
		memcpy(text, got.at, n);
	text[n] = '\0';
	differs(s, what, expected, text);
}

/* Times: "within 10ms", "after 10ms" (not before), "when 10ms" (to the microsecond); of the head, or of the end when there is none. */
static bool compare_time(struct seen *s, struct span what, struct span expected)
{
	const struct guest *g = s->e->guest;
	uint64_t want, got = g->heads ? g->head_us : g->done_us;
	char text[32];
	if (!words_time(expected, &want))
		return false;
	text[u64_to_text(got, text)] = '\0';
	if (span_eq(what, SPAN("within")) ? got > want : span_eq(what, SPAN("after")) ? got < want : got != want)
		differs(s, what, expected, text);
	return true;
}

static bool compare_field(struct seen *s, struct span expected)
{
	struct conf_pair pair;
	char name[64];
	if (!split_field(expected, &pair) || pair.name.len >= sizeof(name))
		return false;
	memcpy(name, pair.name.at, pair.name.len);
	name[pair.name.len] = '\0';
	compare_text(s, pair.name, pair.value, guest_reply_field(s->e->guest, name));
	return true;
}

/* A word with a value. false: unknown, or the value is wrong. */
static bool compare(struct seen *s, struct span what, struct span v)
{
	const struct guest *g = s->e->guest;
	const struct { const char *word; uint64_t got; } numbers[] = {
		{ "body", g->got }, { "attempts", g->attempts }, { "reached", g->reached }, { "informed", g->last_informational }, { "sent", g->sent },
		{ "length", g->told_length },
	};
	uint64_t n;
	if (span_eq(what, SPAN("reason")))
		compare_text(s, what, v, span_of(reason_name(g->reason)));
	else if (span_eq(what, SPAN("by")))
		compare_text(s, what, v, span_of(served_by_name(g->served_by)));
	else if (span_eq(what, SPAN("text")))
		compare_text(s, what, v, (struct span){ g->text, g->text_len });
	else if (span_eq(what, SPAN("field")))
		return compare_field(s, v);
	else if (span_eq(what, SPAN("within")) || span_eq(what, SPAN("after")) || span_eq(what, SPAN("when")))
		return compare_time(s, what, v);
	else {
		for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
			if (span_eq(what, span_of(numbers[i].word)) && words_size(v, &n)) {
				compare_number(s, what, v, n, numbers[i].got);
				return true;
			}
		return false;
	}
	return true;
}

/* The first word: a status, "nothing" (no head came) or "gone" (it left). Whole unless "cut" says otherwise. */
static bool compare_status(struct seen *s, struct span v, bool cut)
{
	const struct guest *g = s->e->guest;
	uint64_t status;
	if (span_eq(v, SPAN("nothing"))) {
		compare_number(s, v, SPAN_NONE, 0, g->heads);
		return true;
	}
	if (span_eq(v, SPAN("gone"))) {
		compare_number(s, v, SPAN_NONE, 1, g->left);
		return true;
	}
	if (!span_to_u64(v, 599, &status))
		return false;
	compare_number(s, SPAN("status"), v, status, (uint64_t)g->status);
	if (g->status == (int)status)
		compare_number(s, SPAN("cut"), cut ? SPAN("1") : SPAN("0"), cut, g->aborted);
	return true;
}

unsigned words_expect(const struct expectation *e, const char *file)
{
	const struct scenario_line *l = e->words;
	struct seen s = { e, file, 0 };
	unsigned at = e->from;
	bool cut = false;

	for (unsigned i = at; i < l->count; i++)
		cut |= span_eq(l->word[i], SPAN("cut"));
	bool ok = at < l->count && compare_status(&s, l->word[at++], cut);
	while (ok && at < l->count) {
		if (span_eq(l->word[at], SPAN("cut"))) {
			at++;
			continue;
		}
		ok = at + 1 < l->count && compare(&s, l->word[at], l->word[at + 1]);
		at += ok ? 2 : 0;
	}
	if (!ok) {
		fprintf(stderr, "%s:%u: not understood: '" SPAN_FMT "'\n", file, e->line, SPAN_ARG(at < l->count ? l->word[at] : SPAN_NONE));
		s.failures++;
	}
	return s.failures;
}

/* scenario.c - reads a scenario, makes its configuration, plays it. See tests/scenario/README.md for the language. */
#include "scenario.h"

#include <stdio.h>

#include "base/must.h"
#include "policy/split.h"

/* ── reading ── */

static void complain(const struct scenario *s, unsigned line, const char *what, struct span which)
{
	fprintf(stderr, "%s:%u: %s '" SPAN_FMT "'\n", s->file, line, what, SPAN_ARG(which));
}

/* Blanks part words; "..." is one word with blanks in it. false: too many, or a quote is not closed. */
static bool split_words(struct scenario_line *l, struct span rest)
{
	for (;;) {
		rest = span_trim(rest);
		if (!rest.len)
			return true;
		if (l->count == SCENARIO_WORDS)
			return false;
		bool quoted = rest.at[0] == '"';
		size_t n = quoted, end;
		while (n < rest.len && (quoted ? rest.at[n] != '"' : rest.at[n] != ' ' && rest.at[n] != '\t' && rest.at[n] != '\n'))
			n++;
		if (quoted && n == rest.len)
			return false;
		end = n + quoted;
		l->word[l->count++] = (struct span){ rest.at + quoted, n - quoted };
		rest = span_from(rest, end);
		while (rest.len && rest.at[0] == '\n')
			rest = span_from(rest, 1);
	}
}

static bool add_line(struct scenario *s, unsigned number, struct span text)
{
	if (s->line_count == SCENARIO_LINES)
		return false;
	struct scenario_line *l = &s->lines[s->line_count++];
	*l = (struct scenario_line){ .number = number };
	if (!split_words(l, text) || l->count == 0)
		return false;
	l->rest = span_trim(span_from(text, l->word[0].len));
	return true;
}

/* A line that begins with a blank goes on with the one before it; # begins a comment that takes the whole line. */
static bool read_lines(struct scenario *s)
{
	struct span rest = { s->text, s->len }, begun = SPAN_NONE;
	unsigned number = 0, begun_number = 0;
	bool ok = true;
	while (ok && (rest.len || begun.len)) {
		const char *newline = rest.len ? memchr(rest.at, '\n', rest.len) : NULL;
		struct span line = newline ? span_between(rest.at, newline) : rest;
		bool goes_on = begun.len && line.len && (line.at[0] == ' ' || line.at[0] == '\t');
		bool last = !rest.len;
		rest = newline ? span_from(rest, line.len + 1) : SPAN_NONE;
		number++;
		if (goes_on) {
			begun = span_between(begun.at, span_end(line));
			continue;
		}
		if (begun.len && !(ok = add_line(s, begun_number, begun)))
			complain(s, begun_number, "too many lines or words, or a quote that is not closed:", begun);
		begun = last || !span_trim(line).len || line.at[0] == '#' ? SPAN_NONE : line;
		begun_number = number;
	}
	return ok;
}

/* ── configuration ── */

/* config, route, service, global: "key: value" lines of their level, as they stand. */
static void write_level(const struct scenario *s, struct text *out, const char *level, const char *indent)
{
	for (unsigned i = 0; i < s->line_count; i++)
		if (span_eq(s->lines[i].word[0], span_of(level)))
			text_f(out, "%s" SPAN_FMT "\n", indent, SPAN_ARG(s->lines[i].rest));
}

/* path PATH: of the route, instead of / */
static void write_paths(const struct scenario *s, struct text *out)
{
	for (unsigned i = 0; i < s->line_count; i++)
		if (span_eq(s->lines[i].word[0], SPAN("path")))
			text_f(out, "    path: \"" SPAN_FMT "\"\n", SPAN_ARG(s->lines[i].rest));
}

/* beside NAME KEY: VALUE: a further upstream, at NAME-1:80 unless it says otherwise. */
static void write_beside(const struct scenario *s, struct text *out)
{
	for (unsigned i = 0; i < s->line_count; i++) {
		bool first = s->lines[i].count > 1 && span_eq(s->lines[i].word[0], SPAN("beside")), located = false;
		struct span name = first ? s->lines[i].word[1] : SPAN_NONE;
		for (unsigned k = 0; k < i; k++)
			first &= !span_eq(s->lines[k].word[0], SPAN("beside")) || !span_eq(s->lines[k].word[1], name);
		if (!first)
			continue;
		text_f(out, "  " SPAN_FMT ":\n", SPAN_ARG(name));
		for (unsigned k = i; k < s->line_count; k++) {
			const struct scenario_line *l = &s->lines[k];
			if (!span_eq(l->word[0], SPAN("beside")) || !span_eq(l->word[1], name) || l->count < 3)
				continue;
			text_f(out, "    " SPAN_FMT "\n", SPAN_ARG(span_trim(span_from(l->rest, name.len))));
			located |= span_starts(l->word[2], SPAN("endpoints")) || span_starts(l->word[2], SPAN("dns"));
		}
		if (!located)
			text_f(out, "    endpoints: ['http://" SPAN_FMT "-1:80']\n", SPAN_ARG(name));
	}
}

static bool has(const struct scenario *s, const char *word)
{
	for (unsigned i = 0; i < s->line_count; i++)
		if (span_eq(s->lines[i].word[0], span_of(word)))
			return true;
	return false;
}

static void write_endpoints(const struct scenario *s, struct text *out)
{
	bool any = false;
	text_add(out, SPAN("    endpoints: ["));
	for (unsigned i = 0; i < s->line_count; i++)
		for (unsigned k = 1; k < s->lines[i].count && span_eq(s->lines[i].word[0], SPAN("endpoints")); k++) {
			text_f(out, "%s{url: 'http://" SPAN_FMT "'", any ? ", " : "", SPAN_ARG(s->lines[i].word[k]));
			if (k + 2 < s->lines[i].count && span_eq(s->lines[i].word[k + 1], SPAN("weight"))) {
				text_f(out, ", weight: " SPAN_FMT, SPAN_ARG(s->lines[i].word[k + 2]));
				k += 2;
			}
			text_char(out, '}');
			any = true;
		}
	text_f(out, "%s]\n", any ? "" : "'http://app-1:80'");
}

static bool write_config(struct scenario *s)
{
	struct text out;
	text_over(&out, s->config, sizeof(s->config));
	text_add(&out, SPAN("listen: 127.0.0.1:8080\nlog: {level: error}\n"));
	write_level(s, &out, "global", "");
	if (has(s, "config")) {
		text_add(&out, SPAN("defaults:\n"));
		write_level(s, &out, "config", "  ");
	}
	if (!has(s, "no-upstream")) {
		text_add(&out, SPAN("upstreams:\n  app:\n"));
		write_endpoints(s, &out);
		write_level(s, &out, "service", "    ");
		write_beside(s, &out);
	}
	text_add(&out, SPAN("routes:\n"));
	write_level(s, &out, "also", "  - ");
	text_add(&out, SPAN("  - name: main\n"));
	if (!has(s, "path"))
		text_add(&out, SPAN("    path: /\n"));
	write_paths(s, &out);
	text_f(&out, "%s", has(s, "no-upstream") || has(s, "to") ? "" : "    upstream: app\n");
	write_level(s, &out, "to", "    upstream: ");
	write_level(s, &out, "route", "    ");
	s->plan.config = text_span(&out);
	return !out.cut;
}

static bool read_doors(struct scenario *s, const struct scenario_line *l)
{
	uint64_t n;
	if (l->count == 3 && span_eq(l->word[1], SPAN("asker"))) {
		s->plan.asker = true;
		return words_time(l->word[2], &s->plan.store_us);
	}
	if (l->count != 3 || !span_eq(l->word[1], SPAN("turner")) || !span_to_u64(l->word[2], 100, &n))
		return false;
	s->plan.turner = (unsigned)n;
	return true;
}

/* Are all first words known? Those that shape the plan are read here. */
static bool read_plan(struct scenario *s)
{
	static const char *const known[] = { "config", "route", "service", "global", "also", "endpoints", "no-upstream", "path", "upstream", "at",
		"check", "pressure", "see", "seed", "store", "doors", "beside", "to", "operator", "keys", "flags" };
	for (unsigned i = 0; i < s->line_count; i++) {
		const struct scenario_line *l = &s->lines[i];
		bool ok = false;
		for (unsigned k = 0; k < sizeof(known) / sizeof(*known); k++)
			ok |= span_eq(l->word[0], span_of(known[k]));
		if (ok && span_eq(l->word[0], SPAN("seed")))
			ok = l->count == 2 && span_to_u64(l->word[1], UINT32_MAX, &s->plan.seed);
		if (ok && span_eq(l->word[0], SPAN("doors")))
			ok = read_doors(s, l);
		if (ok && span_eq(l->word[0], SPAN("store")) && span_eq(l->word[1], SPAN("takes")))
			ok = l->count == 3 && words_time(l->word[2], &s->plan.store_us);
		if (!ok) {
			complain(s, l->number, "not understood:", l->word[0]);
			return false;
		}
	}
	return true;
}

bool scenario_load(struct scenario *s, const char *file)
{
	FILE *f = fopen(file, "r");
	memset(s, 0, sizeof(*s));
	s->file = file;
	if (!f) {
		perror(file);
		return false;
	}
	s->len = fread(s->text, 1, sizeof(s->text), f);
	fclose(f);
	if (s->len == sizeof(s->text) || !read_lines(s) || !read_plan(s) || !write_config(s)) {
		fprintf(stderr, "%s: cannot be read\n", file);
		return false;
	}
	s->repeats = strstr(s->config, "methods:") != NULL;
	return true;
}

/* ── playing ── */

struct play {
	const struct scenario *s;
	struct world *w;
	bool check;
	unsigned failures, expected;
	struct expectation expectations[GUESTS_MAX];
	const struct scenario_line *upstream;         /* waits for the next `at` */
};

static void fail(struct play *p, const struct scenario_line *l, const char *what, struct span which)
{
	complain(p->s, l->number, what, which);
	p->failures++;
}

/* "NAME:" at *at: that upstream's, and *at moves on; else the first one's. NULL: there is none. */
static struct script *script_named(const struct play *p, const struct scenario_line *l, unsigned *at)
{
	struct span name = *at < l->count ? l->word[*at] : SPAN_NONE;
	if (name.len < 2 || name.at[name.len - 1] != ':')
		return world_script(p->w, NULL);
	name.len--;
	++*at;
	for (unsigned i = 0; i < p->w->conf->upstream_count; i++)
		if (span_eq(p->w->conf->upstreams[i].name, name))
			return &p->w->scripts[i];
	return NULL;
}

static void change_upstream(struct play *p, uint64_t at_us)
{
	const struct scenario_line *first = p->upstream, *end = &p->s->lines[p->s->line_count];
	if (!first)
		return;
	p->upstream = NULL;
	if (at_us)
		world_run_until(p->w, at_us);
	uint64_t cleared = 0;
	for (const struct scenario_line *l = first; l < end && span_eq(l->word[0], SPAN("upstream")); l++) {
		unsigned from = 1;
		struct script *script = script_named(p, l, &from);
		unsigned i = script ? (unsigned)(script - p->w->scripts) : 0;
		if (script && !(cleared >> i & 1))
			script_clear(script);
		cleared |= 1ull << i;
		if (!script || !words_deeds(script, l, from))
			fail(p, l, "a word is not understood:", l->rest);
	}
}

/* One guest; `words`: where METHOD stands. */
static void play_guest(struct play *p, const struct scenario_line *l, uint64_t at_us, unsigned words)
{
	struct guest *g = world_guest(p->w, at_us, "GET", "/");
	g->method = l->word[words];
	g->target = l->word[words + 1];
	g->repeats = p->s->repeats;
	unsigned at = words_guest(g, l, words + 2);
	if (!at)
		fail(p, l, "a word is not understood:", l->rest);
	else if (at < l->count)
		p->expectations[p->expected++] = (struct expectation){ l->number, g, l, at + 1 };
}

/* at TIME... METHOD TARGET WORD... expect ...; or at TIME N times every TIME METHOD ... */
static void play_at(struct play *p, const struct scenario_line *l)
{
	unsigned times = 1;
	uint64_t at_us, count, every_us;
	while (times < l->count && words_time(l->word[times], &at_us))
		times++;
	bool row = times == 2 && l->count > 5 && span_eq(l->word[3], SPAN("times")) && span_eq(l->word[4], SPAN("every"));
	unsigned words = row ? times + 4 : times;
	if (times == 1 || words + 2 > l->count || (row && !(span_to_u64(l->word[2], GUESTS_MAX, &count) && words_time(l->word[5], &every_us)))) {
		fail(p, l, "at TIME METHOD TARGET:", l->rest);
		return;
	}
	words_time(l->word[1], &at_us);
	change_upstream(p, at_us);
	for (uint64_t i = 0; row && i < count; i++)
		play_guest(p, l, at_us + i * every_us, words);
	for (unsigned i = 1; !row && i < times; i++) {
		words_time(l->word[i], &at_us);
		play_guest(p, l, at_us, words);
	}
}

static struct endpoint *endpoint_named(const struct play *p, struct span name)
{
	char text[128];
	if (name.len >= sizeof(text))
		return NULL;
	memcpy(text, name.at, name.len);
	text[name.len] = '\0';
	return world_endpoint(p->w, text);
}

/* check at TIME ENDPOINT fails|passes: what the active health checks have found by then. */
static void play_check(struct play *p, const struct scenario_line *l)
{
	uint64_t at_us;
	struct endpoint *e;
	bool fails = l->count == 5 && span_eq(l->word[4], SPAN("fails"));
	if (l->count != 5 || !span_eq(l->word[1], SPAN("at")) || !words_time(l->word[2], &at_us) || !(e = endpoint_named(p, l->word[3]))
			|| (!fails && !span_eq(l->word[4], SPAN("passes")))) {
		fail(p, l, "check at TIME ENDPOINT fails|passes:", l->rest);
		return;
	}
	if (at_us)
		world_run_until(p->w, at_us);
	__atomic_store_n(&e->unhealthy, fails, __ATOMIC_RELAXED);
}

/* pressure at TIME worker|upstream none|PERCENT: as who measures would find it; 100 is a whole class of requests. */
static void play_pressure(struct play *p, const struct scenario_line *l)
{
	uint64_t at_us, percent = 0;
	bool worker = l->count == 5 && span_eq(l->word[3], SPAN("worker"));
	bool none = l->count == 5 && span_eq(l->word[4], SPAN("none"));
	if (l->count != 5 || !span_eq(l->word[1], SPAN("at")) || !words_time(l->word[2], &at_us) || (!worker && !span_eq(l->word[3], SPAN("upstream")))
			|| (!none && !span_to_u64(l->word[4], 300, &percent))) {
		fail(p, l, "pressure at TIME worker|upstream none|PERCENT:", l->rest);
		return;
	}
	if (at_us)
		world_run_until(p->w, at_us);
	(worker ? &p->w->worker.pressure : &p->w->upstreams[0]->pressure)->level = none ? 0 : 1 + (unsigned)percent * PRESSURE_CLASS / 100;
}

/* keys [at TIME] KID...: these are the keys from then on. keys fetched after TIME KID...: when they are asked for early. */
static void play_keys(struct play *p, const struct scenario_line *l)
{
	bool timed = l->count > 3 && span_eq(l->word[1], SPAN("at")), later = l->count > 4 && span_eq(l->word[1], SPAN("fetched"));
	uint64_t us = 0;
	if ((timed && !words_time(l->word[2], &us)) || (later && !words_time(l->word[3], &us)) || l->count < 2) {
		fail(p, l, "keys [at TIME] KID..., or keys fetched after TIME KID...:", l->rest);
		return;
	}
	if (timed && us)
		world_run_until(p->w, us);
	unsigned from = timed ? 3 : later ? 4 : 1;
	if (later)
		pretend_keys_fetch(p->w, us, &l->word[from], l->count - from);
	else
		pretend_keys_publish(p->w, &l->word[from], l->count - from);
}

static uint64_t counter_named(const struct world *w, struct span list, struct span name)
{
	const struct route_stats *stats = w->router->routes[w->conf->route_count - 1].stats;
	unsigned i = 0;
#define X(word) if (span_eq(list, SPAN("retries")) && span_eq(name, SPAN(#word))) return stats->retries[i]; i++;
	RETRY_RESULTS(X)
#undef X
	i = 0;
#define X(word) if (span_eq(list, SPAN("timeouts")) && span_eq(name, SPAN(#word))) return stats->timeouts[i]; i++;
	TIMEOUT_KINDS(X)
#undef X
	if (span_eq(list, SPAN("counter")) && span_eq(name, SPAN("fallbacks")))
		return stats->fallbacks;
	if (span_eq(list, SPAN("counter")) && span_eq(name, SPAN("deadlines_malformed")))
		return stats->deadlines_malformed;
	if (span_eq(list, SPAN("counter")) && span_eq(name, SPAN("ejections")))
		return w->router->upstream_stats[0]->ejections;
	enum reason why;
	if (span_eq(list, SPAN("errors")) && reason_of(name, &why))       /* of tries */
		return w->router->upstream_stats[0]->errors[why];
	return UINT64_MAX;
}

static bool see_endpoint(const struct play *p, struct span name, struct span state)
{
	struct endpoint *e = endpoint_named(p, name);
	return e && span_eq(state, span_of(endpoint_state_name(endpoint_state(e, p->w->worker.now_us))));
}

/* answers STATUS N: so many clients got it. */
static bool see_answers(const struct world *w, struct span status, uint64_t n)
{
	uint64_t wanted, got = 0;
	if (!span_to_u64(status, 599, &wanted))
		return false;
	for (unsigned i = 0; i < w->guest_count; i++)
		got += w->guests[i].status == (int)wanted;
	return got == n;
}

/* Does a field of this name stand in "METHOD target host\nname: value\n..."? */
static bool lists_field(struct span lines, struct span name)
{
	struct span one;
	span_next(&lines, '\n', &one);
	while (span_next(&lines, '\n', &one))
		if (one.len > name.len && one.at[name.len] == ':' && span_starts(one, name))
			return true;
	return false;
}

static bool lists_line(struct span lines, struct span line)
{
	struct span one;
	while (span_next(&lines, '\n', &one))
		if (span_eq(one, line))
			return true;
	return false;
}

/* metric NAME LABEL... N: the sum of its samples with all these values of labels. */
struct sought { struct samples samples; const struct scenario_line *l; unsigned at; uint64_t now_us; double sum; bool found; };

static void add_sample(struct samples *samples, const struct label *labels, unsigned count, double value)
{
	struct sought *s = container_of(samples, struct sought, samples);
	for (unsigned i = s->at + 2; i + 1 < s->l->count; i++) {
		bool has_it = false;
		for (unsigned k = 0; k < count; k++)
			has_it |= span_eq(labels[k].value, s->l->word[i]);
		if (!has_it)
			return;
	}
	s->sum += value;
	s->found = true;
}

static void skip_hist(struct samples *samples, const struct label *labels, unsigned count, const struct hist *h)
{
	(void)samples; (void)labels; (void)count; (void)h;
}

static void read_metric(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct sought *s = self;
	(void)name;
	for (const struct core_series *series = kind->series; series && series->name; series++)
		if (span_eq(span_of(series->name), s->l->word[s->at + 1]))
			series->read(core, s->now_us, &s->samples);
}

static bool see_metric(const struct world *w, const struct scenario_line *l, unsigned at)
{
	struct sought s = { { add_sample, skip_hist }, l, at, w->worker.now_us, 0, false };
	uint64_t n;
	shared_each(w->shared, NULL, read_metric, &s);
	return s.found && span_to_u64(l->word[l->count - 1], UINT32_MAX, &n) && s.sum == (double)n;
}

static bool see(const struct play *p, const struct scenario_line *l, unsigned at)
{
	const struct script *script = script_named(p, l, &at);
	if (!script || at == l->count)
		return false;
	if (span_eq(l->word[at], SPAN("metric")) && l->count > at + 2)
		return see_metric(p->w, l, at);
	unsigned left = l->count - at;
	struct span what = l->word[at];
	uint64_t n;
	if (span_eq(what, SPAN("endpoint")) && left == 3)
		return see_endpoint(p, l->word[at + 1], l->word[at + 2]);
	if (span_eq(what, SPAN("tries")) && left == 2)
		return span_to_u64(l->word[at + 1], UINT32_MAX, &n) && n == script->started;
	if (span_eq(what, SPAN("asked")) && left == 2)
		return span_eq(l->word[at + 1], (struct span){ script->asked, script->asked_len });
	if (span_eq(what, SPAN("forwarded")) && left == 2)
		return lists_line((struct span){ script->seen, script->seen_len }, l->word[at + 1]);
	if (span_eq(what, SPAN("unforwarded")) && left == 2)
		return !lists_line((struct span){ script->seen, script->seen_len }, l->word[at + 1]);
	if (span_eq(what, SPAN("without")) && left == 2)
		return script->started && !lists_field((struct span){ script->seen, script->seen_len }, l->word[at + 1]);
	if (span_eq(what, SPAN("answers")) && left == 3)
		return span_to_u64(l->word[at + 2], UINT32_MAX, &n) && see_answers(p->w, l->word[at + 1], n);
	return left == 3 && span_to_u64(l->word[at + 2], UINT32_MAX, &n) && n == counter_named(p->w, what, l->word[at + 1]);
}

/* see [at TIME] ...: without a time when all is over. */
static void play_see(struct play *p, const struct scenario_line *l, bool over)
{
	uint64_t at_us;
	bool timed = l->count > 3 && span_eq(l->word[1], SPAN("at"));
	if (timed == over)
		return;
	if (timed && !words_time(l->word[2], &at_us)) {
		fail(p, l, "not a time:", l->word[2]);
		return;
	}
	if (timed)
		world_run_until(p->w, at_us);
	if (p->check && !see(p, l, timed ? 3 : 1)) {
		unsigned from = timed ? 3 : 1;
		const struct script *script = script_named(p, l, &from);
		fail(p, l, "is not so:", l->rest);
		if (!script)
			return;
		fprintf(stderr, "  tries %u, asked '%.*s', forwarded:\n%.*s", script->started, (int)script->asked_len, script->asked,
			(int)script->seen_len, script->seen);
	}
}

/* operator at TIME reset|rollback: of main's split; or drain: streams without an end of their own are ended from then on. */
static void play_operator(struct play *p, const struct scenario_line *l)
{
	uint64_t at_us;
	bool ok = l->count == 4 && span_eq(l->word[1], SPAN("at")) && words_time(l->word[2], &at_us);
	if (ok && at_us)
		world_run_until(p->w, at_us);
	if (ok && span_eq(l->word[3], SPAN("drain")))
		exchanges_farewell(&p->w->worker, 0);
	else if (!ok || split_set(p->w->shared, SPAN("main"), l->word[3]) != SPLIT_SET)
		fail(p, l, "operator at TIME reset|rollback|drain:", l->rest);
}

/* flags [at TIME] DOCUMENT: these are the flags from then on. */
static void play_flags(struct play *p, const struct scenario_line *l)
{
	bool timed = l->count > 3 && span_eq(l->word[1], SPAN("at"));
	struct span rest = timed ? span_between(span_end(l->word[2]), span_end(l->rest)) : l->rest;
	char words[200];
	struct text why;
	uint64_t us = 0;
	if (timed && !words_time(l->word[2], &us))
		fail(p, l, "flags [at TIME] {\"flags\": ...}:", rest);
	if (timed)
		world_run_until(p->w, us);
	text_over(&why, words, sizeof(words));
	struct flag_set *set = flag_set_read(rest, &why);
	if (set)
		flag_book_publish(&p->w->flags, set);
	else if (p->check)
		fail(p, l, "no flags:", text_span(&why));
}

/* "limits": the script of a rate limit says no. Else what becomes of every question. */
static void play_store(struct world *w, struct span how)
{
	if (span_starts(how, SPAN("takes")))
		return;
	w->store_limits = span_eq(how, SPAN("limits"));
	w->store_says = span_eq(how, SPAN("refuses")) ? STORE_refused : span_eq(how, SPAN("slow")) ? STORE_slow
		: span_eq(how, SPAN("down")) ? STORE_down : STORE_ok;
}

unsigned scenario_play(const struct scenario *s, struct world *w, bool check)
{
	struct play p = { .s = s, .w = w, .check = check };
	for (unsigned i = 0; i < s->line_count; i++) {
		const struct scenario_line *l = &s->lines[i];
		if (span_eq(l->word[0], SPAN("upstream")))
			p.upstream = p.upstream ? p.upstream : l;
		else if (span_eq(l->word[0], SPAN("at")))
			play_at(&p, l);
		else if (span_eq(l->word[0], SPAN("see")))
			play_see(&p, l, false);
		else if (span_eq(l->word[0], SPAN("check")))
			play_check(&p, l);
		else if (span_eq(l->word[0], SPAN("pressure")))
			play_pressure(&p, l);
		else if (span_eq(l->word[0], SPAN("operator")))
			play_operator(&p, l);
		else if (span_eq(l->word[0], SPAN("keys")))
			play_keys(&p, l);
		else if (span_eq(l->word[0], SPAN("flags")))
			play_flags(&p, l);
		else if (span_eq(l->word[0], SPAN("store")))
			play_store(w, l->rest);
	}
	world_run(w);
	for (unsigned i = 0; check && i < s->line_count; i++)
		if (span_eq(s->lines[i].word[0], SPAN("see")))
			play_see(&p, &s->lines[i], true);
	for (unsigned i = 0; check && i < p.expected; i++)
		p.failures += words_expect(&p.expectations[i], s->file);
	return p.failures;
}

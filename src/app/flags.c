/* flags.c - see app/flags.h. Only this thread writes here; the workers see the book. */
#include "app/flags.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/server.h"
#include "base/json.h"
#include "base/log.h"
#include "document.h"
#include "prom.h"
#include "words.h"

enum { SET_MAX = 1024 * 1024, CHANGES_MAX = 1024, PLACE_COLUMNS = 20, ERROR_COLUMNS = 20 };
static const uint64_t TIMEOUT_US = 10000000;

struct flags {
	struct server    *server;
	struct flag_book  book;
	struct document  *document;           /* NULL: there are none */
	char              from[CONF_PLACE_MAX + 1];
	uint64_t          interval_us;
	bool              loaded;             /* what is in the book was read there */
	uint64_t          since_us;           /* when `from` became what it is */
	uint64_t          changed_wall_ms;
	uint64_t          changed, unchanged, failed;      /* tries, by what came of them */
	char              error[DOCUMENT_ERROR_MAX];       /* of the last one; empty: it went well */
	struct rand       rand;
	void            (*settled)(void *); void *self;
};

struct flag_book *flags_book(struct flags *f) { return &f->book; }

/* ── telling ── */

static void tell_loaded(const struct flags *f, struct span changes)
{
	struct log_line l;
	log_begin(&l, LOG_INFO, "flags");
	log_text(&l, "from", f->from);
	log_u64(&l, "flags", flag_set_count(f->book.set));
	if (changes.len)
		log_span(&l, "changes", changes);
	log_end(&l);
}

/* A name that nobody has given is a mistake somewhere, and harmless: it is off. */
static void tell_unknown(const struct flags *f)
{
	for (const struct conf_flag_use *use = f->server->conf->flag_uses; use && f->loaded; use = use->next) {
		if (flag_set_has(f->book.set, &use->flag))
			continue;
		struct log_line l;
		log_begin(&l, LOG_WARN, "flag_unknown");
		log_text(&l, "flag", use->flag.name);
		if (use->flag.variant[0])
			log_text(&l, "variant", use->flag.variant);
		log_text(&l, "from", f->from);
		log_end(&l);
	}
}

/* ── what a try has brought ── */

static bool read_flags(void *self, struct span bytes, struct text *why)
{
	struct flags *f = self;
	char words[CHANGES_MAX];
	struct text changes;
	struct flag_set *set = flag_set_read(bytes, why);
	if (!set)
		return false;
	text_over(&changes, words, sizeof(words));
	flag_set_changes(f->book.set, set, &changes);
	flag_book_publish(&f->book, set);
	f->loaded = true;
	f->changed++;
	f->changed_wall_ms = f->server->control.worker.wall_ms;
	f->error[0] = '\0';
	tell_loaded(f, text_span(&changes));
	tell_unknown(f);
	return true;
}

static void kept(void *self, bool again)
{
	struct flags *f = self;
	f->unchanged++;
	f->error[0] = '\0';
	if (again)
		tell_loaded(f, SPAN_NONE);
}

static void failed(void *self, const char *error, bool news)
{
	struct flags *f = self;
	f->failed++;
	snprintf(f->error, sizeof(f->error), "%s", error);
	if (news)
		log_event(LOG_WARN, "flags_failed", "from", f->from, "error", error, NULL);
}

static void settle(struct flags *f)
{
	void (*settled)(void *) = f->settled;
	f->settled = NULL;
	if (settled)
		settled(f->self);
}

static void ended(void *self) { settle(self); }
static uint64_t timeout_us(void *self) { (void)self; return TIMEOUT_US; }

static uint64_t pause_us(void *self, const struct fetch_result *r, unsigned failures)
{
	struct flags *f = self;
	double unit = rand_unit(&f->rand);
	(void)r;
	return failures ? document_back_off_us(failures, unit) : (uint64_t)((double)f->interval_us * (0.8 + 0.4 * unit));
}

/* ── life ── */

struct flags *flags_new(struct server *s)
{
	struct flags *f = calloc(1, sizeof(*f));
	if (!f || !flag_book_init(&f->book)) {
		free(f);
		return NULL;
	}
	f->server = s;
	rand_seed(&f->rand, uv_hrtime());
	return f;
}

/* No more flags: they are all off. */
static void forget(struct flags *f)
{
	struct text why;
	char words[32];
	text_over(&why, words, sizeof(words));
	struct flag_set *none = flag_set_read(SPAN("{\"flags\":{}}"), &why);
	if (none)
		flag_book_publish(&f->book, none);
	f->loaded = false;
}

void flags_adopt(struct flags *f, const struct conf *conf)
{
	const struct conf_flags *c = &conf->flags;
	f->interval_us = c->interval_us;
	if (span_eq(c->from, span_of(f->from))) {
		tell_unknown(f);
		return;
	}
	flags_stop(f);
	memcpy(f->from, c->from.at, c->from.len);
	f->from[c->from.len] = '\0';
	f->since_us = clock_now_us();
	f->changed = f->unchanged = f->failed = 0;
	f->error[0] = '\0';
	if (!c->from.len) {
		forget(f);
		return;
	}
	const struct document_plan plan = { .name = f->from, .accept = "Accept: application/json", .bytes_max = SET_MAX, .read = read_flags,
		.kept = kept, .failed = failed, .ended = ended, .timeout_us = timeout_us, .pause_us = pause_us, .self = f };
	f->document = document_new(&f->server->control.uv, f->server->fetcher, &plan);
	if (!f->document)
		failed(f, "out of memory", true);
}

void flags_on_settled(struct flags *f, void (*settled)(void *), void *self)
{
	f->settled = settled;
	f->self = self;
	if (!f->document || document_tried(f->document))
		settle(f);
}

void flags_stop(struct flags *f)
{
	if (!f)
		return;
	document_free(f->document);
	f->document = NULL;
}

void flags_free(struct flags *f)
{
	if (!f)
		return;
	flag_book_fini(&f->book);
	free(f);
}

/* ── how they are seen ── */

/* Since they were last known to be what the place says; before that, since they are wanted. */
static uint64_t age_us(const struct flags *f)
{
	uint64_t now = clock_now_us(), good = f->document ? document_good_us(f->document) : 0;
	uint64_t since = good ? good : f->since_us;
	return now > since ? now - since : 0;
}

void flags_metrics(const struct server *s, struct prom *out)
{
	const struct flags *f = s->flags;
	if (!f->from[0])
		return;
	prom_family(out, "outrigger_flags_age_seconds", "gauge",
		"Since the flags were last known to be what their place says; until then, since they are wanted.");
	prom_seconds(out, "outrigger_flags_age_seconds", NULL, 0, age_us(f));
}

void flags_json(const struct server *s, struct json *j, const char *key, bool document)
{
	const struct flags *f = s->flags;
	json_open(j, key, '{');
	json_text(j, "from", f->from[0] ? f->from : NULL);
	if (f->from[0]) {
		json_bool(j, "loaded", f->loaded);
		json_u64(j, "flags", flag_set_count(f->book.set));
		json_fixed(j, "age_s", (double)age_us(f) / 1e6, 1);
		json_u64(j, "changed_at_ms", f->changed_wall_ms);
		json_u64(j, "changed", f->changed);
		json_u64(j, "unchanged", f->unchanged);
		json_u64(j, "failed", f->failed);
		json_text(j, "error", f->error);
		if (document)
			json_raw(j, "document", flag_set_document(f->book.set));
	}
	json_close(j, '}');
}

void flags_text(const struct server *s, struct text *out)
{
	const struct flags *f = s->flags;
	unsigned count = flag_set_count(f->book.set);
	if (!f->from[0])
		return;
	struct span file = span_first(words_file(span_of(f->from)), PLACE_COLUMNS);
	text_f(out, "flags       %u from " SPAN_FMT ", ", count, SPAN_ARG(file));
	words_age(out, age_us(f) / 1000000);
	text_f(out, " old%s%.*s\n", f->error[0] ? "; last try: " : "", ERROR_COLUMNS, f->error);
}

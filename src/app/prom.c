/* prom.c - see prom.h. A page has tens of thousands of lines: each is written where it will stand, all of it or nothing. */
#include "prom.h"

#include <float.h>
#include <stdio.h>

#include "base/must.h"
#include "pen.h"

enum { LINE_BYTES = 4096, PREFIX_BYTES = LINE_BYTES / 2 };      /* what is in them comes from the configuration, where names have a limit */

static const uint64_t usual_bounds_us[] = {
	1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000,
};

static void add(struct text *out, const char *s) { text_add(out, span_of(s)); }

/* 2500: 0.0025"}. OpenMetrics wants "1.0" where Prometheus says "1": a label's value is text, and must be the same from everybody. */
static void write_bound(struct text *out, uint64_t us, bool openmetrics)
{
	char digits[6];
	unsigned n = 6;
	uint64_t rest = us % 1000000;
	for (int i = 5; i >= 0; i--, rest /= 10)
		digits[i] = (char)('0' + rest % 10);
	while (n && digits[n - 1] == '0')
		n--;
	text_u64(out, us / 1000000);
	if (n)
		text_char(out, '.');
	text_add(out, (struct span){ digits, n });
	add(out, n || !openmetrics ? "\"} " : ".0\"} ");
}

static void add_bound(struct prom *p, uint64_t us)
{
	struct prom_bound *b = &p->bound[p->bound_count++];
	struct text t;
	text_over(&t, b->text, sizeof(b->text));
	if (us == UINT64_MAX)
		add(&t, "+Inf\"} ");
	else
		write_bound(&t, us, p->openmetrics);
	must(!t.cut);
	b->len = (unsigned)t.len;
	b->us = us;
	b->below = p->bound_count > 1 ? b[-1].below : 0;
	while (b->below < HIST_BUCKETS && hist_bucket_top_us(b->below) <= us)
		b->below++;
}

void prom_begin(struct prom *p, struct text *out, bool openmetrics, const uint64_t *bound_us, unsigned bound_count)
{
	if (!bound_count) {
		bound_us = usual_bounds_us;
		bound_count = sizeof(usual_bounds_us) / sizeof(*usual_bounds_us);
	}
	must(bound_count <= PROM_BOUNDS_MAX);
	p->out = out;
	p->openmetrics = openmetrics;
	p->beginning = (struct prom_beginning){ .name = NULL };
	p->bound_count = 0;
	for (unsigned i = 0; i < bound_count; i++)
		add_bound(p, bound_us[i]);
	add_bound(p, UINT64_MAX);
}

void prom_end(struct prom *p)
{
	if (p->openmetrics)
		add(p->out, "# EOF\n");
}

/* In OpenMetrics a counter is called what its samples are called without _total. */
static struct span family_name(const struct prom *p, const char *name, const char *type)
{
	static const struct span total = { "_total", 6 };
	struct span s = span_of(name);
	bool counts = strcmp(type, "counter") == 0;
	must(!counts || (s.len > total.len && span_eq(span_from(s, s.len - total.len), total)));
	return p->openmetrics && counts ? span_first(s, s.len - total.len) : s;
}

void prom_family(struct prom *p, const char *name, const char *type, const char *help)
{
	struct span family = family_name(p, name, type);
	struct text *out = p->out;
	add(out, "# HELP ");
	text_add(out, family);
	text_char(out, ' ');
	add(out, help);
	add(out, "\n# TYPE ");
	text_add(out, family);
	text_char(out, ' ');
	add(out, type);
	text_char(out, '\n');
}

/* ── lines ── */

/* false: the page is full. */
static bool open_line(struct prom *p, struct pen *pen)
{
	char *at = text_room(p->out, LINE_BYTES);
	*pen = (struct pen){ at, at ? at + LINE_BYTES : at, false };
	return at != NULL;
}

static void close_line(struct prom *p, struct pen *pen)
{
	PUT(pen, "\n");
	if (pen->full)
		p->out->cut = true;
	else
		text_grew(p->out, (size_t)(pen->p - p->out->at) - p->out->len);
}

/* In a label's value three characters are written otherwise. What is not UTF-8 never gets here: names come from the configuration. */
static void put_value(struct pen *pen, struct span s)
{
	size_t plain = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];
		if (c != '\n' && c != '"' && c != '\\')
			continue;
		const char escaped[] = { '\\', c == '\n' ? 'n' : c };
		put(pen, s.at + plain, i - plain);
		put(pen, escaped, sizeof(escaped));
		plain = i + 1;
	}
	if (plain < s.len)
		put(pen, s.at + plain, s.len - plain);
}

static void put_labels(struct pen *pen, char before, const struct label *labels, unsigned count)
{
	for (unsigned i = 0; i < count; i++, before = ',') {
		put(pen, &before, 1);
		put_word(pen, labels[i].name);
		PUT(pen, "=\"");
		put_value(pen, labels[i].value);
		PUT(pen, "\"");
	}
}

static bool begins_alike(const struct prom *p, const char *name, const struct label *first)
{
	const struct prom_beginning *b = &p->beginning;
	return b->name == name && b->label == first->name && span_eq(first->value, (struct span){ p->out->at + b->value_at, b->value_len });
}

/* The name, and its labels without the closing brace. Most lines begin as the one before, which is copied then. */
static void put_series(struct prom *p, struct pen *pen, const char *name, const struct label *labels, unsigned count)
{
	struct prom_beginning *b = &p->beginning;
	if (!count) {
		put_word(pen, name);
		return;
	}
	if (begins_alike(p, name, labels)) {
		put(pen, p->out->at + b->at, b->len);
	} else {
		const char *from = pen->p;
		put_word(pen, name);
		put_labels(pen, '{', labels, 1);
		b->at = (size_t)(from - p->out->at);
		b->len = (size_t)(pen->p - from);
		b->label = labels[0].name;
		b->value_len = labels[0].value.len;
		b->value_at = b->at + b->len - 1 - b->value_len;
		b->name = b->len == strlen(name) + strlen(b->label) + b->value_len + 4 ? name : NULL;      /* NULL: the value was written otherwise */
	}
	put_labels(pen, ',', labels + 1, count - 1);
}

static void put_sample(struct prom *p, struct pen *pen, const char *name, const struct label *labels, unsigned count)
{
	put_series(p, pen, name, labels, count);
	put_word(pen, count ? "} " : " ");
}

static void put_fixed(struct pen *pen, uint64_t value, unsigned decimals)
{
	char digits[8] = ".";
	for (unsigned i = decimals; i; i--, value /= 10)
		digits[i] = (char)('0' + value % 10);
	put_u64(pen, value);
	put(pen, digits, decimals + 1);
}

static void put_real(struct pen *pen, double value)
{
	char far[DBL_MAX_10_EXP + 16];
	if (value >= 0 && value < 1e15 && value == (double)(uint64_t)value)
		put_u64(pen, (uint64_t)value);    /* nearly all: counters, and states */
	else if (value >= 0 && value < 1e12)
		put_fixed(pen, (uint64_t)(value * 1e6 + 0.5), 6);
	else
		put(pen, far, (size_t)snprintf(far, sizeof(far), "%.6f", value));
}

void prom_u64(struct prom *p, const char *name, const struct label *labels, unsigned count, uint64_t value)
{
	struct pen pen;
	if (!open_line(p, &pen))
		return;
	put_sample(p, &pen, name, labels, count);
	put_u64(&pen, value);
	close_line(p, &pen);
}

void prom_seconds(struct prom *p, const char *name, const struct label *labels, unsigned count, uint64_t us)
{
	struct pen pen;
	if (!open_line(p, &pen))
		return;
	put_sample(p, &pen, name, labels, count);
	put_fixed(&pen, us, 6);
	close_line(p, &pen);
}

void prom_real(struct prom *p, const char *name, const struct label *labels, unsigned count, double value)
{
	struct pen pen;
	if (!open_line(p, &pen))
		return;
	put_sample(p, &pen, name, labels, count);
	put_real(&pen, value);
	close_line(p, &pen);
}

/* ── histograms ── */

/* The newest example of those between `low` and `high`, as the buckets count them. */
static const struct exemplar *example_for(const struct exemplars *all, uint64_t low_us, uint64_t high_us)
{
	const struct exemplar *best = NULL;
	for (unsigned i = 0; i < EXEMPLAR_SLOTS; i++) {
		const struct exemplar *e = &all->at[i];
		uint64_t counted_us = hist_bucket_top_us(hist_bucket(e->us));
		if (e->wall_ms && counted_us > low_us && counted_us <= high_us && (!best || e->wall_ms > best->wall_ms))
			best = e;
	}
	return best;
}

static void put_example(struct pen *pen, const struct exemplar *e)
{
	char id[TRACE_ID];
	memcpy(id, e->trace_id, sizeof(id));
	PUT(pen, " # {trace_id=\"");
	put(pen, id, sizeof(id));
	PUT(pen, "\"} ");
	put_fixed(pen, e->us, 6);
	PUT(pen, " ");
	put_fixed(pen, e->wall_ms, 3);
}

/* All begin with the same letters. The count is what they hold: the histogram's own may be one ahead while its writer is at it. */
static uint64_t put_buckets(struct prom *p, struct span prefix, const struct hist *h, const struct exemplars *examples)
{
	uint64_t n = 0, low_us = 0;
	unsigned bucket = counter_get(&h->count) ? 0 : HIST_BUCKETS;      /* nothing is in them: not looked at */
	struct pen pen;
	for (unsigned i = 0; i < p->bound_count && open_line(p, &pen); i++) {
		const struct prom_bound *b = &p->bound[i];
		uint64_t before = n;
		for (; bucket < b->below; bucket++)
			n += counter_get(&h->bucket[bucket]);
		const struct exemplar *e = examples && n > before ? example_for(examples, low_us, b->us) : NULL;
		put(&pen, prefix.at, prefix.len);
		put(&pen, b->text, b->len);
		put_u64(&pen, n);
		if (e)
			put_example(&pen, e);
		close_line(p, &pen);
		low_us = b->us;
	}
	return n;
}

static void put_part(struct pen *pen, const char *name, const char *part, struct span labels)
{
	put_word(pen, name);
	put_word(pen, part);
	put(pen, labels.at, labels.len);
	put_word(pen, labels.len ? "} " : " ");
}

void prom_hist(struct prom *p, const char *name, const struct label *labels, unsigned count, const struct hist *h,
	const struct exemplars *examples)
{
	char memory[PREFIX_BYTES];
	struct pen pen = { memory, memory + sizeof(memory), false };
	put_word(&pen, name);
	PUT(&pen, "_bucket");
	const char *from = pen.p;
	put_labels(&pen, '{', labels, count);
	struct span words = span_between(from, pen.p);
	put_word(&pen, count ? ",le=\"" : "{le=\"");
	p->out->cut |= pen.full;
	uint64_t n = put_buckets(p, span_between(memory, pen.p), h, p->openmetrics ? examples : NULL);
	if (!open_line(p, &pen))
		return;
	put_part(&pen, name, "_sum", words);
	put_fixed(&pen, counter_get(&h->sum_us), 6);
	PUT(&pen, "\n");
	put_part(&pen, name, "_count", words);
	put_u64(&pen, n);
	close_line(p, &pen);
}

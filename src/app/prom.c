/* prom.c - see prom.h. */
#include "prom.h"

#include "base/must.h"

enum { LABELS_MAX = 8, PREFIX_MAX = 512 };

static const uint64_t usual_bounds_us[] = {
	1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000,
};

static void add(struct text *out, const char *s) { text_add(out, span_of(s)); }

/* 2500: 0.0025. OpenMetrics wants "1.0" where Prometheus says "1": a label's value is text, and must be the same from everybody. */
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
	if (!n && openmetrics)
		add(out, ".0");
}

void prom_begin(struct prom *p, struct text *out, bool openmetrics, const uint64_t *bound_us, unsigned bound_count)
{
	unsigned below = 0;
	if (!bound_count) {
		bound_us = usual_bounds_us;
		bound_count = sizeof(usual_bounds_us) / sizeof(*usual_bounds_us);
	}
	must(bound_count <= PROM_BOUNDS_MAX);
	p->out = out;
	p->openmetrics = openmetrics;
	p->bound_count = bound_count;
	for (unsigned i = 0; i < bound_count; i++) {
		struct text t;
		text_over(&t, p->bound[i].text, sizeof(p->bound[i].text));
		write_bound(&t, bound_us[i], openmetrics);
		p->bound[i].us = bound_us[i];
		while (below < HIST_BUCKETS && hist_bucket_top_us(below) <= bound_us[i])
			below++;
		p->bound[i].below = below;
		p->bound[i].len = (unsigned)t.len;
	}
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

/* In a label's value three characters are written otherwise. What is not UTF-8 never gets here: names come from the configuration. */
static void add_value(struct text *out, struct span s)
{
	size_t plain = 0;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];
		if (c != '\n' && c != '"' && c != '\\')
			continue;
		text_add(out, (struct span){ s.at + plain, i - plain });
		text_char(out, '\\');
		text_char(out, c == '\n' ? 'n' : c);
		plain = i + 1;
	}
	text_add(out, span_from(s, plain));
}

/* The name, and its labels without the closing brace. */
static void open_series(struct text *out, const char *name, const char *suffix, const struct label *labels, unsigned count)
{
	add(out, name);
	add(out, suffix);
	for (unsigned i = 0; i < count; i++) {
		text_char(out, i ? ',' : '{');
		add(out, labels[i].name);
		add(out, "=\"");
		add_value(out, labels[i].value);
		text_char(out, '"');
	}
}

static void series(struct text *out, const char *name, const char *suffix, const struct label *labels, unsigned count)
{
	open_series(out, name, suffix, labels, count);
	add(out, count ? "} " : " ");
}

static void end_u64(struct text *out, uint64_t value)
{
	char digits[24];
	size_t n = u64_to_text(value, digits);
	digits[n++] = '\n';
	text_add(out, (struct span){ digits, n });
}

static void add_fixed(struct text *out, uint64_t value, unsigned decimals)
{
	char digits[8] = ".";
	uint64_t scale = 1;
	for (unsigned i = decimals; i; i--, scale *= 10)
		digits[i] = (char)('0' + value / scale % 10);
	text_u64(out, value / scale);
	text_add(out, (struct span){ digits, decimals + 1 });
}

static void end_seconds(struct text *out, uint64_t us)
{
	add_fixed(out, us, 6);
	text_char(out, '\n');
}

void prom_u64(struct prom *p, const char *name, const struct label *labels, unsigned count, uint64_t value)
{
	series(p->out, name, "", labels, count);
	end_u64(p->out, value);
}

void prom_seconds(struct prom *p, const char *name, const struct label *labels, unsigned count, uint64_t us)
{
	series(p->out, name, "", labels, count);
	end_seconds(p->out, us);
}

void prom_real(struct prom *p, const char *name, const struct label *labels, unsigned count, double value)
{
	series(p->out, name, "", labels, count);
	if (value >= 0 && value < 1e15 && value == (double)(uint64_t)value)
		end_u64(p->out, (uint64_t)value);         /* nearly all: counters, and states */
	else
		text_f(p->out, "%.6f\n", value);
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

static void end_with_example(struct text *out, uint64_t n, const struct exemplar *e)
{
	char id[TRACE_ID];
	memcpy(id, e->trace_id, sizeof(id));
	text_u64(out, n);
	add(out, " # {trace_id=\"");
	text_add(out, (struct span){ id, sizeof(id) });
	add(out, "\"} ");
	add_fixed(out, e->us, 6);
	text_char(out, ' ');
	add_fixed(out, e->wall_ms, 3);
	text_char(out, '\n');
}

/* One bucket line; all of a series begin with the same letters. */
static void bucket_line(struct prom *p, struct span prefix, struct span le, uint64_t n, const struct exemplar *e)
{
	text_add(p->out, prefix);
	text_add(p->out, le);
	add(p->out, "\"} ");
	if (e)
		end_with_example(p->out, n, e);
	else
		end_u64(p->out, n);
}

/* The count is what the buckets hold: the histogram's own may be one ahead while its writer is at it. */
static uint64_t buckets(struct prom *p, struct span prefix, const struct hist *h, const struct exemplars *examples)
{
	uint64_t n = 0, low_us = 0;
	unsigned bucket = 0;
	if (!p->openmetrics)
		examples = NULL;
	for (unsigned i = 0; i <= p->bound_count; i++) {
		bool last = i == p->bound_count;
		uint64_t before = n, high_us = last ? UINT64_MAX : p->bound[i].us;
		for (unsigned below = last ? HIST_BUCKETS : p->bound[i].below; bucket < below; bucket++)
			n += counter_get(&h->bucket[bucket]);
		struct span le = last ? SPAN("+Inf") : (struct span){ p->bound[i].text, p->bound[i].len };
		bucket_line(p, prefix, le, n, examples && n > before ? example_for(examples, low_us, high_us) : NULL);
		low_us = high_us;
	}
	return n;
}

void prom_hist(struct prom *p, const char *name, const struct label *labels, unsigned count, const struct hist *h,
	const struct exemplars *examples)
{
	char memory[PREFIX_MAX];
	struct text prefix;
	must(count < LABELS_MAX);
	text_over(&prefix, memory, sizeof(memory));
	open_series(&prefix, name, "_bucket", labels, count);
	add(&prefix, count ? ",le=\"" : "{le=\"");
	if (prefix.cut) {                         /* names from the configuration are not that long */
		p->out->cut = true;
		return;
	}
	uint64_t n = buckets(p, text_span(&prefix), h, examples);
	series(p->out, name, "_sum", labels, count);
	end_seconds(p->out, counter_get(&h->sum_us));
	series(p->out, name, "_count", labels, count);
	end_u64(p->out, n);
}

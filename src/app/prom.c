/* prom.c - see prom.h. */
#include "prom.h"

#include "base/must.h"

enum { LABELS_MAX = 8 };

static const struct { uint64_t us; const char *text; } bounds[] = {
	{ 1000, "0.001" }, { 2500, "0.0025" }, { 5000, "0.005" }, { 10000, "0.01" }, { 25000, "0.025" }, { 50000, "0.05" },
	{ 100000, "0.1" }, { 250000, "0.25" }, { 500000, "0.5" }, { 1000000, "1" }, { 2500000, "2.5" }, { 5000000, "5" },
	{ 10000000, "10" }, { 30000000, "30" }, { 60000000, "60" },
};

static void add(struct text *out, const char *s) { text_add(out, span_of(s)); }

void prom_family(struct text *out, const char *name, const char *type, const char *help)
{
	add(out, "# HELP ");
	add(out, name);
	text_char(out, ' ');
	add(out, help);
	add(out, "\n# TYPE ");
	add(out, name);
	text_char(out, ' ');
	add(out, type);
	text_char(out, '\n');
}

/* In a label's value three characters are written otherwise. What is not UTF-8 never gets here: names come from the configuration. */
static void add_value(struct text *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '\n')
			add(out, "\\n");
		else {
			if (s.at[i] == '"' || s.at[i] == '\\')
				text_char(out, '\\');
			text_char(out, s.at[i]);
		}
	}
}

static void series(struct text *out, const char *name, const char *suffix, const struct label *labels, unsigned count)
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
	add(out, count ? "} " : " ");
}

static void end_u64(struct text *out, uint64_t value)
{
	text_u64(out, value);
	text_char(out, '\n');
}

static void end_seconds(struct text *out, uint64_t us)
{
	char digits[6];
	uint64_t rest = us % 1000000;
	for (int i = 5; i >= 0; i--, rest /= 10)
		digits[i] = (char)('0' + rest % 10);
	text_u64(out, us / 1000000);
	text_char(out, '.');
	text_add(out, (struct span){ digits, sizeof(digits) });
	text_char(out, '\n');
}

void prom_u64(struct text *out, const char *name, const struct label *labels, unsigned count, uint64_t value)
{
	series(out, name, "", labels, count);
	end_u64(out, value);
}

void prom_seconds(struct text *out, const char *name, const struct label *labels, unsigned count, uint64_t us)
{
	series(out, name, "", labels, count);
	end_seconds(out, us);
}

void prom_real(struct text *out, const char *name, const struct label *labels, unsigned count, double value)
{
	series(out, name, "", labels, count);
	text_f(out, "%.6f\n", value);
}

/* The count is what the buckets hold: the histogram's own may be one ahead while its writer is at it. */
void prom_hist(struct text *out, const char *name, const struct label *labels, unsigned count, const struct hist *h)
{
	struct label all[LABELS_MAX];
	uint64_t n = 0;
	unsigned bucket = 0;
	must(count < LABELS_MAX);
	for (unsigned i = 0; i < count; i++)
		all[i] = labels[i];
	for (unsigned i = 0; i < sizeof(bounds) / sizeof(*bounds); i++) {
		all[count] = (struct label){ "le", span_of(bounds[i].text) };
		series(out, name, "_bucket", all, count + 1);
		while (bucket < HIST_BUCKETS && hist_bucket_top_us(bucket) <= bounds[i].us)
			n += counter_get(&h->bucket[bucket++]);
		end_u64(out, n);
	}
	all[count] = (struct label){ "le", SPAN("+Inf") };
	while (bucket < HIST_BUCKETS)
		n += counter_get(&h->bucket[bucket++]);
	series(out, name, "_bucket", all, count + 1);
	end_u64(out, n);
	series(out, name, "_sum", labels, count);
	end_seconds(out, counter_get(&h->sum_us));
	series(out, name, "_count", labels, count);
	end_u64(out, n);
}

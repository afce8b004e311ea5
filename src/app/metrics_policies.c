/* metrics_policies.c - what the policies' process-wide cores tell of themselves (core/shared.h), family by family. */
#include "base/must.h"
#include "metrics_parts.h"

enum { KINDS_MAX = 32, SAMPLE_LABELS = 4 };

struct kinds { const struct core_kind *at[KINDS_MAX]; unsigned count; };

static void note_kind(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct kinds *kinds = self;
	(void)name; (void)core;
	for (unsigned i = 0; i < kinds->count; i++)
		if (kinds->at[i] == kind)
			return;
	must(kinds->count < KINDS_MAX);
	kinds->at[kinds->count++] = kind;
}

struct family { struct samples samples; struct prom *out; uint64_t now_us; const struct core_series *series; struct label labels[SAMPLE_LABELS]; };

static unsigned join_labels(struct family *f, const struct label *more, unsigned count)
{
	must(count < SAMPLE_LABELS);
	for (unsigned i = 0; i < count; i++)
		f->labels[1 + i] = more[i];
	return 1 + count;
}

static void put_real(struct samples *s, const struct label *more, unsigned count, double value)
{
	struct family *f = container_of(s, struct family, samples);
	prom_real(f->out, f->series->name, f->labels, join_labels(f, more, count), value);
}

static void put_hist(struct samples *s, const struct label *more, unsigned count, const struct hist *h)
{
	struct family *f = container_of(s, struct family, samples);
	prom_hist(f->out, f->series->name, f->labels, join_labels(f, more, count), h, NULL);
}

static void read_core(void *self, const struct core_kind *kind, struct span name, void *core)
{
	struct family *f = self;
	f->labels[0] = (struct label){ kind->label, name };
	f->series->read(core, f->now_us, &f->samples);
}

void metrics_of_policies(const struct server *s, struct prom *out)
{
	struct kinds kinds = { .count = 0 };
	uint64_t now_us = clock_now_us();
	shared_each(s->shared, NULL, note_kind, &kinds);
	for (unsigned k = 0; k < kinds.count; k++)
		for (const struct core_series *series = kinds.at[k]->series; series && series->name; series++) {
			struct family f = { .samples = { put_real, put_hist }, .out = out, .now_us = now_us, .series = series };
			prom_family(out, series->name, series->type, series->help);
			shared_each(s->shared, kinds.at[k], read_core, &f);
		}
}

/* document.c - see document.h. Either its timer is armed, or a fetch runs. */
#include "document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "edge/loop.h"

enum { LOOK_MS = 1000, ETAG_MAX = 256, BACK_OFF_US = 500000 };
static const uint64_t BACK_OFF_MAX_US = 60000000;

struct document {
	struct document_plan plan;
	struct fetcher *fetcher;
	uv_timer_t      due;
	struct fetch   *fetch;
	bool            tried, forced;
	unsigned        failures;             /* in a row */
	char            error[DOCUMENT_ERROR_MAX];                /* of the last one */
	bool            good;                 /* `seen` is what was taken for good */
	uint64_t        good_us;
	struct text     seen;
	char            etag[ETAG_MAX + 1];
	struct stat     stat;                 /* of the file when it was read last */
};

static bool is_file(const struct document *d) { return span_starts(span_of(d->plan.name), SPAN("file:")); }
static const char *path_of(const struct document *d) { return d->plan.name + strlen("file:"); }

uint64_t document_back_off_us(unsigned failures, double unit)
{
	uint64_t most = failures > 10 ? BACK_OFF_MAX_US : (uint64_t)BACK_OFF_US << (failures - 1);
	return (uint64_t)((double)(most < BACK_OFF_MAX_US ? most : BACK_OFF_MAX_US) * (0.5 + 0.5 * unit));
}

/* ── what has come ── */

static void failed(struct document *d, const char *error)
{
	bool same = d->failures && strncmp(d->error, error, sizeof(d->error) - 1) == 0;
	d->failures++;
	snprintf(d->error, sizeof(d->error), "%s", error);
	d->plan.failed(d->plan.self, d->error, !same);
}

static void kept(struct document *d)
{
	bool again = d->failures > 0;
	d->failures = 0;
	d->good_us = clock_now_us();
	d->plan.kept(d->plan.self, again);
}

static void got(struct document *d, struct span bytes)
{
	char words[DOCUMENT_ERROR_MAX];
	struct text why;
	if (d->good && span_eq(bytes, text_span(&d->seen))) {
		kept(d);
		return;
	}
	text_over(&why, words, sizeof(words) - 1);
	bool good = d->plan.read(d->plan.self, bytes, &why);
	words[why.len] = '\0';
	if (!good) {
		failed(d, words);
		return;
	}
	d->failures = 0;
	d->good = true;
	d->good_us = clock_now_us();
	d->seen.len = 0;
	text_add(&d->seen, bytes);
}

/* ── when ── */

static void begin(struct document *);

static void due(uv_timer_t *timer) { begin(container_of(timer, struct document, due)); }

static void ended(struct document *d, uint64_t pause_us)
{
	d->forced = false;
	d->tried = true;
	uv_timer_start(&d->due, due, (pause_us + 999) / 1000, 0);
	d->plan.ended(d->plan.self);
}

static void fetched(void *self, const struct fetch_result *r)
{
	struct document *d = self;
	char words[32];

	d->fetch = NULL;
	if (r->ok && r->status == 200) {
		got(d, r->body);
		size_t len = d->failures || r->etag.len > ETAG_MAX ? 0 : r->etag.len;
		memcpy(d->etag, len ? r->etag.at : "", len);
		d->etag[len] = '\0';
	} else if (r->ok && r->status == 304 && d->good) {
		kept(d);
	} else if (r->ok) {
		snprintf(words, sizeof(words), "status %d", r->status);
		failed(d, words);
	} else
		failed(d, r->error);
	ended(d, d->plan.pause_us(d->plan.self, r, d->failures));
}

static void fetch(struct document *d)
{
	char condition[ETAG_MAX + 20];
	const char *headers[] = { d->plan.accept, condition };
	snprintf(condition, sizeof(condition), "If-None-Match: %s", d->etag);
	struct fetch_request r = { .url = d->plan.name, .headers = headers, .header_count = d->etag[0] ? 2 : 1,
		.timeout_us = d->plan.timeout_us(d->plan.self), .max_body = d->plan.bytes_max, .done = fetched, .self = d };
	d->fetch = fetch_start(d->fetcher, &r);
	if (d->fetch)
		return;
	failed(d, "out of memory");
	ended(d, BACK_OFF_US);
}

/* ── files ── */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec
		&& a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Small, and on a disk: read here and now. */
static void read_file(struct document *d)
{
	char piece[8192];
	ssize_t n = -1;
	struct text bytes;
	int fd = open(path_of(d), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	text_init(&bytes, d->plan.bytes_max);
	if (fd >= 0 && fstat(fd, &d->stat) == 0)
		while ((n = read(fd, piece, sizeof(piece))) > 0)
			text_add(&bytes, (struct span){ piece, (size_t)n });
	if (n < 0) {
		failed(d, strerror(errno));
		memset(&d->stat, 0, sizeof(d->stat));
	} else if (bytes.cut)
		failed(d, "the file is too long");
	else
		got(d, text_span(&bytes));
	if (fd >= 0)
		close(fd);
	text_fini(&bytes);
	ended(d, (uint64_t)LOOK_MS * 1000);
}

static void look_at_file(struct document *d)
{
	struct stat now;
	if (d->forced || !d->tried || stat(path_of(d), &now) != 0 || !same_file(&now, &d->stat)) {
		read_file(d);
		return;
	}
	if (!d->failures) {
		d->good_us = clock_now_us();
		if (d->plan.seen)
			d->plan.seen(d->plan.self);
	}
	uv_timer_start(&d->due, due, LOOK_MS, 0);
}

static void begin(struct document *d)
{
	if (is_file(d))
		look_at_file(d);
	else
		fetch(d);
}

bool document_hurry(struct document *d)
{
	if (d->fetch)
		return false;
	d->forced = true;
	uv_timer_stop(&d->due);
	begin(d);
	return true;
}

/* ── life ── */

bool document_tried(const struct document *d) { return d->tried; }
uint64_t document_good_us(const struct document *d) { return d->good_us; }

struct document *document_new(uv_loop_t *uv, struct fetcher *fetcher, const struct document_plan *plan)
{
	struct document *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->plan = *plan;
	d->fetcher = fetcher;
	text_init(&d->seen, plan->bytes_max);
	uv_timer_init(uv, &d->due);
	uv_timer_start(&d->due, due, 0, 0);
	return d;
}

static void closed(uv_handle_t *h)
{
	struct document *d = container_of((uv_timer_t *)h, struct document, due);
	text_fini(&d->seen);
	free(d);
}

void document_free(struct document *d)
{
	if (!d)
		return;
	fetch_cancel(d->fetch);
	uv_close((uv_handle_t *)&d->due, closed);
}

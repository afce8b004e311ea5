/* idem_core.c - what the doors of a route share, and how it is seen. */
#include "idempotency.h"

static struct idem_limits limits_of(const struct idempotency_conf *c) { return (struct idem_limits){ c->max_keys, c->max_bytes, c->ttl_us }; }

static bool core_init(void *memory, const void *with)
{
	struct idempotency_core *core = memory;
	core->limits = limits_of(with);
	idem_table_init(&core->table, (uint64_t)(uintptr_t)memory);
	list_init(&core->crossings);
	return pthread_mutex_init(&core->lock, NULL) == 0;
}

static void core_adapt(void *memory, const void *with)
{
	struct idempotency_core *core = memory;
	pthread_mutex_lock(&core->lock);
	core->limits = limits_of(with);
	pthread_mutex_unlock(&core->lock);
}

static void core_fini(void *memory)
{
	struct idempotency_core *core = memory;
	idem_table_fini(&core->table);
	pthread_mutex_destroy(&core->lock);
}

static void read_results(void *memory, uint64_t now_us, struct samples *out)
{
	static const char *const words[] = {
#define X(word) #word,
		IDEM_RESULTS(X)
#undef X
	};
	struct idempotency_core *core = memory;
	(void)now_us;
	for (unsigned i = 0; i < RESULT_COUNT; i++)
		out->real(out, &(struct label){ "result", span_of(words[i]) }, 1, (double)__atomic_load_n(&core->results[i], __ATOMIC_RELAXED));
}

struct sizes { uint64_t keys, bytes, forgotten; };
static struct sizes sizes_of(struct idempotency_core *core)
{
	pthread_mutex_lock(&core->lock);
	struct sizes s = { core->table.map.count, core->table.bytes, core->table.forgotten };
	pthread_mutex_unlock(&core->lock);
	return s;
}

static void read_keys(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, (double)sizes_of(core).keys);
}

static void read_bytes(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, (double)sizes_of(core).bytes);
}

static void read_store_errors(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, (double)__atomic_load_n(&((struct idempotency_core *)core)->store_errors, __ATOMIC_RELAXED));
}

static void read_forgotten(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, (double)sizes_of(core).forgotten);
}

static const struct core_series series[] = {
	{ "outrigger_idempotency_total", "counter", "Requests with an Idempotency-Key, by what became of them.", read_results },
	{ "outrigger_idempotency_keys", "gauge", "Keys in memory, of requests that run or have run.", read_keys },
	{ "outrigger_idempotency_bytes", "gauge", "Memory of kept answers, about.", read_bytes },
	{ "outrigger_idempotency_forgotten_total", "counter", "Answers given up before their time, for room: a repetition would have run again.",
		read_forgotten },
	{ "outrigger_idempotency_store_errors_total", "counter", "Requests that came while the store did not answer: see on_store_error.",
		read_store_errors },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *core, uint64_t now_us, struct json *j)
{
	struct sizes s = sizes_of(core);
	(void)now_us;
	json_u64(j, "keys", s.keys);
	json_u64(j, "bytes", s.bytes);
	json_u64(j, "forgotten", s.forgotten);
	json_u64(j, "replayed", __atomic_load_n(&((struct idempotency_core *)core)->results[RESULT_replayed], __ATOMIC_RELAXED));
}

static void summary(void *core, uint64_t now_us, struct text *out)
{
	struct sizes s = sizes_of(core);
	(void)now_us;
	text_f(out, "%llu keys, %llu KiB of answers", (unsigned long long)s.keys, (unsigned long long)(s.bytes / 1024));
}

const struct core_kind idempotency_kind = {
	.name = "idempotency", .label = "route", .size = sizeof(struct idempotency_core), .init = core_init, .adapt = core_adapt, .fini = core_fini,
	.series = series, .state = state_json, .summary = summary,
};

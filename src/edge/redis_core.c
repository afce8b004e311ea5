/* redis_core.c - see redis_core.h. */
#include "redis_core.h"

static void read_results(void *memory, uint64_t now_us, struct samples *out)
{
	struct redis_core *core = memory;
	(void)now_us;
	for (unsigned i = 0; i < STORE_RESULT_COUNT; i++) {
		struct label label = { "result", span_of(store_result_name((enum store_result)i)) };
		out->real(out, &label, 1, (double)__atomic_load_n(&core->results[i], __ATOMIC_RELAXED));
	}
}

static bool core_is_up(const struct redis_core *core)
{
	uint64_t connected = __atomic_load_n(&core->connected, __ATOMIC_RELAXED);
	return connected > 0 && connected == __atomic_load_n(&core->workers, __ATOMIC_RELAXED);
}

static void read_up(void *core, uint64_t now_us, struct samples *out)
{
	(void)now_us;
	out->real(out, NULL, 0, core_is_up(core));
}

static void read_instances(void *memory, uint64_t now_us, struct samples *out)
{
	struct redis_core *core = memory;
	(void)now_us;
	out->real(out, NULL, 0, (double)__atomic_load_n(&core->instances, __ATOMIC_RELAXED));
}

static const struct core_series series[] = {
	{ "outrigger_store_calls_total", "counter", "Questions to a store, by how they ended.", read_results },
	{ "outrigger_store_up", "gauge", "Is every worker connected to the store?", read_up },
	{ "outrigger_store_instances", "gauge", "Processes that share the store, as last counted.", read_instances },
	{ NULL, NULL, NULL, NULL }
};

static void state_json(void *memory, uint64_t now_us, struct json *j)
{
	struct redis_core *core = memory;
	(void)now_us;
	json_bool(j, "up", core_is_up(core));
	json_u64(j, "instances", __atomic_load_n(&core->instances, __ATOMIC_RELAXED));
	for (unsigned i = 0; i < STORE_RESULT_COUNT; i++)
		json_u64(j, store_result_name((enum store_result)i), __atomic_load_n(&core->results[i], __ATOMIC_RELAXED));
}

static void summary(void *memory, uint64_t now_us, struct text *out)
{
	struct redis_core *core = memory;
	unsigned long long n = __atomic_load_n(&core->instances, __ATOMIC_RELAXED);
	(void)now_us;
	if (core_is_up(core))
		text_f(out, "connected, shared by %llu instance%s", n, n == 1 ? "" : "s");
	else
		text_add(out, SPAN("not connected"));
}

static bool core_init(void *memory, const void *with)
{
	(void)with;
	((struct redis_core *)memory)->instances = 1;
	return true;
}

const struct core_kind redis_kind = {
	.name = "redis", .label = "store", .size = sizeof(struct redis_core), .init = core_init, .series = series, .state = state_json,
	.summary = summary,
};

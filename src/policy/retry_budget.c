/* retry_budget.c - see retry_budget.h. Budget arithmetic (budget.h) behind a short lock, and how it is seen. */
#include "retry_budget.h"

#include <pthread.h>

/* conf: of the route that came last, for the gauge */
struct retry_budget { pthread_mutex_t lock; struct budget budget; struct budget_conf conf; };

static bool budget_init(void *core, const void *with)
{
	struct retry_budget *b = core;
	b->conf = *(const struct budget_conf *)with;
	return pthread_mutex_init(&b->lock, NULL) == 0;
}

static void budget_fini(void *core) { pthread_mutex_destroy(&((struct retry_budget *)core)->lock); }

static void budget_adapt(void *core, const void *with)
{
	struct retry_budget *b = core;
	pthread_mutex_lock(&b->lock);
	b->conf = *(const struct budget_conf *)with;
	pthread_mutex_unlock(&b->lock);
}

static double available(struct retry_budget *b, uint64_t now_us)
{
	pthread_mutex_lock(&b->lock);
	double ratio = budget_available(&b->budget, &b->conf, now_us);
	pthread_mutex_unlock(&b->lock);
	return ratio;
}

static void read_available(void *core, uint64_t now_us, struct samples *out) { out->real(out, NULL, 0, available(core, now_us)); }
static void budget_state(void *core, uint64_t now_us, struct json *j) { json_fixed(j, "available", available(core, now_us), 3); }

static const struct core_series series[] = {
	{ "outrigger_retry_budget_available_ratio", "gauge", "What is left of the retry budget: 1 is all of it, at 0 nothing is retried.",
		read_available },
	{ NULL, NULL, NULL, NULL }
};
static const struct core_kind kind = {
	.name = "retry_budget", .label = "upstream", .size = sizeof(struct retry_budget), .init = budget_init, .adapt = budget_adapt,
	.fini = budget_fini, .series = series, .state = budget_state,
};

struct retry_budget *retry_budget_take(struct shared *shared, struct span upstream, const struct budget_conf *conf)
{
	return shared_take(shared, &kind, upstream, conf);
}

void retry_budget_request(struct retry_budget *b, uint64_t now_us)
{
	pthread_mutex_lock(&b->lock);
	budget_request(&b->budget, now_us);
	pthread_mutex_unlock(&b->lock);
}

bool retry_budget_pay(struct retry_budget *b, const struct budget_conf *conf, uint64_t now_us)
{
	pthread_mutex_lock(&b->lock);
	bool paid = budget_take(&b->budget, conf, now_us);
	pthread_mutex_unlock(&b->lock);
	return paid;
}

void retry_budget_refund(struct retry_budget *b, uint64_t now_us)
{
	pthread_mutex_lock(&b->lock);
	budget_refund(&b->budget, now_us);
	pthread_mutex_unlock(&b->lock);
}

bool retried_in_front(const struct exchange *ex)
{
	uint64_t n;
	return ex->client_trusted && span_to_u64(fields_value(&ex->request.fields, FIELD_X_OUTRIGGER_ATTEMPT), 1000, &n) && n >= 2;
}

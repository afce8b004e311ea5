/* budget.c - see budget.h. */
#include "budget.h"

static uint64_t second_of(uint64_t now_us) { return now_us / 1000000 + 1; }      /* 0 marks an unused bucket */

static void sum(const struct budget *b, uint64_t now_us, uint64_t *requests, uint64_t *retries)
{
	uint64_t second = second_of(now_us);
	*requests = *retries = 0;
	for (unsigned i = 0; i < BUDGET_SECONDS; i++)
		if (b->bucket[i].second + BUDGET_SECONDS > second && b->bucket[i].second <= second && b->bucket[i].second) {
			*requests += b->bucket[i].requests;
			*retries += b->bucket[i].retries;
		}
}

static unsigned bucket_now(struct budget *b, uint64_t now_us)
{
	uint64_t second = second_of(now_us);
	unsigned i = (unsigned)(second % BUDGET_SECONDS);
	if (b->bucket[i].second != second) {
		b->bucket[i].second = second;
		b->bucket[i].requests = b->bucket[i].retries = 0;
	}
	return i;
}

static double allowed(const struct budget_conf *c, uint64_t requests)
{
	return c->share * (double)requests + (double)c->per_second * BUDGET_SECONDS;
}

void budget_request(struct budget *b, uint64_t now_us) { b->bucket[bucket_now(b, now_us)].requests++; }

bool budget_take(struct budget *b, const struct budget_conf *c, uint64_t now_us)
{
	uint64_t requests, retries;
	sum(b, now_us, &requests, &retries);
	if ((double)retries + 1 > allowed(c, requests))
		return false;
	b->bucket[bucket_now(b, now_us)].retries++;
	return true;
}

void budget_refund(struct budget *b, uint64_t now_us)
{
	unsigned i = bucket_now(b, now_us), before = (i + BUDGET_SECONDS - 1) % BUDGET_SECONDS;
	if (b->bucket[i].retries)
		b->bucket[i].retries--;
	else if (b->bucket[before].second + 1 == b->bucket[i].second && b->bucket[before].retries)
		b->bucket[before].retries--;
}

double budget_available(const struct budget *b, const struct budget_conf *c, uint64_t now_us)
{
	uint64_t requests, retries;
	sum(b, now_us, &requests, &retries);
	double most = allowed(c, requests);
	return most <= 0 || (double)retries >= most ? 0 : 1 - (double)retries / most;
}

/* registry.c - the order of the doors, outermost first, with the reason for each neighbour pair. */
#include "policy/registry.h"

static const struct policy_type *const types[] = {
	&fallback_policy,   /* before deadline: also a request that ran out of time may get the substitute                         */
	&deadline_policy,   /* before all that waits: queueing, back-off and tries are paid from one budget                        */
	&auth_policy,       /* before rate_limit: whose allowance it is may stand in the token                                      */
	&rate_limit_policy, /* before whatever costs something: who asks too often is told so at once                              */
	&priority_policy,   /* before whoever asks for it                                                                          */
	&respond_policy,    /* before fault: a maintenance page needs no chaos, and no upstream                                    */
	&fault_policy,      /* before retry: an injected abort must reach the client, not be repaired by our own retry             */
	&idempotency_policy,    /* behind fault: what that says is not kept; before mirror and split, for what really runs */
	&mirror_policy,     /* behind fault: a copy is for what really runs; before split: each request is copied once, whichever way it goes */
	&split_policy,      /* before all that belongs to one upstream, answers kept included: those doors are there for each version */
	&cache_policy,      /* behind all that may refuse the client for its own sake; before shed and coalesce: what is kept needs neither */
	&shed_policy,       /* behind cache: what is kept costs no more than a refusal; before coalesce: who is turned away holds nothing */
	&coalesce_policy,   /* before retry, breaker and permits: who shares an answer needs none of them                          */
	&guard_policy,      /* behind coalesce: each request to the upstream counts once; before retry: what counts is what is left after it   */
	&retry_policy,      /* before what belongs to one try: each try takes and gives back its own, none is held during back-off */
	&hedge_policy,      /* inside retry: a second request is part of one try; before what belongs to one request: each of the two takes its own */
	&circuit_breaker_policy,    /* before per_try: it judges what became of the whole try, running out of time included        */
	&concurrency_policy,    /* behind the breaker: an open one needs no permit; before per_try: a try's time begins when it has one  */
	&per_try_policy,    /* before outlier: running out of one try's time is that endpoint's fault, and judged as such          */
	&outlier_policy,    /* before balance: it judges the endpoint that balance has picked                                      */
	&balance_policy,    /* innermost: the choice is made as late as possible                                                   */
};
enum { TYPES = sizeof(types) / sizeof(*types) };

const struct policy_type *const *policy_types(unsigned *count)
{
	*count = TYPES;
	return types;
}

const struct conf_block *policy_blocks(unsigned *count)
{
	static struct conf_block blocks[TYPES];   /* the same bytes whenever it is filled */
	unsigned n = 0;
	for (unsigned i = 0; i < TYPES; i++) {
		bool seen = types[i]->block == NULL;
		for (unsigned k = 0; k < i; k++)
			seen |= types[k]->block == types[i]->block;
		if (!seen)
			blocks[n++] = *types[i]->block;
	}
	*count = n;
	return blocks;
}

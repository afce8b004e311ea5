/* reason.c - the table of reasons, and words for the enums that travel with an exchange. */
#include "core/reason.h"

#include "base/must.h"
#include "core/exchange.h"

static const struct reason_facts facts[REASON_COUNT] = {
	[REASON_NONE] = { "", 0, "", false, "", "" },
#define X(word, status, token, upstream, title, text) [REASON_##word] = { #word, status, token, upstream, title, text },
	REASONS(X)
#undef X
};

const struct reason_facts *reason_facts(enum reason r)
{
	must((unsigned)r < REASON_COUNT);
	return &facts[r];
}

bool reason_of(struct span word, enum reason *out)
{
	for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++)
		if (span_eq(word, span_of(facts[r].word))) {
			*out = (enum reason)r;
			return true;
		}
	return false;
}

#define X(word) #word,
static const char *const served_by_names[] = { SERVED_BY(X) };
static const char *const answer_names[] = { ANSWERS(X) };
static const char *const ending_names[] = { ENDINGS(X) };
static const char *const walk_state_names[] = { WALK_STATES(X) };
#undef X

const char *served_by_name(enum served_by s) { return served_by_names[s]; }
const char *answer_name(enum answer a) { return answer_names[a]; }
const char *ending_name(enum ending e) { return ending_names[e]; }
const char *walk_state_name(enum walk_state s) { return walk_state_names[s]; }

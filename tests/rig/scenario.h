/* scenario.h - a story that an operator could write, played in a world. The language is described in tests/scenario/README.md.
 *
 * A scenario is read once and can be played any number of times: checked against its expectations, or only for what must hold in any
 * history (torture).
 */
#ifndef RIG_SCENARIO_H
#define RIG_SCENARIO_H

#include "world.h"

enum { SCENARIO_LINES = 200, SCENARIO_WORDS = 64, SCENARIO_TEXT = 16 * 1024 };

struct scenario_line { unsigned number, count; struct span word[SCENARIO_WORDS]; struct span rest; };   /* rest: behind the first word */
struct scenario {
	const char *file;
	char     text[SCENARIO_TEXT]; size_t len;
	char     config[SCENARIO_TEXT];
	struct world_plan plan;               /* config, store, doors asked for */
	bool     repeats;                     /* the configuration lets any method be repeated */
	struct scenario_line lines[SCENARIO_LINES]; unsigned line_count;
};

/* false: printed why, with file:line. */
bool scenario_load(struct scenario *, const char *file);
/* Plays it in `w`, opened by the caller with (a variation of) s->plan; the caller closes it. check: expectations are compared and
 * failures printed; returns how many. */
unsigned scenario_play(const struct scenario *, struct world *w, bool check);

/* ── of scenario_words.c ── */
struct expectation {
	unsigned line; struct guest *guest;
	const struct scenario_line *words; unsigned from;
};
bool words_time(struct span, uint64_t *us);
bool words_size(struct span, uint64_t *bytes);
/* The words from `at` on, up to `expect`; returns where it stands (or the line's end). 0: a word is wrong. */
unsigned words_guest(struct guest *, const struct scenario_line *, unsigned at);
/* One line of deeds; false: a word is wrong. */
bool words_deeds(struct script *, const struct scenario_line *, unsigned at);
/* Compares; prints what differs. Returns how many differ. */
unsigned words_expect(const struct expectation *, const char *file);

#endif

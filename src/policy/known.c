/* known.c - see known.h. */
#include "known.h"

#include <stdlib.h>

void known_fini(struct known_keys *k)
{
	for (unsigned i = 0; i < KNOWN_KEYS; i++)
		free(k->at[i].names);
}

const struct known *known_find(const struct known_keys *k, uint64_t hash, uint64_t now_us)
{
	const struct known *found = &k->at[hash % KNOWN_KEYS];
	return found->hash == hash && found->until_us > now_us ? found : NULL;
}

void known_note(struct known_keys *k, uint64_t hash, uint64_t now_us)
{
	struct known *known = &k->at[hash % KNOWN_KEYS];
	free(known->names);
	*known = (struct known){ .hash = hash, .until_us = now_us + KNOWN_US };
}

void known_note_names(struct known_keys *k, uint64_t hash, struct span names, uint64_t now_us)
{
	struct known *known = &k->at[hash % KNOWN_KEYS];
	if (known->hash != hash || !known->names || !span_eq(span_of(known->names), names)) {
		char *copy = malloc(names.len + 1);
		if (!copy)
			return;
		memcpy(copy, names.at, names.len);
		copy[names.len] = '\0';
		free(known->names);
		known->names = copy;
	}
	known->hash = hash;
	known->until_us = now_us + KNOWN_US;
}

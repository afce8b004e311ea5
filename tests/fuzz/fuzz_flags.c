/* fuzz_flags.c - any bytes as the document of the flags.
 *
 * Beyond crashes and leaks: what is refused is refused with a word; what is taken reads the same again; each of its flags is found, and whoever has a
 * variant of one has one that it has.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void broken_promise(const char *what, struct span document)
{
	fprintf(stderr, "%s: " SPAN_FMT "\n", what, SPAN_ARG(document));
	abort();
}

static struct flag_set *read_set(struct span document)
{
	char words[400];
	struct text why;
	text_over(&why, words, sizeof(words));
	struct flag_set *set = flag_set_read(document, &why);
	if (!set && !why.len)
		broken_promise("refused without a word", document);
	return set;
}

static void ask(const struct flag_set *set, struct span name, struct span document)
{
	struct request r = { .minor = 1 };
	struct conf_flag flag = { .name = "" };
	struct span variant;
	if (!name.len || name.len > FLAG_WORD_MAX || memchr(name.at, ',', name.len) || memchr(name.at, '\0', name.len))
		return;                           /* no name that a configuration can say */
	memcpy(flag.name, name.at, name.len);
	if (!flag_set_has(set, &flag))
		broken_promise("a flag is not found", document);
	if (!flag_set_on(set, name, &r, SPAN("192.0.2.1"), &variant) || !variant.len)
		return;
	if (variant.len > FLAG_WORD_MAX)
		broken_promise("a long variant", document);
	memcpy(flag.variant, variant.at, variant.len);
	if (!flag_set_has(set, &flag))
		broken_promise("a variant that it does not have", document);
}

/* "+a, +b". Names with commas or blanks in them fall apart there: then none is asked for. */
static void ask_all(const struct flag_set *set, struct span names, struct span document)
{
	struct span rest = names, name;
	size_t len = 0, count = 0;
	while (span_next(&rest, ',', &name)) {
		len += name.len + 2;
		count++;
	}
	if (count != flag_set_count(set) || len != names.len + 2)
		return;
	for (rest = names; span_next(&rest, ',', &name);)
		ask(set, span_from(name, 1), document);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span document = { (const char *)bytes, size };
	struct flag_set *set = read_set(document), *again, *none;
	struct text changes;
	if (!set)
		return 0;
	again = read_set(flag_set_document(set));
	none = read_set(SPAN("{\"flags\":{}}"));
	text_init(&changes, 1 << 20);
	flag_set_changes(set, again, &changes);
	if (changes.len || flag_set_count(set) != flag_set_count(again))
		broken_promise("it reads differently", document);
	flag_set_changes(none, set, &changes);
	if (!changes.cut)
		ask_all(set, text_span(&changes), document);
	text_fini(&changes);
	flag_set_unref(set);
	flag_set_unref(again);
	flag_set_unref(none);
	return 0;
}

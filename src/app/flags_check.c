/* flags_check.c - what `outrigger check` says of flags: the file is looked at if it is here, for a name that it does not know. Warnings only: it
 * may be another one by the time it counts. */
#include <fcntl.h>
#include <unistd.h>

#include "app/flags.h"
#include "base/text.h"
#include "conf/conf.h"

enum { FILE_MAX_BYTES = 1024 * 1024 };

static bool read_file(const char *path, struct text *out)
{
	char piece[8192];
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	while (fd >= 0 && (n = read(fd, piece, sizeof(piece))) > 0)
		text_add(out, (struct span){ piece, (size_t)n });
	if (fd >= 0)
		close(fd);
	return n == 0 && !out->cut;
}

static void put_unknown(const struct conf *conf, const struct flag_set *set, const char *path, struct text *out)
{
	for (const struct conf_flag_use *use = conf->flag_uses; use; use = use->next)
		if (!flag_set_has(set, &use->flag))
			text_f(out, "warning: there is no flag '%s%s%s' in %s: it is off\n", use->flag.name, use->flag.variant[0] ? "=" : "",
				use->flag.variant, path);
}

void flags_check(const struct conf *conf, struct text *out)
{
	char path[CONF_PLACE_MAX + 1], words[160];
	struct text bytes, why;
	if (!span_starts(conf->flags.from, SPAN("file:")))
		return;
	struct span at = span_from(conf->flags.from, 5);
	memcpy(path, at.at, at.len);
	path[at.len] = '\0';
	text_init(&bytes, FILE_MAX_BYTES);
	text_over(&why, words, sizeof(words));
	if (read_file(path, &bytes)) {
		struct flag_set *set = flag_set_read(text_span(&bytes), &why);
		if (set)
			put_unknown(conf, set, path, out);
		else
			text_f(out, "warning: flags: %s: " SPAN_FMT "\n", path, SPAN_ARG(text_span(&why)));
		flag_set_unref(set);
	}
	text_fini(&bytes);
}

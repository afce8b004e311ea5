/* stores.c - see stores.h. */
#include "app/stores.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ── of a configuration ── */

static bool read_password(struct span file, char *out, size_t *len, char why[256])
{
	char name[4096];
	*len = 0;
	if (!file.len)
		return true;
	if (file.len >= sizeof(name)) {
		snprintf(why, 256, "password_file: the path is too long");
		return false;
	}
	memcpy(name, file.at, file.len);
	name[file.len] = '\0';
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, STORE_PASSWORD) : -1;
	if (n < 0)
		snprintf(why, 256, "password_file %.180s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r'))
		n--;
	*len = (size_t)n;
	if (n > 0 && n < STORE_PASSWORD && !memchr(out, '\0', (size_t)n))
		return true;
	snprintf(why, 256, "password_file %.180s: %s", name, n == 0 ? "it is empty" : "it is too long, or not a text");
	return false;
}

struct stores *stores_new(struct conf *conf, struct resolver *resolver, char why[256])
{
	struct stores *s = calloc(1, sizeof(*s));
	snprintf(why, 256, "out of memory");
	if (!s)
		return NULL;
	s->resolver = resolver;
	if (conf->redis_count > STORES_MAX) {
		snprintf(why, 256, "redis: at most %d stores", STORES_MAX);
		stores_free(s);
		return NULL;
	}
	for (unsigned i = 0; i < conf->redis_count; i++) {
		bool ok = read_password(conf->redis[i].password_file, s->at[i].password, &s->at[i].password_len, why);
		s->at[i].conf = &conf->redis[i];
		s->at[i].target = ok ? upstream_new(conf, conf->redis[i].target) : NULL;
		if (!s->at[i].target) {
			stores_free(s);
			return NULL;
		}
		s->count = i + 1;
		if (resolver && !resolver_add(resolver, s->at[i].target)) {
			stores_free(s);
			return NULL;
		}
	}
	return s;
}

void stores_free(struct stores *s)
{
	for (unsigned i = 0; s && i < s->count; i++) {
		if (s->resolver)
			resolver_remove(s->resolver, s->at[i].target);
		upstream_unref(s->at[i].target);
	}
	if (s)
		explicit_bzero(s, sizeof(*s));
	free(s);
}

/* ── of a worker ── */

static struct redis *find(const struct worker_stores *before, const struct redis_parts *parts)
{
	for (unsigned i = 0; i < before->count; i++)
		if (redis_is(before->redis[i], parts))
			return before->redis[i];
	return NULL;
}

bool worker_stores_make(struct worker_stores *w, const struct worker_stores *before, const struct stores *s, const struct redis_parts *where)
{
	*w = (struct worker_stores){ 0 };
	for (unsigned i = 0; i < s->count; i++) {
		struct redis_parts parts = *where;
		parts.conf = s->at[i].conf;
		parts.target = s->at[i].target;
		parts.password = (struct span){ s->at[i].password, s->at[i].password_len };
		struct redis *r = find(before, &parts);
		if (r)
			redis_store(r).ops->hold(r);
		else if (!(r = redis_new(&parts))) {
			worker_stores_give(w);
			return false;
		}
		w->redis[i] = r;
		w->at[i] = redis_store(r);
		w->count = i + 1;
	}
	return true;
}

void worker_stores_adopt(struct worker_stores *w, const struct stores *s)
{
	for (unsigned i = 0; i < w->count; i++)
		redis_move(w->redis[i], s->at[i].target);
}

void worker_stores_give(struct worker_stores *w)
{
	for (unsigned i = 0; i < w->count; i++)
		redis_give(w->redis[i]);
	w->count = 0;
}

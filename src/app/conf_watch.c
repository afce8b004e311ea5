/* conf_watch.c - see conf_watch.h. On the control thread. */
#include "app/conf_watch.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/reload.h"
#include "base/log.h"

enum { DEBOUNCE_MS = 500, POLL_MS = 10000, HASH_BYTES = 32, FILE_MAX_BYTES = 64 * 1024 * 1024, PATH_BYTES = 4096, HANDLES = 3 };

struct conf_watch {
	struct server *server;
	uv_fs_event_t  folder;
	uv_timer_t     debounce, poll;
	unsigned       open;                  /* handles that are not closed */
	char           path[PATH_BYTES];
	unsigned char  seen[HASH_BYTES];      /* of the bytes that were tried last */
};

static void hash_of(struct span bytes, unsigned char out[HASH_BYTES])
{
	unsigned len = 0;
	EVP_Digest(bytes.at, bytes.len, out, &len, EVP_sha256(), NULL);
}

/* false: it cannot be read now (it is being replaced): another look comes. */
static bool read_hash(const char *path, unsigned char out[HASH_BYTES])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char piece[16384];
	struct text text;
	ssize_t n = -1;
	text_init(&text, FILE_MAX_BYTES);
	while (fd >= 0 && (n = read(fd, piece, sizeof(piece))) > 0)
		text_add(&text, (struct span){ piece, (size_t)n });
	if (fd >= 0)
		close(fd);
	bool ok = n == 0 && !text.cut;
	if (ok)
		hash_of(text_span(&text), out);
	text_fini(&text);
	return ok;
}

static void look(struct conf_watch *w)
{
	unsigned char now[HASH_BYTES];
	struct text changes;
	if (!read_hash(w->path, now) || memcmp(now, w->seen, sizeof(now)) == 0)
		return;
	text_init(&changes, 64 * 1024);
	if (reload_begin(w->server->reload, &changes) != 409)     /* else: not now, but at the next look */
		memcpy(w->seen, now, sizeof(now));
	text_fini(&changes);
}

static void settled(uv_timer_t *t) { look(t->data); }
static void due(uv_timer_t *t) { look(t->data); }

static void hint(uv_fs_event_t *e, const char *name, int events, int status)
{
	struct conf_watch *w = e->data;
	(void)name; (void)events; (void)status;
	uv_timer_start(&w->debounce, settled, DEBOUNCE_MS, 0);
}

static void closed(uv_handle_t *h)
{
	struct conf_watch *w = h->data;
	if (--w->open == 0)
		free(w);
}

void conf_watch_free(struct conf_watch *w)
{
	if (!w)
		return;
	uv_close((uv_handle_t *)&w->folder, closed);
	uv_close((uv_handle_t *)&w->debounce, closed);
	uv_close((uv_handle_t *)&w->poll, closed);
}

struct conf_watch *conf_watch_new(struct server *s)
{
	struct conf_watch *w = calloc(1, sizeof(*w));
	struct span file = s->conf->file;
	char folder[PATH_BYTES] = ".";

	if (!w || file.len >= sizeof(w->path)) {
		free(w);
		return NULL;
	}
	memcpy(w->path, file.at, file.len);
	w->server = s;
	hash_of(s->conf->text_read, w->seen);
	const char *slash = strrchr(w->path, '/');
	if (slash) {
		size_t len = slash == w->path ? 1 : (size_t)(slash - w->path);
		memcpy(folder, w->path, len);
		folder[len] = '\0';
	}
	w->folder.data = w->debounce.data = w->poll.data = w;
	w->open = HANDLES;
	uv_fs_event_init(&s->control.uv, &w->folder);
	uv_timer_init(&s->control.uv, &w->debounce);
	uv_timer_init(&s->control.uv, &w->poll);
	if (uv_fs_event_start(&w->folder, hint, folder, 0) != 0)
		log_event(LOG_WARN, "watch_by_polling", "folder", folder, NULL);
	uv_timer_start(&w->poll, due, POLL_MS, POLL_MS);
	return w;
}

/* pages.h - private: what the admin listener shows and does. Each fills in a page (page.h), on the control thread. */
#ifndef SRC_APP_PAGES_H
#define SRC_APP_PAGES_H

#include "app/page.h"
#include "app/server.h"
#include "app/service.h"
#include "base/json.h"

struct admin {
	struct server  *server;
	struct service *service;
	struct pages    pages;
	struct metrics *metrics;
	struct admin_access *access;
	struct events  *events;
};

/* pages_health.c: the probes */
void page_livez(struct admin *, const struct exchange *, struct page *);
void page_readyz(struct admin *, const struct exchange *, struct page *);
void page_startupz(struct admin *, const struct exchange *, struct page *);
/* pages_json.c, json_routes.c */
void page_status_json(struct admin *, const struct exchange *, struct page *);
void page_routes(struct admin *, const struct exchange *, struct page *);
void page_upstreams(struct admin *, const struct exchange *, struct page *);
void page_config(struct admin *, const struct exchange *, struct page *);
void page_config_yaml(struct admin *, const struct exchange *, struct page *);
/* status_text.c: what `outrigger status` prints */
void page_status_text(struct admin *, const struct exchange *, struct page *);
/* pages_change.c */
void page_drain(struct admin *, const struct exchange *, struct page *);
void page_undrain(struct admin *, const struct exchange *, struct page *);
void page_quit(struct admin *, const struct exchange *, struct page *);
void page_log(struct admin *, const struct exchange *, struct page *);
void page_reload(struct admin *, const struct exchange *, struct page *);
void page_breaker(struct admin *, const struct exchange *, struct page *);
bool page_breaker_path(struct span path, struct span *upstream);
void page_split(struct admin *, const struct exchange *, struct page *);
bool page_split_path(struct span path, struct span *route);

/* What /status.json says, and each frame of /events. */
void pages_put_status(const struct server *, struct json *);
/* live.c: the files of the live page, and the texts of the reasons */
void page_live(struct admin *, const struct exchange *, struct page *);
void page_reasons(struct admin *, const struct exchange *, struct page *);
/* The life of the server in one word: "serving", or "asked to drain" while it is. */
const char *pages_life(const struct server *);
/* What /readyz says. */
bool pages_ready(const struct server *);

#endif

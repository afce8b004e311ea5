/* metrics_parts.h - private: the families, by noun. */
#ifndef SRC_APP_METRICS_PARTS_H
#define SRC_APP_METRICS_PARTS_H

#include "app/server.h"
#include "prom.h"

void metrics_of_process(const struct server *, struct prom *);
void metrics_of_listeners(const struct server *, struct prom *);
void metrics_of_routes(const struct server *, struct prom *);
void metrics_of_upstreams(const struct server *, struct prom *);
void metrics_of_policies(const struct server *, struct prom *);

#endif
